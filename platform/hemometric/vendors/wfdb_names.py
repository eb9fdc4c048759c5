"""Files that a WFDB header names, where a system that ignores letter case has written their names in other capitals."""

from __future__ import annotations

from pathlib import Path


def spellings(header: Path, name: str) -> tuple[str, ...]:
    """Give the names that a file of a header may have, as it is written there first.

    The suffix may be in capitals or not, a stem that is the header's but for capitals may be spelt as the header's own,
    and all may be in capitals, or nothing, if the header's name is. No other name is tried: beside ``R0.HEA`` may lie
    an ``r0.dat`` of another record.
    """
    stem, suffix = Path(name).stem, Path(name).suffix
    if stem.casefold() == header.stem.casefold():
        stem = header.stem
    whole = name.upper() if header.name.isupper() else name.lower() if header.name.islower() else name
    ends = (suffix, suffix.upper(), suffix.lower())
    return tuple(dict.fromkeys((name, *(f"{stem}{end}" for end in ends), whole)))


def beside(header: Path, name: str) -> Path:
    """Give the file that a header names in its folder, by the name that it has there; whether it is there or not."""
    paths = [header.with_name(one) for one in spellings(header, name)]
    return next((path for path in paths if path.is_file()), paths[0])
