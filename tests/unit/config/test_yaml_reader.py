"""Traps of YAML 1.1, and files that are no configs at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hemometric.config import read_yaml
from hemometric.config.yaml_reader import read_text
from hemometric.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-1.5e+3", -1500.0),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01 10:00:00", "2020-01-01 10:00:00"),
        ("1:30", "1:30"),
        ("010", 10),
        ("1_000", "1_000"),
        ("-7", -7),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("v1", "v1"),
        ("=", "="),
        ("<<", "<<"),
        ("!!float 1", 1.0),
        ("!!float 1.5", 1.5),
        ("!!int '7'", 7),
        ("!!str 7", "7"),
        ("!!bool true", True),
        ("!!null ''", None),
    ],
)
def test_a_plain_value_is_what_it_looks_like(text: str, value: Any) -> None:
    found = read_yaml(f"field: {text}", source="f")[0]["field"]
    assert found == value
    assert type(found) is type(value)


def test_each_field_has_its_line() -> None:
    _, lines = read_yaml("# first\na: 1\nb:\n  c: [1,\n    2]\n  d: {e: 3}\n", source="f")
    assert lines == {("a",): 2, ("b",): 3, ("b", "c"): 4, ("b", "c", 0): 4, ("b", "c", 1): 5, ("b", "d"): 6} | {
        ("b", "d", "e"): 6
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "f, line 3: 'a' stands twice; remove one"),
        ("a:\n  b: 1\n  b: 2\n", "f, line 3: 'b' stands twice; remove one"),
        ("a: 1\n\tb: 2\n", "f, line 2: this is not valid YAML"),
        ("a: [1\nb: 2\n", "f, line 2: this is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "f, line 2: this is not valid YAML"),
        ("a: \x00\n", "f: this is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "f, line 1: the tag 'tag:yaml.org,2002:python/object/apply"),
        ("a: !!int x\n", "f, line 1: the tag !!int does not fit 'x'; leave it out"),
        ("a: 1\nb: !!bool maybe\n", "f, line 2: the tag !!bool does not fit 'maybe'; leave it out"),
        ("a: !!float ''\n", "f, line 1: the tag !!float does not fit ''; leave it out"),
        ("a: !!float wide\n", "f, line 1: the tag !!float does not fit 'wide'; leave it out"),
        ("a: !!null x\n", "f, line 1: the tag !!null does not fit 'x'; leave it out"),
        ("a: !!map x\n", "f, line 1: this is not valid YAML (expected a mapping node"),
        ("a: !!str [x]\n", "f, line 1: this is not valid YAML (expected a scalar node"),
        ("a:\n- !!timestamp abc\n", "f, line 2: the tag 'tag:yaml.org,2002:timestamp' is not taken; write the plain"),
        ("a: !!binary aGk=\n", "f, line 1: the tag 'tag:yaml.org,2002:binary' is not taken; write the plain value"),
        ("a: !!set {x}\n", "f, line 1: the tag 'tag:yaml.org,2002:set' is not taken; write the plain value"),
        ("a: !!pairs [x: 1]\n", "f, line 1: the tag 'tag:yaml.org,2002:pairs' is not taken; write the plain value"),
        ("a: !own x\n", "f, line 1: the tag '!own' is not taken; write the plain value"),
        ("a:\n  1: x\n", "f, line 2: the name of a field must be text; put quotes around it"),
        ("a: {true: x}\n", "f, line 1: the name of a field must be text; put quotes around it"),
        ("a: 1\n~: x\n", "f, line 2: the name of a field must be text; put quotes around it"),
        ("!!binary aGk=: x\n", "f, line 1: the name of a field must be text; put quotes around it"),
        ("!!timestamp 2020-01-01: x\n", "f, line 1: the name of a field must be text; put quotes around it"),
        ("a: " + "[" * 32 + "]" * 32, "f, line 1: nested too deeply for a config (more than 32 levels)"),
        ("? [1, 2]\n: 3\n", "f, line 1: the name of a field must be text; put quotes around it"),
        (f"a: {'9' * 5000}\n", "f: a value cannot be read"),
        ("", "f: expected a mapping of fields (``name: value``), found nothing"),
        ("- a\n", "f: expected a mapping of fields (``name: value``), found a list"),
        ("just words\n", "f: expected a mapping of fields (``name: value``), found a plain value"),
        ("a: &x [1]\nb: *x\n", "f, line 2: this is not valid YAML (aliases are not taken; write the value out)"),
        ("a: &x\n  b: *x\n", "f, line 2: this is not valid YAML (aliases are not taken; write the value out)"),
        ("a: " + "[" * 5000 + "]" * 5000, "f: nested too deeply for a config"),
    ],
)
def test_what_is_no_config_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_yaml(text, source="f")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_billion_laughs_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(UsageError, match=r"line 2: this is not valid YAML .aliases"):
        read_yaml("\n".join(lines), source="f")


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"config .*none\.yaml does not exist; give a YAML file"):
        read_text(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="is a folder; give a YAML file"):
        read_text(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"title: caf\xe9\n")
    with pytest.raises(UsageError, match=r"latin\.yaml is not UTF-8 text"):
        read_text(tmp_path / "latin.yaml")


def test_a_merge_key_is_a_name_like_any_other() -> None:
    assert read_yaml("a: {<<: {b: 1}}\n", source="f")[0] == {"a": {"<<": {"b": 1}}}


def test_thirty_two_levels_are_taken() -> None:
    assert read_yaml("a: " + "[" * 30 + "1" + "]" * 30, source="f")[0]
