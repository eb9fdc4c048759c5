"""A strict YAML reader: 1e-4 is a number, only true and false are booleans, a key stands once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from hemometric.errors import UsageError

_SHOWN_LENGTH = 40
Lines = dict[tuple[str | int, ...], int]
MAX_DEPTH = 32
"""Levels that a config may have: several times what any of them needs."""
_TAG = "tag:yaml.org,2002:"
_PLAIN = {"str", "int", "float", "bool", "null", "seq", "map"}
_NAMES = {type(None): "nothing", list: "a list"}


class _Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where ``1e-4`` is a string and ``no`` is False; this one reads them as YAML 1.2 does."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse aliases: a few lines of them can stand for more values than there is memory."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # its stubs lack it
            raise yaml.MarkedYAMLError(problem="aliases are not taken; write the value out", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        """YAML 1.1 takes 010 for 8, and 1:30 for 90."""
        return int(self.construct_scalar(node))


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for _REPLACED in [{f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "timestamp", "merge", "value")}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?\d+$"), list("-+0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_decimal)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|nan))$"),
    list("-+0123456789."),
)


def read_yaml(text: str, *, source: str) -> tuple[dict[str, Any], Lines]:
    """Read one mapping and the line of each of its fields.

    Returns
    -------
    data : dict
        The mapping.
    lines : dict
        From the path of a field, such as ``("miner", "window")``, to its line, counted from 1.

    Raises
    ------
    UsageError
        Not YAML, not a mapping, a key that stands twice or is no text, a tag other than those of plain values or that
        its value does not fit, or more levels than `MAX_DEPTH`.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _check(node, 1, _Loader(""), source)
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark else source
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UsageError(f"{where}: this is not valid YAML ({problem})") from None
    except ValueError as error:  # a number of thousands of digits
        raise UsageError(f"{source}: a value cannot be read ({error})") from None
    except RecursionError:
        raise UsageError(f"{source}: nested too deeply for a config") from None
    if not isinstance(data, dict):
        raise UsageError(
            f"{source}: expected a mapping of fields (``name: value``), found {_NAMES.get(type(data), 'a plain value')}"
        )
    lines: Lines = {}
    assert node is not None  # noqa: S101 - a mapping has a node
    _collect_lines(node, (), lines, source)
    return data, lines


def read_value(text: str, *, source: str) -> Any:
    """Read the value of an override: lists, mappings and quoted text as YAML, anything else as the plain value it is.

    So ``out=run: a #1`` is a path, though a file would need quotes around it.

    Raises
    ------
    UsageError
        A bracket or a quote is not closed, or a number has thousands of digits.
    """
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'"):
        return read_yaml(f"value: {text}", source=source)[0]["value"]
    loader = _Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # its stubs lack it
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except ValueError:
        raise UsageError(f"{source}: {text[:40]} … is no number that can be read") from None


def read_text(path: Path) -> str:
    """Read a config file.

    Raises
    ------
    UsageError
        It does not exist, is a folder, or is not text.
    """
    if path.is_dir() or not path.exists():  # a pipe such as <(…) can be read too
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"config {path} {kind}; give a YAML file such as those under configs/")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"config {path} is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"config {path} cannot be read: {error.strerror}") from None


def _check(node: yaml.Node, depth: int, loader: _Loader, source: str) -> None:
    """Refuse what has no place in a config, before PyYAML makes values of it: its own errors are of many kinds."""
    where = f"{source}, line {node.start_mark.line + 1}"
    name = node.tag.removeprefix(_TAG)
    if name not in _PLAIN:
        raise UsageError(f"{where}: the tag {node.tag[:_SHOWN_LENGTH]!r} is not taken; write the plain value")
    if depth > MAX_DEPTH:
        raise UsageError(f"{where}: nested too deeply for a config (more than {MAX_DEPTH} levels)")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                line = key.start_mark.line + 1
                raise UsageError(f"{source}, line {line}: the name of a field must be text; put quotes around it")
            _check(value, depth + 1, loader, source)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check(value, depth + 1, loader, source)
    elif name not in ("str", "seq", "map"):
        tag: str = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]  # see above
        looks = tag.removeprefix(_TAG)
        if looks != name and (looks, name) != ("int", "float"):  # a whole number is a float too
            raise UsageError(f"{where}: the tag !!{name} does not fit {node.value[:_SHOWN_LENGTH]!r}; leave it out")


def _collect_lines(node: yaml.Node, path: tuple[str | int, ...], lines: Lines, source: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            if here in lines:
                raise UsageError(f"{source}, line {key.start_mark.line + 1}: {key.value!r} stands twice; remove one")
            lines[here] = key.start_mark.line + 1
            _collect_lines(value, here, lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            _collect_lines(value, (*path, index), lines, source)
