"""The columns of a corpus: one row is one ECG with its native counts, its scale, and what the table says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa

from hemometric.corpus.labels import LABEL_PREFIX, Label
from hemometric.corpus.sketch import NUM_FEATURES, Sketch
from hemometric.ecg import Recording
from hemometric.errors import IntegrityError
from hemometric.waveform import QUALITY_COLUMNS, Quality

SCHEMA_VERSION = 2
SIGNAL = "signal"
FEATURES, OUTLINE = "sketch_features", "sketch_outline"
HEAVY = (SIGNAL, FEATURES, OUTLINE)
"""Columns of bytes, which are read only where they are asked for."""

ROW_ORDER = ("split", "partition", "patient", "recording_id")
"""Rows are sorted by these columns within a shard, and shards of one ingest are."""

_VERSION_KEY = b"hemometric.schema_version"
_CORE = (
    pa.field("recording_id", pa.string(), nullable=False),
    pa.field("patient", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("partition", pa.int16(), nullable=False),
    pa.field("source_format", pa.string(), nullable=False),
    pa.field("rate_hz", pa.float64(), nullable=False),
    pa.field("num_samples", pa.int32(), nullable=False),
    pa.field("leads", pa.list_(pa.string()), nullable=False),
    pa.field("gain_per_mv", pa.list_(pa.float64()), nullable=False),
    pa.field("offset_counts", pa.list_(pa.float64()), nullable=False),
    pa.field("quantisation_error_mv", pa.float64(), nullable=False),
    # Little-endian int16, lead-major. Parquet has no 16-bit integer: tensor columns double the size and read slower.
    pa.field(SIGNAL, pa.binary(), nullable=False),
    # By which the same tracing is known again; see `sketch.Sketch`.
    pa.field(FEATURES, pa.binary(4 * NUM_FEATURES), nullable=False),
    pa.field(OUTLINE, pa.binary(), nullable=False),
    # Keyed hashes of its source's bytes and of its row in the table: they tell whether these have changed since.
    pa.field("content", pa.string(), nullable=False),
    pa.field("facts", pa.string(), nullable=False),
    pa.field("acquired", pa.timestamp("us")),
    pa.field("age_years", pa.float64()),
    pa.field("sex", pa.string()),
    pa.field("site", pa.string()),
    pa.field("fold", pa.int32()),
    pa.field("flags", pa.list_(pa.string()), nullable=False),
    pa.field("notes", pa.list_(pa.string()), nullable=False),
)

QUARANTINE_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("recording_id", "reason", "detail")),
        *(pa.field(name, pa.string(), nullable=False) for name in ("content", "facts")),
        pa.field("same_as", pa.string()),
    ]
)
"""What was refused; of a duplicate, `same_as` is the recording that is kept."""

REMOVED = "removed"
"""Reason of a recording that was taken out on request: no ingest reads it again."""

LINKS_SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("patient", "known_as")])
"""Pseudonyms of patients that go under another one, since a recording of both is the same."""


QUALITY_PREFIX = "quality."
_QUALITY = tuple(pa.field(QUALITY_PREFIX + name, pa.float32()) for name in QUALITY_COLUMNS)


def corpus_schema(labels: Sequence[Label]) -> pa.Schema:
    """Give the columns of a corpus with these labels, in order."""
    extra = [pa.field(label.column, label.arrow_type) for label in sorted(labels, key=lambda label: label.name)]
    return pa.schema([*_CORE, *_QUALITY, *extra], metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()})


def staged_schema(labels: Sequence[Label]) -> pa.Schema:
    """Give the columns of a staged unit: those of a corpus, but that where a row goes is not decided yet.

    `patient` is the recording's own, `split` what it asks for (see `placement.PLACED_COLUMNS`).
    """
    schema = corpus_schema(labels)
    schema = schema.remove(schema.get_field_index("partition"))
    return schema.set(schema.get_field_index("split"), pa.field("split", pa.string()))


def row_of(
    recording: Recording,
    *,
    recording_id: str,
    patient: str,
    split: str | None,
    acquired: datetime | None,
    flags: Sequence[str],
    quality: Quality,
    sketched: Sketch,
    metadata: Mapping[str, Any],
) -> dict[str, Any]:
    """Build the staged row of one ECG, all but ``content``, ``facts`` and ``notes``.

    Parameters
    ----------
    metadata : mapping
        ``age_years``, ``sex``, ``site``, ``fold`` and ``label.<name>``; the header's own age and sex fill gaps.
    """
    age = metadata.get("age_years")
    age = recording.age_years if age is None else age
    labels = {name: value for name, value in metadata.items() if name.startswith(LABEL_PREFIX)}
    return {
        "recording_id": recording_id,
        "patient": patient,
        "split": split,
        "source_format": recording.source_format,
        "rate_hz": float(recording.rate_hz),
        "num_samples": recording.num_samples,
        "leads": list(recording.leads),
        "gain_per_mv": recording.gain_per_mv.tolist(),
        "offset_counts": recording.offset_counts.tolist(),
        "quantisation_error_mv": float(recording.quantisation_error_mv),
        SIGNAL: np.ascontiguousarray(recording.counts, dtype="<i2").tobytes(),
        FEATURES: sketched.features.astype("<f4").tobytes(),
        OUTLINE: sketched.outline,
        "acquired": acquired,
        "age_years": None if age is None else capped_age(float(age)),
        "sex": metadata.get("sex") or recording.sex,
        "site": metadata.get("site"),
        "fold": metadata.get("fold"),
        "flags": sorted(flags),
        **{QUALITY_PREFIX + name: None if isnan(value) else value for name, value in asdict(quality).items()},
        **labels,
    }


def capped_age(age_years: float) -> float | None:
    """Give 90 for all above 89, since so few are that old that the number names them; None where it is no age."""
    if not 0 <= age_years <= 130:  # NaN too
        return None
    return 90.0 if age_years > 89 else age_years


def rows_of(table: pa.Table, source: str) -> list[dict[str, Any]]:
    """Turn rows into dictionaries, after refusing any type that is not plain Arrow.

    Extension types may carry code of their own (ray.data registers a pickled one), and `to_pylist` would run it.

    Raises
    ------
    IntegrityError
        A column has an extension type; the message names `source`.
    """
    refuse_extensions(table.schema, source)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def refuse_extensions(schema: pa.Schema, source: str) -> None:
    """Raise IntegrityError where a column, or a column within a column, is no plain Arrow type."""
    waiting = list(schema)
    while waiting:
        field = waiting.pop()
        if isinstance(field.type, pa.BaseExtensionType):
            raise IntegrityError(f"{source}: column {field.name!r} has an extension type, which a corpus never holds")
        waiting += [field.type.field(index) for index in range(field.type.num_fields)]


def check_schema(found: pa.Schema, expected: pa.Schema, source: str) -> None:
    """Compare the columns of a file with those that its manifest promises.

    Raises
    ------
    IntegrityError
        A column is missing, unexpected, of another type or in another place.
    """
    refuse_extensions(found, source)
    if found.equals(expected, check_metadata=False):
        return
    missing = sorted(set(expected.names) - set(found.names))
    extra = sorted(set(found.names) - set(expected.names))
    what = [f"lacks {', '.join(missing)}"] if missing else []
    what += [f"has the unexpected {', '.join(extra)}"] if extra else []
    raise IntegrityError(
        f"{source}: its columns are not those of the manifest ({'; '.join(what) or 'types or order differ'}); "
        "make the corpus again"
    )


def recording_of(row: Mapping[str, Any], signal: bytes | memoryview | pa.Buffer, source: str) -> Recording:
    """Build the ECG of a row; its key and patient are the pseudonyms, its counts a view of `signal`.

    Raises
    ------
    IntegrityError
        The signal's length is not leads times samples.
    """
    num_leads, num_samples = len(row["leads"]), row["num_samples"]
    counts = np.frombuffer(signal, dtype="<i2")
    if counts.size != num_leads * num_samples or len(row["gain_per_mv"]) != num_leads:
        raise IntegrityError(
            f"{source}: recording {row['recording_id']} does not hold {num_leads} x {num_samples} counts"
        )
    return Recording(
        key=row["recording_id"],
        leads=tuple(row["leads"]),
        rate_hz=row["rate_hz"],
        counts=counts.reshape(num_leads, num_samples),
        gain_per_mv=np.asarray(row["gain_per_mv"], dtype=np.float64),
        offset_counts=np.asarray(row["offset_counts"], dtype=np.float64),
        patient_id=row["patient"],
        age_years=row["age_years"],
        sex=row["sex"],
        source_format=row["source_format"],
        quantisation_error_mv=row["quantisation_error_mv"],
        acquired=row["acquired"],
    )
