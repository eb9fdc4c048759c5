"""Errors that name line, field and remedy; overrides; what is written is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from hemometric.config import Config, Options, decode, decode_file, dump
from hemometric.errors import UsageError
from hemometric.runs.catalogue import config_of
from hemometric.runs.export import ExportRun
from hemometric.runs.pretrain import PretrainRun

PRETRAIN = "job: pretrain\ncorpus: c\nout: o\n"
TUNE = """job: tune
corpus: c
out: o
search:
  objective.metric.margin: {kind: uniform, low: 0.1, high: 1}
"""
STUDY = """job: evaluate
out: o
studies:
  - name: a
    corpus: c
    encoder: e
    tasks:
"""


def refused(tmp_path: Path, job: str, text: str, overrides: tuple[str, ...] = ()) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        decode_file(config_of(job), path, overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("job", "text", "sentence"),
    [
        (
            "pretrain",
            PRETRAIN + "batchsize: 8\n",
            "FILE, line 4: unknown field 'batchsize'; did you mean 'batch_size'?",
        ),
        (
            "pretrain",
            PRETRAIN + "mining:\n  distance:\n    kind: dtw\n    windw: 0.1\n",
            "FILE, line 7: unknown field 'mining.distance.windw'; did you mean 'window'?",
        ),
        (
            "pretrain",
            PRETRAIN + "mining:\n  distance:\n    kind: dtw\n    window: wide\n",
            "FILE, line 7: field 'mining.distance.window': give a fraction (0.1), samples (25), or null for no "  # noqa: ISC004
            "band, found 'wide'",
        ),
        (
            "pretrain",
            PRETRAIN + "mining:\n  miner:\n    kind: nearest\n    negatives:\n      kind: farthest\n      kk: 3\n",
            "FILE, line 9: unknown field 'mining.miner.negatives.kk'; did you mean 'k'?",
        ),
        (
            "pretrain",
            PRETRAIN + "mining:\n  miner:\n    kind: nearst\n",
            "FILE, line 6: mining.miner has unknown kind 'nearst'; did you mean 'nearest'?",
        ),
        (
            "pretrain",
            PRETRAIN + "mining:\n  miner:\n    scaling: none\n",
            "FILE, line 5: mining.miner needs a field 'kind'; it says which one is meant",
        ),
        ("pretrain", "job: pretrain\nout: o\n", "FILE: field 'corpus' is missing"),
        (
            "pretrain",
            PRETRAIN + "preparation: {leads: [I, IX]}\n",
            "FILE, line 4: field 'preparation.leads': unknown lead 'IX'; the leads are I, II, III, aVR, aVL, aVF, "  # noqa: ISC004
            "V1, V2, V3, V4, V5, V6",
        ),
        (
            "pretrain",
            PRETRAIN + "preparation:\n  leads:\n  - I\n  - 3\n",
            "FILE, line 7: field 'preparation.leads.1': input should be a valid string, found 3",
        ),
        (
            "pretrain",
            PRETRAIN + 'encoder: {normalised: "False"}\n',
            "FILE, line 4: field 'encoder.normalised': input should be a valid boolean, found 'False'",
        ),
        (
            "pretrain",
            PRETRAIN + "seed: 1.5\n",
            "FILE, line 4: field 'seed': input should be a valid integer, found 1.5",
        ),
        (
            "evaluate",
            STUDY + "      - {kind: threshold, label: x, threshold: 1, thresold: 3}\n",
            "FILE, line 8: unknown field 'studies.0.tasks.0.thresold'; did you mean 'threshold'?",
        ),
        (
            "tune",
            TUNE.replace("low: 0.1", "lw: 0.1, low: 0.1"),
            "FILE, line 5: unknown field 'search.objective.metric.margin.lw'; did you mean 'low'?",
        ),
        (
            "tune",
            TUNE.replace("uniform", "uniforn"),
            "FILE, line 5: search.objective.metric.margin has unknown kind 'uniforn'; did you mean 'uniform'?",
        ),
        (
            "tune",
            TUNE.replace("metric", "metrik"),
            "FILE: search.objective.metrik.margin does not fit the config (search: unknown field "  # noqa: ISC004
            "'objective.metrik'; did you mean 'metric'?)",
        ),
        (
            "ingest",
            "job: ingest\nout: o\nsources: [a]\ningest:\n  split: {kind: hash, train: 0.9}\n",
            "FILE, line 5: field 'ingest.split': split fractions add up to 1.3; they must add up to 1",
        ),
    ],
)
def test_an_error_names_line_field_and_remedy(tmp_path: Path, job: str, text: str, sentence: str) -> None:
    assert refused(tmp_path, job, text) == sentence


class Narrow(Config):
    kind: Literal["narrow"] = "narrow"
    width: int | float | None = 0.1


class Wide(Config):
    kind: Literal["wide"] = "wide"
    widths: tuple[int | str, ...] = ()


class Outer(Config):
    shape: Annotated[Narrow | Wide, Field(discriminator="kind")] = Narrow()
    named: dict[str, Annotated[Narrow | Wide, Field(discriminator="kind")]] = Field(default_factory=dict)
    sizes: dict[str, int] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"shape": {"kind": "narrow", "width": "x"}}, "shape.width"),
        ({"shape": {"kind": "wide", "widths": [1, "a", None]}}, "shape.widths.2"),
        ({"named": {"a.b": {"kind": "narrow", "width": "x"}}}, "named.a.b.width"),
        ({"named": {"int": {"kind": "narrow", "width": "x"}}}, "named.int.width"),
        ({"sizes": {"a": "x"}}, "sizes.a"),
    ],
)
def test_no_type_or_tag_of_a_union_stands_in_the_field(data: dict[str, Any], field: str) -> None:
    with pytest.raises(UsageError, match="valid") as caught:
        decode(Outer, data)
    assert {part.split("'")[1] for part in str(caught.value).split("; ")} == {field}


def test_only_the_cause_is_told(tmp_path: Path) -> None:
    """Pydantic also says of a tuple with a wrong item that it is empty."""
    sentence = refused(tmp_path, "evaluate", STUDY + "      - {kind: threshold, label: x}\n")
    assert sentence == "FILE, line 8: field 'studies.0.tasks.0.threshold' is missing"


def test_several_errors_are_told_at_once(tmp_path: Path) -> None:
    sentence = refused(tmp_path, "pretrain", PRETRAIN + "sed: 1\nbatch_size: 1\n")
    assert "'sed'; did you mean 'seed'?" in sentence
    assert "'batch_size': input should be greater than or equal to 2, found 1" in sentence


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    assert len(refused(tmp_path, "pretrain", PRETRAIN + f"seed: {'x' * 5000}\n")) < 300


def pretrain(*overrides: str, **fields: Any) -> PretrainRun:
    return decode(PretrainRun, {"corpus": "c", "out": "o"} | fields, overrides)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=3", "seed", 3),
        (" seed = 3", "seed", 3),
        ("seed=010", "seed", 10),
        ("optimiser.learning_rate=1e-4", "optimiser.learning_rate", 1e-4),
        ("optimiser.learning_rate=1", "optimiser.learning_rate", 1.0),
        ("mining.distance.window=null", "mining.distance.window", None),
        ("mining.distance.window=25", "mining.distance.window", 25),
        ("mining.distance.window=0.2", "mining.distance.window", 0.2),
        ("preparation.leads=[I, V1]", "preparation.leads", ("I", "V1")),
        ("encoder.widths.1=7", "encoder.widths", (64, 7, 256, 512)),
        ("mining.miner={kind: random}", "mining.miner.kind", "random"),
        ("out=a run: of #1, with = and 'quotes'", "out", Path("a run: of #1, with = and 'quotes'")),
        ('out=" spaced"', "out", Path(" spaced")),
        ("out=*star", "out", Path("*star")),
        ("out=2020-01-01", "out", Path("2020-01-01")),
        ("cache=", "cache", None),
        ("tracking.uri=http://host:5000", "tracking.uri", "http://host:5000"),
    ],
)
def test_an_override_sets_one_field(override: str, path: str, value: Any) -> None:
    fields = {"encoder": {"widths": [64, 128, 256, 512]}, "mining": {"distance": {"kind": "dtw"}}}
    found: Any = pretrain(override, **fields)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_an_override_into_a_section_that_is_not_there_means_the_default_kind_s() -> None:
    assert decode(Outer, {}, ["shape.width=2"]).shape == Narrow(width=2)
    assert decode(Outer, {}, ["shape.widths=[2]", "shape.kind=wide"]).shape == Wide(widths=(2,))
    with pytest.raises(UsageError, match="shape needs a field 'kind'"):
        decode(Outer, {}, ["shape.widths=[2]"])  # the default kind has no such field
    with pytest.raises(UsageError, match="shape needs a field 'kind'"):
        decode(Outer, {"shape": {"width": 1}}, ["shape.width=2"])  # a section that is there says its kind
    ingest: Any = decode(
        config_of("ingest"), {"sources": ["a"], "out": "o"}, ["ingest.split.train=0.5", "ingest.split.test=0.3"]
    )
    assert ingest.ingest.split.model_dump() == {"kind": "hash", "train": 0.5, "validation": 0.2, "test": 0.3}


def test_an_override_finds_a_key_with_dots() -> None:
    data = {"corpus": "c", "out": "o", "search": {"objective.alpha": {"kind": "uniform", "low": 0.1, "high": 2.0}}}
    tuned: Any = decode(config_of("tune"), data, ["search.objective.alpha.high=0.5"])
    assert tuned.search["objective.alpha"].high == 0.5


def test_the_later_override_wins_and_the_mapping_stays_as_it_was() -> None:
    data = {"corpus": "c", "out": "o", "encoder": {"blocks": [1, 1]}}
    assert decode(PretrainRun, data, ["seed=1", "seed=2", "encoder.widths=[8, 8]"]).seed == 2
    assert data == {"corpus": "c", "out": "o", "encoder": {"blocks": [1, 1]}}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("mining.distance.windw=1", "override: unknown field 'mining.distance.windw'; did you mean 'window'?"),
        ("mining.distance.kind=dwt", "override: mining.distance has unknown kind 'dwt'; did you mean 'dtw'?"),
        ("seed=x", "override: field 'seed': input should be a valid integer, found 'x'"),
        ("encoder.widths.9=7", "override 'encoder.widths.9=7': 9 is no position in a list of 4, counted from 0"),
        ("seed.a=1", "override 'seed.a=1': there is no 'a' below a plain value"),
        ("seed", "override 'seed': write it as field.subfield=value"),
        ("=1", "override '=1': write it as field.subfield=value"),
        ("a..b=1", "override 'a..b=1': write it as field.subfield=value"),
        ("preparation.leads=[I", "override preparation.leads, line 1: this is not valid YAML"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(override: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        pretrain(override, encoder={"widths": [1, 2, 3, 4]}, seed=0, mining={"distance": {"kind": "dtw"}})
    assert str(caught.value).startswith(sentence)


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(UsageError, match="is no number that can be read"):
        pretrain(f"seed={'9' * 5000}")


def test_a_config_is_frozen_and_strict() -> None:
    config = pretrain()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        PretrainRun(corpus=Path("c"), out=Path("o"), sed=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="valid integer"):
        PretrainRun(corpus=Path("c"), out=Path("o"), seed="3")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="finite"):
        pretrain("optimiser.learning_rate=.inf")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = pretrain("mining.distance={kind: dtw, window: 25}", "preparation.leads=[I, V1]", "out=ä b: c")
    path = tmp_path / "run.yaml"
    path.write_text(dump(config), encoding="utf-8")
    assert decode_file(PretrainRun, path) == config


@pytest.mark.parametrize(
    ("job", "override", "told"),
    [
        ("ingest", "max_rejected_fraction=1", "'max_rejected_fraction'; did you mean 'ingest.max_rejected_fraction'?"),
        ("ingest", "max_rejectd_fraction=1", "'max_rejectd_fraction'; did you mean 'ingest.max_rejected_fraction'?"),
        ("ingest", "quality.min_duration_s=4", "override: unknown field 'quality'; did you mean 'ingest.quality'?"),
        ("ingest", "ingest.min_duration_s=4", "'ingest.min_duration_s'; did you mean 'ingest.quality.min_duration_s'?"),
        ("ingest", "ingest.validation_from=x", "did you mean 'ingest.split.validation_from'?"),
        ("ingest", "Workers=1", "did you mean 'workers'?"),
        ("export", "splits=[test]", "did you mean 'selection.splits'?"),
        ("pretrain", "learning_rate=1", "did you mean 'optimiser.learning_rate'?"),
        ("pretrain", "sed=1", "did you mean 'seed'?"),
    ],
)
def test_a_field_is_found_wherever_it_stands(job: str, override: str, told: str) -> None:
    model = ExportRun if job == "export" else config_of(job)
    with pytest.raises(UsageError, match="unknown field") as caught:
        decode(model, {"sources": ["a"], "corpus": "c", "out": "o", "to": "npy"}, [override])
    assert told in str(caught.value)


OPTIONS = Options.of({"sources": ["a"], "out": "o", "key": None, "ingest.table": "t.csv"}, {"sources": "SOURCES"})


@pytest.mark.parametrize(
    ("data", "overrides", "told"),
    [
        ({"sources": ["s" * 256], "out": "o"}, [], "SOURCES: a name in this path has 256 bytes"),
        ({"sources": ["a", "s3://a:b@c/d"], "out": "o"}, [], "SOURCES, number 2: "),
        ({"sources": ["a"], "out": "o" * 256}, [], "--out: a name in this path has 256 bytes"),
        (
            {"sources": ["a"], "out": "o" * 256},
            ["out=3"],
            "override: field 'out': input should be a valid string, found 3",
        ),
        ({"sources": ["a"], "out": "o", "key": 3}, [], "FILE, line 3: field 'key': "),
        ({"sources": ["a"]}, [], "FILE: field 'out' is missing; give --out"),
        ({"out": "o"}, [], "FILE: field 'sources' is missing; give SOURCES"),
        ({"sources": ["a"], "out": "o"}, ["ingest.table.path=t"], "--table: unknown field 'ingest.table.path'; "),
    ],
)
def test_an_error_names_the_option_that_was_typed(data: dict[str, Any], overrides: list[str], told: str) -> None:
    if told.startswith("--table"):
        data = data | {"ingest": {"table": {"kind": "none"}}}
    is_missing = "missing" in told
    options = Options(OPTIONS.names) if is_missing else OPTIONS
    lines: Any = {} if is_missing else {("key",): 3, ("out",): 4}
    with pytest.raises(UsageError) as caught:
        decode(config_of("ingest"), data, overrides, source="FILE", lines=lines, options=options)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("value", ["1", "[" * 2000 + "]" * 2000])
def test_an_override_that_is_too_deep_is_one_sentence(value: str) -> None:
    with pytest.raises(UsageError, match=r"override .*: nested too deeply for a config") as caught:
        decode(Outer, {}, [f"{'.'.join(['a'] * (2000 if value == '1' else 2))}={value}"])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["=", "<<"])
def test_an_override_of_yaml_s_own_signs_is_text(value: str) -> None:
    assert decode(Outer, {"shape": {"kind": "wide"}}, [f"shape.widths=[{value}]"]).shape == Wide(widths=(value,))
    with pytest.raises(UsageError, match="sizes"):
        decode(Outer, {}, [f"sizes={value}"])


def test_what_no_path_can_be_is_refused_before_anything_asks_the_disk(tmp_path: Path) -> None:
    sentence = refused(tmp_path, "pretrain", 'job: pretrain\ncorpus: c\nout: "a\\0b"\n')
    assert sentence.startswith("FILE, line 3: field 'out': it holds the character NUL")
    long = "é" * 128
    sentence = refused(tmp_path, "pretrain", f"job: pretrain\ncorpus: d/{long}/c\nout: o\n")
    assert sentence.startswith("FILE, line 2: field 'corpus': a name in this path has 256 bytes, and at most 255 are")
    assert "field 'sources'" in refused(tmp_path, "ingest", f"job: ingest\nout: o\nsources: [a, {'s' * 256}]\n")
    assert "field 'ingest.table.path'" in refused(
        tmp_path,
        "ingest",
        f"job: ingest\nout: o\nsources: [a]\ningest: {{table: {{kind: ptbxl, path: {'s' * 256}}}}}\n",
    )
    assert "field 'tracking.uri'" in refused(
        tmp_path, "pretrain", PRETRAIN, ('tracking={kind: mlflow, uri: "sqlite:///a\\0b"}',)
    )


def test_a_field_of_another_kind_is_not_proposed_to_itself() -> None:
    with pytest.raises(UsageError) as caught:
        pretrain("encoder.blocks=[1, 1]", encoder={"kind": "pclr"})
    assert str(caught.value).startswith("override: unknown field 'encoder.blocks'; known: dropout, embedding_dim")
