import ast
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sklearn.decomposition import PCA

from hemometric import evaluation
from hemometric.ecg import LEADS
from hemometric.evaluation.figures import (
    Trial,
    embedding_projection,
    loss_curves,
    neighbours_figure,
    predicted_against_true,
    principal_components,
    roc_curve,
    to_png,
    to_svg,
    triplet_figure,
    tuning_trials,
)
from hemometric.evaluation.intervals import Interval


def words(figure):
    """All text of a figure, as a reader of the SVG meets it."""
    return [node.text for node in ET.fromstring(to_svg(figure)).iter() if node.tag.endswith("}text") and node.text]


def ecg(seed, leads=12, num=1000):
    t = np.arange(num) / 100
    return np.stack([np.sin(2 * np.pi * (1 + 0.1 * seed) * t) * (1 + lead / 10) for lead in range(leads)]).astype(
        np.float32
    )


def trials():
    rng = np.random.default_rng(0)
    return [
        Trial(
            {
                "margin": float(rng.uniform(0.1, 1)),
                "alpha": float(10 ** rng.uniform(-2, 1)),
                "dim": int(rng.choice([32, 64])),
            },
            7.0 + i / 10,
            i % 2 == 1,
        )
        for i in range(12)
    ]


def pressures():
    y = np.random.default_rng(0).normal(15, 8, 60)
    return y, np.random.default_rng(1).normal(size=(60, 5))


FIGURES = {
    "loss": lambda: loss_curves([(i, 1 / (i + 1)) for i in range(50)], [(10, 0.3), (20, 0.2)]),
    "trials": lambda: tuning_trials(trials(), "validation RMSE (mmHg)"),
    "agreement": lambda: predicted_against_true(pressures()[0], pressures()[0] + 1),
    "roc": lambda: roc_curve(pressures()[0] > 18, {"model": 1 / (1 + np.exp(-pressures()[0]))}),
    "projection": lambda: embedding_projection(pressures()[1], pressures()[0], name="mPCWP (mmHg)"),
    "triplet": lambda: triplet_figure(ecg(0), ecg(1), ecg(2), 100, (1.0, 2.0)),
    "neighbours": lambda: neighbours_figure(np.stack([ecg(0), ecg(1)]), 100, LEADS, ["own", "1: 0a1b 2.3 mV²"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_twice_gives_the_same_bytes_without_a_date(name):
    first, second = FIGURES[name](), FIGURES[name]()
    assert to_svg(first) == to_svg(second)
    assert to_png(first, 60) == to_png(second, 60)
    assert to_png(first, 60).startswith(b"\x89PNG")
    assert not re.search(r"<dc:date>|<metadata>", to_svg(first))


def test_no_module_uses_pyplot_and_its_global_state():
    sources = list(Path(evaluation.__file__).parent.rglob("*.py"))
    assert len(sources) > 10
    imports = [node for source in sources for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        f"{node.module}.{alias.name}" for node in imports if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert "matplotlib.figure.Figure" in names
    assert not [name for name in names if "pyplot" in name or "pylab" in name]


def test_loss_curves_mark_the_best_validation_step():
    figure = loss_curves([(step, 1.0) for step in range(100)], [(10, 0.5), (20, 0.25), (30, 0.75), (40, math.nan)])
    assert "best 0.25 at step 20" in words(figure)
    assert "best 0.75 at step 30" in words(
        loss_curves([], [(10, 0.5), (30, 0.75)], validation_label="AUROC", lower_is_better=False)
    )
    assert figure.axes[0].get_ylabel() == "loss", "both are drawn on it"
    assert figure.axes[0].get_legend() is None, "it would lie on the curves"
    FigureCanvasAgg(figure).draw()
    legend = figure.legends[0].get_window_extent()
    assert not legend.overlaps(figure.axes[0].get_window_extent())
    running_mean = figure.axes[0].lines[1].get_ydata()
    np.testing.assert_allclose(running_mean, 1.0)


def test_running_mean_is_the_mean_of_its_neighbours():
    values = np.random.default_rng(0).normal(size=120)
    figure = loss_curves(list(enumerate(values)))
    shown = figure.axes[0].lines[1].get_ydata()
    expected = [values[max(0, i - 3) : i + 4].mean() for i in range(120)]
    np.testing.assert_allclose(shown, expected)


def test_another_quantity_gets_a_panel_of_its_own():
    figure = loss_curves(
        [(1, 0.1), (2, 0.1)], [(1, 8.0)], validation_label="validation RMSE (mmHg)", same_quantity=False
    )
    assert len(figure.axes) == 2
    assert {"training loss", "validation RMSE (mmHg)"} <= set(words(figure))


def test_nothing_recorded_is_said():
    assert "No step was recorded" in words(loss_curves([(1, math.nan)]))
    assert "No trial has a score" in words(tuning_trials([Trial({"margin": 0.1}, math.nan)], "RMSE"))
    assert "No trial has a score" in words(tuning_trials([], "RMSE"))
    assert "No labelled recording" in words(predicted_against_true([], []))
    assert "No ROC curve: both classes are needed" in words(roc_curve([0, 0], {"model": [0.1, 0.2]}))
    assert "No embedding" in words(embedding_projection(np.empty((0, 4))))


def test_tuning_trials_have_a_panel_for_each_parameter_and_one_best():
    assert {axes.get_xscale() for axes in tuning_trials(trials(), "RMSE").axes} == {"linear"}
    figure = tuning_trials(trials(), "RMSE", logarithmic=["alpha", "dim"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["margin", "alpha", "dim"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log", "linear"]
    assert [tick.get_text() for tick in figure.axes[2].get_xticklabels()] == ["32", "64"]
    few = tuning_trials([Trial({"alpha": 0.625, "dim": 32}, 1.0), Trial({"alpha": 1.159, "dim": 64}, 2.0)], "RMSE")
    assert few.axes[0].collections[0].get_offsets()[:, 0].tolist() == [0.625, 1.159], "fractions keep their places"
    assert [tick.get_text() for tick in few.axes[1].get_xticklabels()] == ["32", "64"]
    best = trials()[0]
    for axes, name in zip(figure.axes, ("margin", "alpha"), strict=False):
        star = axes.collections[-1].get_offsets()[0]
        assert tuple(star) == pytest.approx((best.parameters[name], best.score))
    assert {"trial", "stopped early", "best (7)"} <= set(words(figure))
    upwards = tuning_trials(trials(), "AUROC", lower_is_better=False, parameters=["dim"])
    assert len(upwards.axes) == 1
    assert "best (8.1)" in words(upwards)


def test_choices_and_mixed_trials():
    mixed = [Trial({"miner": "nearest", "flag": True}, 1.0), Trial({"miner": "random"}, 2.0)]
    figure = tuning_trials(mixed, "loss")
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["nearest", "random"]


def test_agreement_shows_identity_band_and_scores():
    true = np.array([5.0, 10.0, 20.0, 30.0])
    predicted = true + np.array([1.0, 3.0, 1.0, 3.0])
    figure = predicted_against_true(true, predicted)
    x, y = figure.axes[0].lines[0].get_data()
    np.testing.assert_array_equal(x, y)
    assert "mean error +2.00 ± SD 1.00" in words(figure)
    assert any("RMSE 2.24 mmHg" in word for word in words(figure))
    assert {"true mPCWP (mmHg)", "predicted mPCWP (mmHg)"} <= set(words(figure))
    assert "planted mPCWP (mmHg)" in words(predicted_against_true(true, predicted, origin="planted"))
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {round(float(v - u), 6) for u, v in band} == {1.0, 3.0}
    assert to_svg(predicted_against_true([10.0, 20.0], [15.0, 15.0]))


def test_roc_legend_holds_the_interval():
    true = np.array([0, 0, 1, 1])
    intervals = {"model": Interval(0.75, 0.5, 1.0), "other": Interval(0.5, math.nan, math.nan, reason="one patient")}
    curves = {"model": [0.1, 0.6, 0.4, 0.9], "other": [0.5] * 4, "third": [0.9, 0.8, 0.2, 0.1]}
    figure = roc_curve(true, curves, intervals)
    assert {"model\u20020.75 [0.50, 1.00]", "other\u20020.50", "third"} <= set(words(figure))
    model = figure.axes[0].lines[1].get_xydata()
    np.testing.assert_allclose(model, [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]])


def test_principal_components_equal_sklearn_up_to_sign():
    z = np.random.default_rng(1).normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    coordinates, shares = principal_components(z)
    model = PCA(2).fit(z)
    np.testing.assert_allclose(np.abs(coordinates), np.abs(model.transform(z)), atol=1e-9)
    np.testing.assert_allclose(shares, model.explained_variance_ratio_)
    np.testing.assert_allclose(principal_components(z[::-1])[0][::-1], coordinates, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (3, 3)])
def test_principal_components_of_next_to_nothing(shape):
    coordinates, shares = principal_components(np.ones(shape))
    np.testing.assert_array_equal(coordinates, np.zeros((shape[0], 2)))
    np.testing.assert_array_equal(shares, [0, 0])


def test_projection_colours_numbers_and_categories_and_keeps_the_unknown():
    z = np.random.default_rng(1).normal(size=(6, 3))
    numbers = embedding_projection(z, [1.0, np.nan, 3.0, 4.0, 5.0, 6.0], name="age (years)")
    assert len(numbers.axes) == 2
    unknown, known = numbers.axes[0].collections
    assert len(unknown.get_offsets()) == 1
    np.testing.assert_array_equal(known.get_array(), [1, 3, 4, 5, 6])
    assert "age (years)" in words(numbers)
    categories = embedding_projection(
        z, np.array(["male", "female", None, "male", "male", ""], dtype=object), name="sex"
    )
    assert {"female (1)", "male (3)", "unknown", "sex"} <= set(words(categories))
    own = embedding_projection(z, coordinates=np.arange(12.0).reshape(6, 2))
    np.testing.assert_array_equal(own.axes[0].collections[0].get_offsets(), np.arange(12.0).reshape(6, 2))
    with pytest.raises(ValueError, match=r"colour_by has shape \(5,\)"):
        embedding_projection(z, [1.0] * 5)


@pytest.mark.parametrize(("leads", "columns"), [(12, [0, 1, 6, 10]), (8, [0, 1, 2, 6])])
def test_triplet_draws_the_named_leads_of_the_three(leads, columns):
    signals = [ecg(seed, leads) for seed in range(3)]
    figure = triplet_figure(*signals, 100, (1.25, 17.5), seconds=3)
    grid = np.array(figure.axes).reshape(4, 3)
    for row, lead in enumerate(columns):
        for column in range(3):
            x, y = grid[row, column].lines[0].get_data()
            trace = signals[column][lead, :300]
            np.testing.assert_allclose(y, trace - np.median(trace), atol=1e-5)
            assert x[-1] == pytest.approx(2.99)
        assert grid[row, 0].get_ylim() == grid[row, 2].get_ylim()
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["I", "II", "V1", "V5"]
    assert {"anchor", "positive\u2003d = 1.25", "negative\u2003d = 17.5"} <= set(words(figure))


def test_triplet_with_absent_samples_and_refusals():
    gaps = ecg(1)
    gaps[0] = np.nan
    assert to_png(triplet_figure(ecg(0), gaps, ecg(2)[:, :1000], 100), 60)
    with pytest.raises(ValueError, match="expected one"):
        triplet_figure(ecg(0), ecg(1)[:8], ecg(2), 100)
    with pytest.raises(ValueError, match="none of the leads V9"):
        triplet_figure(ecg(0), ecg(1), ecg(2), 100, shown=["V9"])
