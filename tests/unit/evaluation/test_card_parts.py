"""What a card is made of: counts by cell, spreads, small cells, histograms, Markdown."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hemometric.evaluation import Column, KeyFigure, Picture, Questions, Report, Section, Spark, Table, Text, render
from hemometric.evaluation.datacard.small_cells import SmallCells
from hemometric.evaluation.datacard.spread import ACCURACY, Spread, nice_edges
from hemometric.evaluation.datacard.tally import Repeats, Tally, binned, listed, owned
from hemometric.evaluation.datacard.words import percent, written
from hemometric.evaluation.figures import bars, histograms, to_svg
from hemometric.evaluation.markdown import render_markdown


def rows_of(partition: list[int], patient: list[str], **columns: Any) -> pa.Table:
    return owned(pa.table({"partition": pa.array(partition, pa.int16()), "patient": patient, **columns}))


def test_a_tally_counts_patients_once_a_cell_however_their_rows_come() -> None:
    random = np.random.default_rng(0)
    patient, cell = random.integers(0, 90, 600), random.integers(0, 4, 600)
    order = np.lexsort((patient, patient % 70, np.arange(600) % 2))  # two ingests, each sorted
    names = [None if one == 3 else f"cell {one}" for one in cell[order]]
    rows = rows_of((patient[order] % 70).tolist(), [f"{one:032x}" for one in patient[order]], cell=names)
    shards = sorted(
        (rows.slice(start, 25) for start in range(0, 600, 25)), key=lambda shard: pc.min(shard["owner"]).as_py()
    )
    tally, waited = Tally(), 0
    for place, shard in enumerate(shards):
        tally.add(shard)
        tally.settle("train", pc.min(shards[place + 1]["owner"]).as_py() if place + 1 < len(shards) else None)
        waited = max(waited, sum(len(table) for table in tally._waiting))
    people_of = defaultdict(set)
    for one, who in zip(cell.tolist(), patient.tolist(), strict=True):
        people_of[None if one == 3 else f"cell {one}"].add(who)
    assert tally.all_patients == {name: len(people) for name, people in people_of.items()}
    assert sum(tally.recordings["train"].values()) == 600
    assert tally.recordings["train"]["cell 1"] == int((cell == 1).sum())
    assert tally.recordings["test"] == {}
    assert 0 < waited <= 3 * 25, "only patients of shards that overlap wait"


def test_repeats_count_ecgs_and_days_between_the_first_and_the_last() -> None:
    hour = 3_600_000_000
    visits = [("a", 0), ("a", 50), ("b", 0), ("b", None), ("c", 10), ("c", 5), ("c", 5), ("d", None)]
    repeats = Repeats()
    for patient, hours in visits:
        acquired = pa.array([None if hours is None else hours * hour], pa.timestamp("us"))
        repeats.add(rows_of([3], [patient], acquired=acquired))
    repeats.settle("003b")
    assert repeats.patients == {2: 1}
    repeats.settle(None)
    assert repeats.patients == {2: 2, 3: 1, 1: 1}
    assert repeats.spans == {2: 1, 0: 1}


def test_lists_and_numbers_become_cells_of_their_rows() -> None:
    rows = rows_of(
        [0, 0, 11],
        ["a", "b", "c"],
        codes=[["x", "y"], [], None],
        number=[0.5, None, math.nan],
        numbers=[[9.0, -9.0], None, [1.5]],
    )
    assert listed(rows, "codes").to_pydict() == {"owner": ["000a", "000a"], "cell": ["x", "y"]}
    assert binned(rows, "number", (0.0, 1.0, 2.0))["cell"].to_pylist() == [0, None, None]
    many = binned(rows, "numbers", (0.0, 1.0, 2.0))
    assert many.to_pydict() == {"owner": ["000a", "000a", "011c"], "cell": [1, 0, 1]}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_percentiles_are_right_to_their_accuracy(scale: float) -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 5001) * scale
    spread = Spread()
    for part in np.array_split(values, 17):
        spread.add(np.concatenate([part, [np.nan, np.inf]]))
    ordered = sorted(values.tolist())
    for share in (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995):
        exact = ordered[math.ceil(share * len(ordered)) - 1]
        assert spread.percentile(share) == pytest.approx(exact, rel=1.01 * ACCURACY)
    assert spread.num == 5001
    assert spread.mean == pytest.approx(statistics.fmean(ordered), rel=1e-9)
    assert spread.sd == pytest.approx(statistics.stdev(ordered), rel=1e-9)
    assert spread.share_above_zero == pytest.approx(np.mean(values > 0))
    assert spread.share_below_zero == pytest.approx(np.mean(values < 0))
    assert not spread.is_whole


def test_whole_numbers_stay_whole_and_nothing_has_no_percentile() -> None:
    spread = Spread()
    assert math.isnan(spread.percentile(0.5))
    assert math.isnan(spread.sd)
    spread.add(np.array([0.0, 12.0, 12.0, -7.0]))
    assert spread.is_whole
    assert [spread.percentile(share) for share in (0.1, 0.5, 0.9)] == [-7.0, 0.0, 12.0]


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0.0, 2.4, False, (0.0, 0.1)),
        (-3.0, 97.0, False, (-5.0, 0.0)),
        (12.0, 12.0, True, (11.5, 12.5)),
        (0.0, 3.0, True, (-0.5, 0.5)),
    ],
)
def test_edges_are_round_and_hold_everything(low: float, high: float, whole: bool, expected: tuple[float, ...]) -> None:
    edges = nice_edges(low, high, num=24, is_whole=whole)
    assert edges[:2] == expected
    assert edges[0] <= low <= high <= edges[-1]
    assert np.allclose(np.diff(edges), edges[1] - edges[0])


def test_small_cells_are_hidden_with_what_would_give_them_away() -> None:
    small = SmallCells(5)
    assert small.hidden(Counter(a=9, b=4, c=20, d=0), adds_up=False) == {"b"}
    assert small.hidden(Counter(a=9, b=4, c=20, d=0), adds_up=True) == {"a", "b"}
    assert small.hidden(Counter(a=9, b=2, c=2), adds_up=True) == {"a", "b", "c"}, (
        "2 + 2 hidden would be 4 and so 2 each"
    )
    assert small.hidden(Counter(a=9, b=3, c=3), adds_up=True) == {"b", "c"}
    assert small.hidden(Counter({"a": 9, "b": 5, None: 2}), adds_up=True) == frozenset()
    assert SmallCells(0).hidden(Counter(a=1), adds_up=True) == frozenset()
    assert (small.count(0), small.count(4), small.count(5)) == (0, "<5", 5)


def hidden_sites(**patients: dict[str, int]) -> frozenset[str]:
    """Of sites in splits."""
    totals = Counter({split: sum(sites.values()) for split, sites in patients.items()})
    return SmallCells(5).hidden_in_groups({split: Counter(sites) for split, sites in patients.items()}, totals)


def test_a_table_beside_it_gives_no_small_cell_away() -> None:
    # 34 of test and 101 in all are shown: with the 65 of the largest site, 2 would be left.
    assert hidden_sites(train={"north": 65, "typo": 2}, test={"south": 34}) == {"north", "typo"}
    assert hidden_sites(train={"north": 65}, test={"south": 34}) == frozenset()
    # Test is not shown, and validation with it: train's sites tell nothing of either.
    assert hidden_sites(train={"a": 50, "b": 40}, validation={"c": 22}, test={"d": 2}) == {"c", "d"}
    # Here train is hidden beside test, whose patients a shown sum of its sites would leave over.
    assert hidden_sites(train={"a": 20, "b": 30}, validation={"c": 100}, test={"d": 2}) == {"a", "d"}


def test_numbers_are_written_for_people() -> None:
    assert [written(value) for value in (0, 12.345, -0.01234, 1234567, 10.0, math.nan)] == [
        "0",
        "12.3",
        "−0.0123",
        "1,234,567",
        "10",
        "–",
    ]
    assert [percent(part, 1000) for part in (0, 1, 255, 999, 1000)] == ["0 %", "<1 %", "26 %", ">99 %", "100 %"]


def test_a_histogram_shows_shares_leaves_gaps_and_ends_where_its_bars_do() -> None:
    (axes,) = histograms(
        (0, 10, 20, 30, 40, 50), {"train": [0, 25, math.nan, 75, 0], "test": [0, 0, 0, 0, 0]}, x="x"
    ).axes
    assert axes.get_xlim() == (10, 40)
    outline = axes.patches[-1].get_data()
    assert np.array_equal(outline.values, [25, math.nan, 75], equal_nan=True)
    assert list(outline.edges) == [10, 20, 30, 40]
    assert axes.get_ylabel() == "share of recordings (%)"
    (empty,) = histograms((0, 1), {"train": [math.nan]}, x="x").axes
    assert "Too few patients" in empty.texts[0].get_text()


def test_bars_carry_their_counts() -> None:
    (axes,) = bars({"NORM $x$": 1234, "MI": 5}, x="patients").axes
    assert [bar.get_width() for bar in axes.patches] == [1234, 5]
    assert [text.get_text() for text in axes.texts] == ["1,234", "5"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["NORM $x$", "MI"]


@pytest.mark.parametrize("counts", [{}, {"1": 0}, {"1": 0, "2": 0}])
def test_bars_that_are_all_held_back_or_empty_are_a_sentence(counts: dict[str, int]) -> None:
    figure = bars(counts, x="patients")
    (axes,) = figure.axes
    assert not axes.patches
    assert [text.get_text() for text in axes.texts] == ["Too few patients to show"]
    assert not axes.axison
    to_svg(figure)


def test_a_small_histogram_is_drawn_or_spelt() -> None:
    spark = Spark((0.0, 1.0, 8.0, 4.0), 'of "x"')
    assert str(spark) == " ▁█▄"
    drawn = str(spark.markup())
    assert drawn.count("<rect") == 3
    assert 'aria-label="of &#34;x&#34;"' in drawn
    assert str(Spark((0.0, 0.0), "nothing")) == "–"


def test_markdown_has_all_words_and_no_markup_of_names() -> None:
    table = Table("Names of <b>", (Column("Name"), Column("Count", "n")), (("*a*|b", 1234), ("c", None)), ("A note_.",))
    drawn = Picture("<svg/>", "What it shows", "A caption")
    parts = (Text("One.\n\nTwo `x`."), table, drawn, Questions((("Why?", "Since."),)))
    report = Report(
        "Card #1",
        "Sub",
        ("Found.",),
        (Section("S_1", parts),),
        (KeyFigure("5", "ECGs", "of 6"),),
        ("Mind.",),
        "Keep",
        (("hash", "ab"),),
    )
    text = render_markdown(report)
    assert text.startswith(
        "# Card \\#1\n\nSub\n\n- **5** ECGs (of 6)\n\n- Found.\n\n**Keep**\n\n- Mind.\n\n## S\\_1\n\n"
        "One.\n\nTwo \\`x\\`."
    )
    assert (
        "**Table 1.** Names of \\<b\\>\n\n| Name | Count (n) |\n| --- | ---: |\n| \\*a\\*\\|b | 1,234 |\n| c | – |"
        in text
    )
    assert "*Figure: A caption* What it shows" in text
    assert "**Why?**\n\nSince." in text
    assert text.endswith("## How this was made\n\n- hash: `ab`\n")
    html = render(report)
    assert re.search(r"<dt>Why\?</dt>\s*<dd>\s*<p>Since\.</p>", html)
    assert '<p class="box-title">Keep</p>' in html
