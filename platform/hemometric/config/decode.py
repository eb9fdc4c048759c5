"""From YAML text and ``a.b=value`` overrides to a typed config, with errors that name line, field and remedy."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from hemometric.config.base import Config
from hemometric.config.options import Options
from hemometric.config.yaml_reader import MAX_DEPTH, Lines, read_text, read_value, read_yaml
from hemometric.errors import UsageError

C = TypeVar("C", bound=Config)
_SHOWN_LENGTH = 80
_NUM_PROPOSED = 3
_CLOSE_BELOW = 0.8
"""How alike a field further down must be: among hundreds something always is a little."""
_QUOTED = re.compile(r"'([^']*)'")
SECRET = "may_be_secret"  # noqa: S105 - a name, and no password
"""Type of an error whose value may be a secret, and is not shown."""


def decode_file(model: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read a YAML file, apply overrides such as ``miner.window=0.1``, and check the result against `model`.

    Raises
    ------
    UsageError
        The file cannot be read, or a field is unknown, missing or of the wrong type; the message gives its line.
    """
    data, lines = read_yaml(read_text(path), source=str(path))
    return decode(model, data, overrides, source=str(path), lines=lines)


def decode(
    model: type[C],
    data: dict[str, Any],
    overrides: Sequence[str] = (),
    *,
    source: str = "config",
    lines: Lines | None = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> C:
    """Check a mapping against `model`; see `decode_file`. Errors name the `options` that a field came from."""
    for override in overrides:
        data = _apply(model, data, override)
    overridden = {override.partition("=")[0].strip() for override in overrides}
    try:
        # Through JSON, strict mode still takes what YAML has no type for: paths from strings, tuples from lists.
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        causes = _causes(error.errors())
        sentences = [_sentence(model, item, source, lines or {}, overridden, options) for item in causes]
        raise UsageError("; ".join(dict.fromkeys(sentences))) from None


def dump(config: Config) -> str:
    """Write a config as YAML, every field resolved."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _apply(model: type[Config], data: dict[str, Any], override: str) -> dict[str, Any]:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise UsageError(f"override {override!r}: write it as field.subfield=value")
    if len(keys) > MAX_DEPTH:
        raise UsageError(f"override {_short(name)}: nested too deeply for a config")
    value = read_value(text, source=f"override {name.strip()}")
    result: dict[str, Any] = _with(_begun(model, data, keys), keys, value, override)
    return result


def _begun(model: type[BaseModel], data: Any, keys: Sequence[str]) -> Any:
    """Begin a section that is not there with the kind that it has by default, where that kind has the field below."""
    key, below = keys[0], keys[1:]
    field = model.model_fields.get(key)
    if field is None or not below or not isinstance(data, dict):
        return data
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if key not in data and isinstance(default, Config) and below[0] in {*type(default).model_fields} - {"kind"}:
        kind = getattr(default, "kind", None)
        return {**data, key: _begun(type(default), {} if kind is None else {"kind": kind}, below)}
    held = data.get(key)
    inner = _models(_members(field.annotation))
    if len(inner) > 1:
        inner = [one for one in inner if isinstance(held, dict) and _is_tagged(one, held.get("kind"))]
    return {**data, key: _begun(inner[0], held, below)} if inner and key in data else data


def _with(level: Any, keys: Sequence[str], value: Any, override: str) -> Any:
    """Set one field below `level` without changing it; a number counts into a list."""
    if not keys:
        return value
    key, below = keys[0], keys[1:]
    if isinstance(level, list):
        if not key.isdecimal() or int(key) >= len(level):
            raise UsageError(f"override {override!r}: {key} is no position in a list of {len(level)}, counted from 0")
        return [_with(item, below, value, override) if n == int(key) else item for n, item in enumerate(level)]
    if level is not None and not isinstance(level, dict):
        raise UsageError(f"override {override!r}: there is no {key!r} below a plain value")
    held = dict(level or {})
    # The names of a search have dots of their own: what stands in the file goes before.
    whole = next((end for end in range(len(keys), 1, -1) if ".".join(keys[:end]) in held), 1)
    key, below = ".".join(keys[:whole]), keys[whole:]
    held[key] = _with(held.get(key), below, value, override)
    return held


def _causes(errors: Sequence[Any]) -> list[Any]:
    """Leave out that a list is too short where the reason is that an item of it is wrong."""
    places = [tuple(error["loc"]) for error in errors]

    def follows(error: Any, place: tuple[Any, ...]) -> bool:
        return error["type"] == "too_short" and any(other[: len(place)] == place != other for other in places)

    return [error for error, place in zip(errors, places, strict=True) if not follows(error, place)]


def _sentence(
    model: type[BaseModel], error: Any, source: str, lines: Lines, overridden: set[str], options: Options
) -> str:
    path, fields = _walk(model, error["loc"])
    field = ".".join(str(part) for part in path)
    kind = error["type"]
    option = options.given_for(field, overridden)
    if kind == "union_tag_invalid":
        path = (*path, "kind")
    if option is not None:
        where = option
    elif any(_is_of_override(".".join(map(str, path)), name, kind) for name in overridden):
        where = "override"
    else:
        line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
        where = f"{source}, line {line}" if line else source
    if kind == "extra_forbidden":
        return f"{where}: unknown field {field!r}{_meant(model, field, fields)}"
    if kind == "missing":
        known = options.known_for(field)
        return f"{where}: field {field!r} is missing" + (f"; give {known}" if known else "")
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
        tag = str(error["ctx"]["tag"])
        return f"{where}: {field} has unknown kind {tag!r}{_did_you_mean(tag, tags)}"
    if kind == "union_tag_not_found":
        return f"{where}: {field} needs a field 'kind'; it says which one is meant"
    message = error["msg"].removeprefix("Value error, ")
    if kind == "too_short":
        message = f"give at least {error['ctx']['min_length']}, found {error['ctx']['actual_length']}"
    if not path:
        return f"{where}: {message}"
    value = error["input"]
    is_shown = kind != SECRET and isinstance(value, (str, int, float, bool, type(None)))
    shown = f", found {_short(value)}" if is_shown else ""
    if kind == "literal_error" and isinstance(value, str):
        close = _closest(value, _QUOTED.findall(error["ctx"]["expected"]))
        shown += f"; did you mean {close!r}?" if close else ""
    message = f"{message[:1].lower()}{message[1:]}{shown}"
    if option is None:
        return f"{where}: field {field!r}: {message}"
    number = f", number {path[-1] + 1}" if isinstance(path[-1], int) and not shown else ""
    return f"{option}{number}: {message}"


def _is_of_override(field: str, name: str, kind: str) -> bool:
    """Whether an override has set a field, one that it lies in, or one within a field that there is not."""
    return f"{field}.".startswith(f"{name}.") or (kind == "extra_forbidden" and name.startswith(f"{field}."))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]} …"


def _walk(model: type[BaseModel], location: Sequence[Any]) -> tuple[tuple[Any, ...], list[str]]:
    """Follow pydantic's location of an error through the model's fields.

    Pydantic also puts the tag or the type of a union's member into it, which is no field of the file.

    Returns
    -------
    path : tuple
        The fields, keys and positions alone.
    fields : list of str
        What else may stand where the last of them stands.
    """
    path: tuple[Any, ...] = ()
    here: list[Any] = [model]
    fields: list[str] = []
    for part in location:
        models = _models(here)
        if len(here) > 1:  # a union: this part says which of its members pydantic tried
            here = [found for found in models if _is_tagged(found, part)] or here[:1]
        elif models:
            path, fields = (*path, part), sorted(models[0].model_fields)
            field = models[0].model_fields.get(str(part))
            here = _members(field.annotation) if field is not None else []
        elif here and part != "[key]":
            path, fields = (*path, part), []
            inner = [argument for argument in get_args(here[0]) if argument is not Ellipsis]
            here = _members(inner[-1]) if inner else []
    return path, fields


def _members(annotation: Any) -> list[Any]:
    """Give the members of a union, or the type itself, without None."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for argument in get_args(annotation) for found in _members(argument)]
    return [] if annotation is type(None) else [annotation]


def _models(members: Sequence[Any]) -> list[type[BaseModel]]:
    return [found for found in members if isinstance(found, type) and issubclass(found, BaseModel)]


def _is_tagged(model: type[BaseModel], tag: Any) -> bool:
    return "kind" in model.model_fields and tag in get_args(model.model_fields["kind"].annotation)


def _closest(word: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """Give the word that was meant: the same in other capitals, or else a similar one; empty where there is none."""
    alike = [one for one in known if one.casefold() == word.casefold()]
    return next(iter(alike or difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), "")


def _meant(model: type[BaseModel], field: str, fields: Sequence[str]) -> str:
    """Propose a field that stands beside, or else one further down, by its dotted name."""
    section, _, word = field.rpartition(".")
    # What stands in this very section are `fields`; any other there is one of another kind.
    below = [name for name in _below(model) if not section or name.rpartition(".")[0] != section]
    beside = _closest(word, fields)
    exact = [name for name in below if name.rpartition(".")[2] == word]
    if beside and (beside.casefold() == word.casefold() or not exact):
        return f"; did you mean {beside!r}?"
    last = _closest(word, sorted({name.rpartition(".")[2] for name in below}), _CLOSE_BELOW)
    found = exact or [name for name in below if name.rpartition(".")[2] == last]
    if not found:
        return _did_you_mean(word, fields)
    return f"; did you mean {' or '.join(map(repr, found[:_NUM_PROPOSED]))}?"


def _below(model: type[BaseModel], before: tuple[type[BaseModel], ...] = (), prefix: str = "") -> list[str]:
    """List the dotted names of all fields, those of models within models too; the shortest names first."""
    found: list[str] = []
    if model not in before:
        for name, field in model.model_fields.items():
            found.append(f"{prefix}{name}")
            for inner in _models(_members(field.annotation)):
                found += _below(inner, (*before, model), f"{prefix}{name}.")
    return sorted(dict.fromkeys(found), key=lambda name: (name.count("."), name))


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = _closest(word, known)
    if close:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""
