"""Which fields of a config the options and arguments of a command stand for, so that errors name what was typed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Options:
    """The options of one command.

    Attributes
    ----------
    names : mapping
        From a dotted field to what a person types for it, such as ``--out``.
    given : frozenset of str
        Those fields that were so given this time.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()

    @classmethod
    def of(cls, fields: Mapping[str, object], names: Mapping[str, str] | None = None) -> Options:
        """Take fields with their values, empty where an option was not given; an option has its field's name."""
        spelt = {name: f"--{name.rpartition('.')[2].replace('_', '-')}" for name in fields}
        return cls(spelt | dict(names or {}), frozenset(name for name, value in fields.items() if value))

    def given_for(self, path: str, overridden: Collection[str] = ()) -> str | None:
        """Name the option that a field, or one that it lies in, was given by; None where it was not.

        A field that stands behind the command too is `overridden`: that value counts.
        """
        return next((self.names[name] for name in _around(path) if name in self.given and name not in overridden), None)

    def known_for(self, path: str) -> str | None:
        """Name the option that would give a field; None where there is none."""
        return self.names.get(path)


def _around(path: str) -> Iterable[str]:
    """Give a dotted path and all that it lies in."""
    while path:
        yield path
        path = path.rpartition(".")[0]
