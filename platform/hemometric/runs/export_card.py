"""The card of an export that Hugging Face `datasets` reads: a README whose head says files, columns and rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import yaml

from hemometric.runs.export_parts import Source
from hemometric.runs.export_readme import body


def card(source: Source, rows: Mapping[str, int], sizes: Mapping[str, int], signal: str) -> str:
    """Write the card.

    Parameters
    ----------
    rows : mapping
        From each split to its number of recordings.
    sizes : mapping
        From each split to the bytes of its files.
    signal : str
        What the signal column holds.
    """
    head: dict[str, Any] = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in rows],
            }
        ],
        "dataset_info": {
            "features": [{"name": field.name, **feature(field.type)} for field in source.schema],
            "splits": [{"name": split, "num_bytes": sizes[split], "num_examples": num} for split, num in rows.items()],
        },
        "tags": ["ecg"],
    }
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n" + body("hf", source, rows, signal)


def feature(kind: pa.DataType) -> dict[str, Any]:
    """Write an Arrow type as the card's YAML has it."""
    if pa.types.is_fixed_size_list(kind):
        return {"sequence": _inner(kind.value_type), "length": kind.list_size}
    if pa.types.is_list(kind):
        return {"sequence": _inner(kind.value_type)}
    return {"dtype": _name(kind)}


def _inner(kind: pa.DataType) -> Any:
    return feature(kind) if pa.types.is_nested(kind) else _name(kind)


def _name(kind: pa.DataType) -> str:
    names = {pa.float64(): "float64", pa.float32(): "float32"}
    return names.get(kind, str(kind))
