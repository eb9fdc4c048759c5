"""A corpus with planted truth: every number of its card is counted again, row by row in plain Python."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hemometric.corpus import FoldSplit, HashSplit, Label, SiteSplit
from hemometric.corpus.split import DateSplit
from hemometric.evaluation import Questions, Report, Section, Spark, Table, Text, render
from hemometric.evaluation.datacard import Answers, Census, SmallCells, count_corpus, data_card
from hemometric.evaluation.datacard.answers import OPEN
from hemometric.evaluation.datacard.sections import how_split
from hemometric.evaluation.markdown import render_markdown

LABELS = (
    Label(name="mpcwp_mmhg", unit="mmHg", low=-5, high=60),
    Label(name="mpcwp_mmhg_delta_h", unit="h"),
    Label(name="rhythm", kind="codes"),
)
SPLIT_OF = ("train", "train", "train", "validation", "test")
NUM_PATIENTS = 300
Rows = dict[str, list[Any]]


def planted() -> Rows:
    """Three hundred patients with one to four ECGs, in the order in which three ingests would leave them."""
    random = np.random.default_rng(5)
    rows: Rows = defaultdict(list)
    for who in range(NUM_PATIENTS):
        first = datetime(2001, 1, 1) + timedelta(hours=int(random.integers(9999)))
        for visit in range(1 + who % 4):
            # One site is of three patients, one flag of two, one code of one; 7 ECGs have no sex.
            values = {
                "recording_id": f"{who * 10 + visit:032x}",
                "patient": f"{who:032x}",
                "split": SPLIT_OF[who % 5],
                "partition": who * 7 % 64,
                "site": "tiny" if who < 3 else ("north", "south")[who % 2],
                "sex": None if who % 50 == 1 else ("female", "male")[who % 3 == 0],
                "age_years": float(20 + who % 60) if who != 7 else 90.0,
                "acquired": first + timedelta(days=[0, 0, 40, 800][visit], hours=visit),
                "source_format": "wfdb" if who % 2 else "muse",
                "rate_hz": 500.0 if who % 2 else 250.0,
                "num_samples": 5000 if who % 2 else 2500,
                "quantisation_error_mv": 0.001 if who % 4 == 0 else 0.0,
                "flags": ["mains_hum"] * (who % 6 == 0) + ["spikes"] * (who < 2) + ["derived_lead:III"] * (who % 2),
                "label.mpcwp_mmhg": float(random.normal(15, 6)) if who % 3 else None,
                "label.mpcwp_mmhg_delta_h": float(random.uniform(-20, 24)) if who % 3 else None,
                "label.rhythm": None if who % 10 == 0 else ["AF"] * (who % 2) + ["RARE"] * (who == 9),
                "quality.noise_uv": float(np.float32(random.gamma(4, 3))),
                "ingest": visit,
            }
            for name, value in values.items():
                rows[name].append(value)
    order = np.lexsort((rows["partition"], rows.pop("ingest")))
    return {name: [column[place] for place in order] for name, column in rows.items()}


ROWS = planted()
NUM = len(ROWS["recording_id"])
COUNTS = {
    "found": NUM + 9,
    "rejected": {"truncated": 6, "duplicate": 2, "linked_across_splits": 1},
    "unmatched": 3,
    "nulled": {"label.mpcwp_mmhg": 4},
}


@pytest.fixture(scope="module")
def census(write_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> Census:
    path = tmp_path_factory.mktemp("planted") / "corpus"
    corpus = write_corpus(path, ROWS, LABELS, shard_rows=40, links=2, counts=COUNTS, num_ingests=3)
    assert len(corpus.manifest.shards) > 15
    return count_corpus(corpus)


@pytest.fixture(scope="module")
def card(census: Census) -> Report:
    return data_card(census, "Planted", SmallCells(5), Answers(licence="CC BY 4.0"))


def table_of(report: Report, caption: str) -> dict[Any, tuple[Any, ...]]:
    """The rows of the one table whose caption begins so, by their first cell."""
    parts = [part for section in report.sections for part in section.parts]
    (found,) = [part for part in parts if isinstance(part, Table) and part.caption.startswith(caption)]
    return {row[0]: row[1:] for row in found.rows}


def text_of(report: Report, title: str) -> str:
    (section,) = [section for section in report.sections if section.title == title]
    return " ".join(part.body for part in section.parts if isinstance(part, Text))


def rows_where(condition: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    rows = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    return [row for row in rows if condition(row)]


def counted(condition: Callable[[dict[str, Any]], bool], of: int = NUM) -> tuple[int, Any, int]:
    """Recordings, their share in percent, patients."""
    found = rows_where(condition)
    return len(found), pytest.approx(100 * len(found) / of), len({row["patient"] for row in found})


def test_sources_refusals_and_their_reasons(card: Report) -> None:
    rows = table_of(card, "What was found")
    assert list(rows) == ["found", "accepted", "truncated", "duplicate", "linked_across_splits"]
    assert [row[1] for row in rows.values()] == [NUM + 9, NUM, 6, 2, 1]
    assert rows["duplicate"][0] == "the same ECG as another one, which is kept"
    assert table_of(card, "Values that were out") == {"label.mpcwp_mmhg": (4,)}
    told = text_of(card, "From sources to recordings")
    assert "over 3 ingests" in told
    assert "For 3 recordings the joined table has no row" in told
    assert "2 patient names turned out" in told


def test_splits(card: Report) -> None:
    rows = table_of(card, "Recordings and patients by split")
    assert rows == {name: counted(lambda row, name=name: row["split"] == name) for name in set(SPLIT_OF)}
    assert "By folds that the joined table names: train 1, 2, 3, 4, 5; validation 6; test 7" in text_of(card, "Splits")


def test_people(card: Report) -> None:
    rows = table_of(card, "Sex")
    assert rows == {
        "female": counted(lambda row: row["sex"] == "female"),
        "male": counted(lambda row: row["sex"] == "male"),
        "not known": counted(lambda row: row["sex"] is None),
    }
    ages = table_of(card, "Age at the time")
    assert ages.pop("90 and more years") == (None, None, "<5")
    (hidden,) = [name for name, row in ages.items() if row == (None, None, None)]
    for low in range(20, 80, 10):
        name = f"{low} to {low + 9} years"
        if name != hidden:
            assert ages[name] == counted(lambda row, low=low: low <= row["age_years"] < low + 10)
    repeats = table_of(card, "Patients by their number")
    assert repeats == {**{str(one): (75, 25.0) for one in (1, 2, 3)}, "4 to 5": (75, 25.0)}
    third = pytest.approx(100 / 3)
    assert table_of(card, "Time from a patient's first") == {
        "less than a day": (75, third),
        "1 to 6 days": (0, 0.0),
        "7 to 29 days": (0, 0.0),
        "30 days to a year": (75, third),
        "1 to 5 years": (75, third),
    }


def test_signals(card: Report) -> None:
    assert table_of(card, "Formats") == {
        name: counted(lambda row, name=name: row["source_format"] == name) for name in ("wfdb", "muse")
    }
    rates = table_of(card, "Sampling rate and length")
    assert rates == {
        f"{rate:g} Hz, 10.0 s": counted(lambda row, rate=rate: row["rate_hz"] == rate) for rate in (250.0, 500.0)
    }
    odd = counted(lambda row: "derived_lead:III" in row["flags"])[0]
    assert table_of(card, "Recordings by lead") == {
        "III": (NUM, odd, 0, 0),
        "I, II, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6": (NUM, 0, 0, 0),
    }
    native = counted(lambda row: row["quantisation_error_mv"] == 0.0)[0]
    assert f"{100 * native / NUM:.0f} % of the recordings hold the counts of the device" in text_of(card, "Signals")


def test_labels_and_their_distance_in_time(card: Report) -> None:
    rows = table_of(card, "Labels, and how many")
    assert list(rows) == ["mpcwp_mmhg", "rhythm"]
    recordings, _, patients = counted(lambda row: row["label.mpcwp_mmhg"] is not None)
    splits = [
        counted(lambda row, name=name: row["split"] == name and row["label.mpcwp_mmhg"] is not None)[0]
        for name in ("train", "validation", "test")
    ]
    assert rows["mpcwp_mmhg"] == ("mmHg", "−5 to 60", recordings, patients, *splits)
    values = [row["label.mpcwp_mmhg"] for row in rows_where(lambda row: row["label.mpcwp_mmhg"] is not None)]
    found = table_of(card, "How mpcwp_mmhg is spread")
    assert found["all"][0] == recordings
    assert float(found["all"][1]) == pytest.approx(statistics.fmean(values), abs=0.05)
    assert float(found["all"][2]) == pytest.approx(statistics.stdev(values), abs=0.05)
    exact = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), method="inverted_cdf")
    assert [float(text) for text in found["all"][3:]] == pytest.approx(exact, abs=0.06)
    assert found["validation"][3] == "–", "5 % of 40 patients are 2"
    hours = [row["label.mpcwp_mmhg_delta_h"] for row in rows_where(lambda row: row["label.mpcwp_mmhg"] is not None)]
    spread = table_of(card, "How the hours")
    assert float(spread["all"][1]) == pytest.approx(statistics.fmean(hours), abs=0.05)
    after = sum(hour > 0 for hour in hours) / len(hours)
    told = text_of(card, "Label mpcwp_mmhg")
    assert f"{100 * after:.0f} % of the values were measured after the ECG" in told


def test_codes_and_the_rare_one_is_not_named(card: Report) -> None:
    known = NUM - counted(lambda row: row["label.rhythm"] is None)[0]
    assert table_of(card, "Codes of rhythm") == {
        "AF": counted(lambda row: "AF" in (row["label.rhythm"] or ()), of=known),
        "1 held back": (None, None, "<5 each"),
    }
    assert table_of(card, "Recordings by what is known") == {
        "one or several codes": counted(lambda row: bool(row["label.rhythm"])),
        "none of the codes": counted(lambda row: row["label.rhythm"] == []),
        "not known": counted(lambda row: row["label.rhythm"] is None),
    }


def test_small_cells_are_nowhere_on_the_card(card: Report, census: Census) -> None:
    both = (render(card), render_markdown(card))
    for text in both:
        assert "tiny" not in text
        assert "RARE" not in text
    assert table_of(card, "Sites") == {
        # The smaller of the two is held back as well: else the third could be had by subtraction.
        "south": counted(lambda row: row["site"] == "south"),
        "2 held back": (None, None, None),
    }
    all_shown = data_card(census, "Planted", SmallCells(0), Answers())
    assert table_of(all_shown, "Sites")["tiny"] == counted(lambda row: row["site"] == "tiny")
    assert "RARE" in render_markdown(all_shown)


def test_quality_in_flags_and_figures(card: Report) -> None:
    flags = table_of(card, "Flags of recordings")
    assert flags == {
        "mains_hum": ("hum of the mains", *counted(lambda row: "mains_hum" in row["flags"])),
        "1 held back": ("", None, None, "<5 each"),
    }
    rows = table_of(card, "Quality of the accepted")
    unit, measured, low, middle, high, bins = rows["noise, worst lead"]
    exact = np.quantile(ROWS["quality.noise_uv"], (0.05, 0.5, 0.95), method="inverted_cdf")
    assert (unit, measured) == ("µV", "100 %")
    assert [float(text) for text in (low, middle, high)] == pytest.approx(exact, abs=0.06)
    assert isinstance(bins, Spark)
    assert sum(bins.heights) == pytest.approx(100, abs=2), "all but what few patients have"
    assert rows["steep part of the QRS"][1] == "0 %"


def test_key_figures_facts_and_questions(card: Report, census: Census) -> None:
    shown = {figure.label: (figure.value, figure.detail) for figure in card.key_figures}
    labelled = counted(lambda row: row["label.mpcwp_mmhg"] is not None)
    assert shown == {
        "ECGs": (str(NUM), f"of {NUM + 9} found"),
        "patients": (str(NUM_PATIENTS), ""),
        "ECGs with mpcwp_mmhg": (str(labelled[0]), f"of {labelled[2]} patients"),
        "refused": ("9", "for 3 reasons"),
    }
    facts = dict(card.facts)
    manifest = census.corpus.manifest
    assert (facts["corpus hash"], facts["pseudonym key"]) == (census.corpus.hash, manifest.key_id)
    assert (facts["schema version"], facts["ingests"]) == (str(manifest.schema_version), "3")
    (questions,) = [part for section in card.sections for part in section.parts if isinstance(part, Questions)]
    answers = dict(questions.answers)
    assert answers["Under which terms may it be used and handed on?"] == "CC BY 4.0"
    assert sum(answer == OPEN for answer in answers.values()) == 7
    assert "Yes. 75 % of the patients" in answers["Do rows depend on each other?"]
    assert any(note.startswith("7 questions") for note in card.notes)
    hints = text_of(card, "Preparing it")
    assert "from 250 to 500 Hz" in hints
    assert "hum with the mains" in hints


def test_a_corpus_without_labels_times_or_sites_has_a_card(write_corpus: Any, tmp_path: Any) -> None:
    rows = {
        "recording_id": ["a", "b"],
        "patient": ["p", "q"],
        "split": ["train", "train"],
        "partition": [1, 2],
    }
    report = data_card(count_corpus(write_corpus(tmp_path, rows)), "Bare", SmallCells(), Answers())
    text = render_markdown(report)
    assert "fewer than 5 patients" in text
    assert "No recording is in validation and test." in text
    assert "The corpus has no labels" in text
    assert dict(table_of(report, "Recordings and patients by split"))["train"] == (None, None, "<5")
    assert {figure.label: figure.value for figure in report.key_figures}["patients"] == "<5"
    assert [part for part in report.sections if isinstance(part, Section)]
    assert render(report)


@pytest.mark.parametrize(
    ("split", "told"),
    [
        (HashSplit(train=0.7, validation=0.1, test=0.2), "70 / 10 / 20 of 100"),
        (FoldSplit(train=(1, 2), validation=(3,), test=()), "train 1, 2; validation 3; test none"),
        (SiteSplit(validation=("b",), test=("c", "d")), "train all other sites; validation b; test c, d"),
        (DateSplit(validation_from=date(2019, 3, 4), test_from=date(2020, 5, 6)), "who came last tests"),
    ],
)
def test_how_splits_were_made(split: Any, told: str) -> None:
    assert told in how_split(split)
    assert "2019" not in how_split(split)


def test_splits_by_site_and_sites_give_no_small_site_away(write_corpus: Any, tmp_path: Any) -> None:
    sites = ["north"] * 65 + ["typo"] * 2 + ["south"] * 34
    rows: Rows = {
        "recording_id": [f"{place:032x}" for place in range(len(sites))],
        "patient": [f"{place:032x}" for place in range(len(sites))],
        "partition": [0] * len(sites),
        "site": sites,
        "split": ["test" if site == "south" else "train" for site in sites],
    }
    corpus = write_corpus(tmp_path / "corpus", rows, split=SiteSplit(validation=(), test=("south",)))
    card = data_card(count_corpus(corpus), "Sites", SmallCells(5), Answers())
    splits = table_of(card, "Recordings and patients by split")
    assert (splits["train"][0], splits["test"][0]) == (67, 34)
    assert set(table_of(card, "Sites")) == {"south", "2 held back"}, "north alone would leave 2 of train's 67"
    assert "No patient is known to have two ECGs." in render_markdown(card)
