"""From YAML text and ``a.b=value`` overrides to a typed config, with errors that name line, field and remedy."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from hemometric.config.base import Config
from hemometric.config.yaml_reader import Lines, read_text, read_yaml
from hemometric.errors import UsageError

C = TypeVar("C", bound=Config)


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
) -> C:
    """Check a mapping against `model`; see `decode_file`."""
    for override in overrides:
        data = _apply(data, override)
    overridden = {tuple(override.partition("=")[0].split(".")) for override in overrides}
    try:
        # Through JSON, strict mode still takes what YAML has no type for: paths from strings, tuples from lists.
        return model.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        sentences = [_sentence(model, item, source, lines or {}, overridden) for item in error.errors()]
        raise UsageError("; ".join(dict.fromkeys(sentences))) from None


def dump(config: Config) -> str:
    """Write a config as YAML, every field resolved."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _apply(data: dict[str, Any], override: str) -> dict[str, Any]:
    name, equals, text = override.partition("=")
    keys = name.split(".")
    if not equals or not all(keys):
        raise UsageError(f"override {override!r}: write it as field.subfield=value")
    value = read_yaml(f"value: {text}" if text.strip() else "value: null", source=f"override {name}")[0]["value"]
    result: dict[str, Any] = _with(data, keys, value, override)
    return result


def _with(level: Any, keys: Sequence[str], value: Any, override: str) -> Any:
    """Set one field below `level` without changing it; a number counts into a list."""
    if not keys:
        return value
    key, below = keys[0], keys[1:]
    if isinstance(level, list):
        if not key.isdigit() or int(key) >= len(level):
            raise UsageError(f"override {override!r}: {key} is no position in a list of {len(level)}, counted from 0")
        return [_with(item, below, value, override) if n == int(key) else item for n, item in enumerate(level)]
    if level is not None and not isinstance(level, dict):
        raise UsageError(f"override {override!r}: there is no {key!r} below a plain value")
    held = dict(level or {})
    held[key] = _with(held.get(key), below, value, override)
    return held


def _sentence(model: type[BaseModel], error: Any, source: str, lines: Lines, overridden: set[tuple[str, ...]]) -> str:
    location = tuple(error["loc"])
    path = _without_tags(location, lines)
    field = ".".join(str(part) for part in path) or "the file"
    if any(path[: len(name)] == name for name in overridden):
        where = "override"
    else:
        line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
        where = f"{source}, line {line}" if line else source
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{where}: unknown field {field!r}{_did_you_mean(str(location[-1]), fields_at(model, location[:-1]))}"
    if kind == "missing":
        return f"{where}: field {field!r} is missing"
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
        tag = str(error["ctx"]["tag"])
        return f"{where}: {field} has unknown kind {tag!r}{_did_you_mean(tag, tags)}"
    if kind == "union_tag_not_found":
        return f"{where}: {field} needs a field {error['ctx']['discriminator']}"
    message = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    shown = f", found {value!r}" if isinstance(value, (str, int, float, bool, type(None))) else ""
    return f"{where}: field {field!r}: {message[:1].lower()}{message[1:]}{shown}"


def _without_tags(location: tuple[Any, ...], lines: Lines) -> tuple[Any, ...]:
    """Drop the union tags that pydantic puts into a location: they are no fields of the file."""
    path: tuple[Any, ...] = ()
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        known = any(name[: len(path) + 1] == (*path, part) for name in lines)
        inside_known = any(name[: len(path)] == path for name in lines) if path else True
        if known or is_last or not inside_known:
            path = (*path, part)
    return path


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def fields_at(model: Any, location: Sequence[Any]) -> list[str]:
    """Names of the fields that may stand at a location of a config model, union tags and list positions included."""
    models = _models(model)
    for part in location:
        below: list[type[BaseModel]] = []
        for candidate in models:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                below += _models(field.annotation)
        if not below:  # a union tag or a position in a list: the same models, narrowed by tag where it fits
            tagged = [
                m for m in models if "kind" in m.model_fields and part in get_args(m.model_fields["kind"].annotation)
            ]
            below = tagged or models
        models = below
    return sorted({name for candidate in models for name in candidate.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, TypeAdapter):
        return []
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return _models(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType, tuple, list, dict):
        return [found for argument in get_args(annotation) for found in _models(argument)]
    return []
