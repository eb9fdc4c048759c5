"""The whole evaluation on tiny corpora: one report with every section, and the scores beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hemometric.config import decode
from hemometric.errors import PrecheckError, UsageError
from hemometric.runs import evaluate, tune
from hemometric.runs.evaluate import EvaluateRun
from hemometric.runs.folder import held_folder

HERE: dict[str, Any] = {"workers": 0, "tracking": {"kind": "none"}}
MMHG = {"kind": "regression", "label": "mpcwp_mmhg", "unit": "mmHg"}
ABOVE = {"kind": "threshold", "label": "mpcwp_mmhg", "unit": "mmHg", "threshold": 15}


@pytest.fixture(scope="module")
def search(line: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = line.tune(tmp_path_factory.mktemp("search") / "run", **HERE | {"num_trials": 2, "trial_steps": 4})
    tune.run(config)
    out: Path = config.out
    return out


def evaluation(line: Any, out: Path, encoder: Path, **fields: Any) -> EvaluateRun:
    synthetic = {"name": "Synthetic", "corpus": str(line.labelled), "encoder": str(encoder), "tasks": [MMHG, ABOVE]}
    data = {"out": str(out), "workers": 0, "num_resamples": 100, "studies": [synthetic | fields.pop("study", {})]}
    return decode(EvaluateRun, data | fields)


@pytest.fixture(scope="module")
def finished(line: Any, encoder: Path, estimator: Path, search: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a full evaluation, and what it said."""
    reachable = tmp_path_factory.mktemp("reachable") / "reachable.json"
    reachable.write_text('{"rmse_mmhg": 3.21, "r": 0.9, "auroc_above_15": 0.95, "auroc_above_18": 0.94}')
    out = tmp_path_factory.mktemp("evaluate") / "out"
    config = evaluation(
        line,
        out,
        encoder,
        study={"predictor": str(estimator), "reachable": str(reachable)},
        pretrain=str(encoder.parent),
        tune=str(search),
        title="A <title>",
        notes=["Few patients."],
    )
    real = {"name": "Real", "corpus": str(line.real), "encoder": str(encoder)}
    real["tasks"] = [{"kind": "codes", "label": "superclasses"}]  # type: ignore[assignment]
    real["landmarks"] = {"num": 5, "compared": {"kind": "median_beat", "rate_hz": 50}}  # type: ignore[assignment]
    both = decode(EvaluateRun, json.loads(config.model_dump_json()) | {"studies": [*map(plain, config.studies), real]})
    return out, evaluate.run(both), both


def plain(config: Any) -> Any:
    return json.loads(config.model_dump_json())


def test_the_report_has_every_section_and_works_offline(finished: Any) -> None:
    out, lines, _ = finished
    html = (out / "report.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html, flags=re.DOTALL)
    text = [re.sub(r"<.*?>", "", heading).strip() for heading in headings]
    for name in ("Synthetic", "Real", "Pretraining", "Search"):
        assert name in text
    assert "A &lt;title&gt;" in html
    assert "<title>A <title>" not in html
    assert "Few patients." in html
    assert "age + sex" in html
    assert "random encoder + probe" in html
    assert "fine-tuned model" in html
    assert "DTW to landmarks + probe" in html
    assert "RMSE 3.21 mmHg" in html
    assert "Δ RMSE to age + sex" in html
    assert "Δ RMSE to random encoder + probe" in html
    assert html.count("<figure") >= 7
    for alt in ("Training and validation loss", "Validation loss of each trial", "Predicted against planted mPCWP"):
        assert alt in html
    for alt in (
        "ROC curves for mPCWP",
        "Embeddings on their first two principal axes",
        "an anchor, its mined positive",
    ):
        assert alt in html
    assert not re.findall(r'(?:src|href)="https?://', html)
    assert lines[-1] == f"report: {out / 'report.html'}"


def test_the_scores_lie_beside_it(finished: Any) -> None:
    out, lines, _ = finished
    scores = json.loads((out / "scores.json").read_text())
    assert list(scores) == [
        "Real: codes of superclasses",
        "Synthetic: regression of mpcwp_mmhg",
        "Synthetic: threshold of mpcwp_mmhg > 15",
    ]
    found = scores["Synthetic: regression of mpcwp_mmhg"]
    systems = {name.partition("/")[0] for name in found}
    assert systems == {"age_sex", "random_encoder_probe", "pretrained_encoder_probe", "fine-tuned_model"}
    for name in ("rmse", "mae", "r2", "r"):
        value = found[f"pretrained_encoder_probe/{name}"]
        low, high = found[f"pretrained_encoder_probe/{name}_low"], found[f"pretrained_encoder_probe/{name}_high"]
        assert low < high
        assert low <= value <= high
    assert f"{found['fine-tuned_model/rmse']:.2f} mmHg" in lines[0]
    assert "the best reachable is 3.21 mmHg" in lines[0]
    assert {"pretrained_encoder_probe/auroc", "pretrained_encoder_probe/auprc"} <= set(
        scores["Synthetic: threshold of mpcwp_mmhg > 15"]
    )
    for control in ("age_sex", "random_encoder_probe"):
        gap = found["fine-tuned_model/rmse"] - found[f"{control}/rmse"]
        assert found[f"fine-tuned_model/rmse_minus_{control}"] == pytest.approx(gap)
        assert found[f"fine-tuned_model/rmse_minus_{control}_low"] <= gap
    stronger = "age + sex" if found["age_sex/rmse"] < found["random_encoder_probe/rmse"] else "random encoder + probe"
    assert f"the strongest control, {stronger}: RMSE " in lines[0]


def test_limits_come_from_the_facts_before_the_configs_own(finished: Any) -> None:
    html = (finished[0] / "report.html").read_text(encoding="utf-8")
    box = html[html.index("What limits these findings</p>") :].partition("</ul>")[0]
    limits = [re.sub(r"<.*?>", "", item).strip() for item in re.findall(r"<li>(.*?)</li>", box, flags=re.DOTALL)]
    assert "no medical device" in limits[0]
    assert any(limit.startswith("Synthetic: the test split holds ") for limit in limits)
    assert any(limit.startswith("Real: the test split holds ") for limit in limits)
    planted = [limit for limit in limits if "planted" in limit]
    assert len(planted) == 1
    assert planted[0].startswith("Synthetic: the ECGs are synthetic and what is estimated was planted in them")
    assert limits[-1] == "Few patients."


def test_readings_of_the_test_split_are_counted_and_not_claimed(
    line: Any, finished: Any, encoder: Path, tmp_path: Path
) -> None:
    out = finished[0]
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "read once" not in html
    assert html.count("scored with 1 choice of models, tasks and seed") == 2
    assert "owes a part of its score" not in html
    assert len(list((out / "test-readings").iterdir())) == 2

    for name, num in (("a", 1), ("b", 2)):
        seed = {"seed": 7 if name == "b" else 0}
        evaluate.run(evaluation(line, tmp_path / name, encoder, study={"tasks": [MMHG]}, **seed))
        page = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert f"scored with {num} " in page
        assert ("owes a part of its score" in page) == (num > 1)
        assert "no medical device" in page


def test_again_it_gives_the_same_without_embedding_again(finished: Any) -> None:
    out, lines, config = finished
    html, scores = (out / "report.html").read_bytes(), (out / "scores.json").read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert len(stamps) > 6
    assert evaluate.run(config) == [f"{out} is finished already; nothing to do", *lines]
    assert (out / "scores.json").read_bytes() == scores
    assert (out / "report.html").read_bytes() == html
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == stamps


def test_no_pseudonym_of_a_patient_stands_in_the_report(line: Any, finished: Any) -> None:
    from hemometric.corpus import open_corpus

    html = (finished[0] / "report.html").read_text(encoding="utf-8")
    for path in (line.real, line.labelled):
        assert not [name for name in set(open_corpus(path).table()["patient"].to_pylist()) if name in html]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"study": {"tasks": [{"kind": "regression", "label": "mpap"}]}}, "tasks: the corpus has no label 'mpap'"),
        ({"study": {"reachable": "none.json"}}, "reachable: none.json does not exist"),
        ({"study": {"predictor": "none"}}, "model none does not exist"),
        ({"study": {"encoder": "none"}}, "model none does not exist"),
        ({"study": {"corpus": "none"}}, "corpus none does not exist"),
        ({"pretrain": "none"}, "pretrain: none holds no finished run"),
        ({"tune": "none"}, "none holds no finished search"),
    ],
)
def test_whatever_is_wrong_is_said_before_the_work(
    line: Any, encoder: Path, tmp_path: Path, fields: Any, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        evaluate.run(evaluation(line, tmp_path / "out", encoder, **fields))
    assert not (tmp_path / "out").exists()


def test_a_second_command_in_the_same_folder_changes_nothing(line: Any, encoder: Path, tmp_path: Path) -> None:
    with held_folder(tmp_path / "out"):
        with pytest.raises(PrecheckError, match="out: another command is writing into"):
            evaluate.run(evaluation(line, tmp_path / "out", encoder))
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_a_full_disk_is_said_with_the_place(
    line: Any, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluate, "_evaluated", full)
    with pytest.raises(PrecheckError, match=r"out: no room left to write in .*out \(No space"):
        evaluate.run(evaluation(line, tmp_path / "out", encoder))
