"""Measurement tables read once: cleaned, counted, and written as one file, sorted by patient, label and time.

The file holds pseudonyms and shifted times, as a corpus does; `pairing` maps it into the memory of each worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.config import fingerprint
from hemometric.corpus.clocks import TIMESTAMP
from hemometric.corpus.files import replacing, sha256_of, write_bytes
from hemometric.corpus.measurements import LongTable, Pair, WideTable
from hemometric.corpus.metadata_columns import within
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.quantities import factor
from hemometric.corpus.table_files import read_columns
from hemometric.errors import UsageError

FATES = (
    "used",
    "no_value",
    "no_patient",
    "no_time",
    "unreadable",
    "unknown_unit",
    "out_of_range",
    "repeated",
    "contradicted",
)
"""What becomes of a table's values, the first reason that holds; they add up to the values of each label.

``repeated``: the same patient, time and value stands there already. ``contradicted``: another value of the same patient
and time does, and neither is used.
"""

SCHEMA = pa.schema(
    [
        ("patient_high", pa.uint64()),
        ("patient_low", pa.uint64()),
        ("label", pa.int16()),
        ("time_us", pa.int64()),
        ("value", pa.float64()),
    ]
)
Counts = dict[str, dict[str, int]]
"""From a label to how often each fate befell."""


@dataclass(frozen=True)
class Measured:
    """Measurements that are ready to be paired; plain values, so that it travels to workers.

    Attributes
    ----------
    path : Path
        The file; see the module's first line.
    names : tuple of str
        Labels, by their number in the file.
    pairs : tuple of Pair
        The rule of each label.
    counts : dict
        What became of the values of each label; see `FATES`.
    """

    path: Path
    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    counts: Counts


def hash_of(tables: Sequence[LongTable | WideTable]) -> str:
    """Hash the configs and the bytes of measurement tables; SHA-256 of nothing where there are none.

    Raises
    ------
    UsageError
        A table does not exist.
    """
    for table in tables:
        if not table.path.is_file():
            raise UsageError(f"table {table.path} does not exist")
    return hashlib.sha256("".join(fingerprint(t) + sha256_of(t.path) for t in tables).encode()).hexdigest()


def stage_measurements(tables: Sequence[LongTable | WideTable], folder: Path, key: Key) -> Measured:
    """Read, clean and write measurement tables; what lies there undamaged, from the same inputs, is left as it is.

    Raises
    ------
    UsageError
        A table is missing or damaged, lacks a column, or has times of several clocks.
    PrecheckError
        The disk is full.
    """
    names = tuple(name for table in tables for name in table.labels)
    pairs = tuple(table.pair for table in tables for _ in table.labels)
    inputs = f"{hash_of(tables)} {fingerprint(key.rules)} {json.dumps(sorted(key.aliases.items()))}".encode()
    path = folder / f"measurements-{key.digest('measurements', inputs)[:24]}.arrow"
    counts = _counts_of(path)
    if counts is None:
        rows, counts = clean(tables, key)
        with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as file:
            with pa.ipc.new_file(file, SCHEMA) as writer:
                writer.write_table(rows)
            file.flush()
            digest = sha256_of(temporary)
        write_bytes(path.with_suffix(".json"), json.dumps({"sha256": digest, "counts": counts}).encode())
    return Measured(path, names, pairs, counts)


def clean(tables: Sequence[LongTable | WideTable], key: Key) -> tuple[pa.Table, Counts]:
    """Give the rows that can be believed, in the order of `SCHEMA`'s first four columns, and the fate of all values."""
    parts: list[pa.Table] = []
    counts: Counts = {}
    number = 0
    for table in tables:
        for name, found, fates in _labels(table, key):
            counts[name] = {fate: int(np.count_nonzero(fates == place)) for place, fate in enumerate(FATES)}
            columns = found | {"label": np.full(len(found["value"]), number)}
            parts.append(pa.table({one.name: pa.array(columns[one.name], one.type) for one in SCHEMA}, schema=SCHEMA))
            number += 1
    rows = pa.concat_tables(parts).combine_chunks() if parts else SCHEMA.empty_table()
    order = np.lexsort([rows[name].to_numpy() for name in ("time_us", "label", "patient_low", "patient_high")])
    return rows.take(pa.array(order)).combine_chunks(), counts


def _labels(
    config: LongTable | WideTable, key: Key
) -> Iterator[tuple[str, dict[str, npt.NDArray[np.generic]], npt.NDArray[np.int8]]]:
    """Yield each label of a table: its name, the columns of what is used, and the fate of each value, int8 [value]."""
    columns = [config.patient, config.time]
    if config.kind == "long":
        columns += [config.item, config.value, *([config.unit] if config.unit else [])]
        items = [str(item) for spec in config.labels.values() for item in spec.items]
        only = (config.item, items)
    else:
        columns += [spec.column for spec in config.labels.values()]
        only = None
    table = read_columns(config.path, columns, delimiter=config.delimiter, decimal=config.decimal, only=only)
    times, _ = table.times(config.time, config.time_format, config.time_zone)
    high, low, shift_us, known = _patients(table.text(config.patient), key)
    timed = pc.is_valid(times).to_numpy(zero_copy_only=False)
    time_us = pc.fill_null(pc.cast(pc.cast(times, TIMESTAMP), pa.int64()), 0).to_numpy(zero_copy_only=False) + shift_us
    for name, spec in config.labels.items():
        column = config.value if config.kind == "long" else spec.column  # type: ignore[union-attr]
        numbers, unread = table.numbers(column)
        unread = unread.to_numpy(zero_copy_only=False)
        stated = pc.is_valid(numbers).to_numpy(zero_copy_only=False) | unread
        factors = np.full(table.num_rows, factor(spec.source_unit or spec.unit, spec.unit) or 1.0)
        chosen = np.ones(table.num_rows, dtype=np.bool_)
        if config.kind == "long":
            wanted = pa.array([str(item) for item in spec.items])  # type: ignore[union-attr]
            chosen = pc.is_in(table.text(config.item), wanted).to_numpy(zero_copy_only=False)
            if config.unit:
                factors = _factors(table.text(config.unit), spec.source_unit or spec.unit, spec.unit)
        values = numbers.to_numpy(zero_copy_only=False) * factors
        reasons = [~stated, ~known, ~timed, unread, np.isnan(factors), ~within(values, spec.low, spec.high)]
        fates = np.select(reasons, list(range(1, 1 + len(reasons))), 0).astype(np.int8)
        rows = np.flatnonzero(chosen)
        fates, used = fates[rows], rows[fates[rows] == 0]
        again = _again(high[used], low[used], time_us[used], values[used])
        fates[fates == 0] = again
        used = used[again == 0]
        found = {"patient_high": high[used], "patient_low": low[used], "time_us": time_us[used], "value": values[used]}
        yield name, found, fates


def _patients(
    text: pa.Array, key: Key
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Name each row's patient: both halves of the pseudonym, the shift of its times in µs, and whether it is known."""
    encoded = pc.dictionary_encode(text)
    ids = encoded.dictionary.to_pylist()
    names = [key.patient(patient_id) for patient_id in ids]
    shifts = [key.date_shift(name) for name in names]
    place = pc.fill_null(encoded.indices, len(ids)).to_numpy(zero_copy_only=False)
    halves = [np.array([int(name[part], 16) for name in names] + [0], dtype=np.uint64) for part in _HALVES]
    shift_us = np.array([shift.days * 86_400_000_000 for shift in shifts] + [0], dtype=np.int64)
    known = np.array([not key.rules.names_nobody(patient_id) for patient_id in ids] + [False])
    return halves[0][place], halves[1][place], shift_us[place], known[place]


_HALVES = (slice(0, 16), slice(16, 32))


def halves_of(patient: str) -> tuple[int, int]:
    """Split a pseudonym of 32 hex digits into the two numbers that stand for it in the file."""
    return int(patient[_HALVES[0]], 16), int(patient[_HALVES[1]], 16)


def _factors(units: pa.Array, source_unit: str, unit: str) -> npt.NDArray[np.float64]:
    """Give what each row's value is multiplied by; NaN where its unit is of another kind or not known."""
    encoded = pc.dictionary_encode(units)
    known = [factor(text, unit) for text in encoded.dictionary.to_pylist()]
    table = np.array([*(np.nan if one is None else one for one in known), factor(source_unit, unit) or 1.0])
    factors: npt.NDArray[np.float64] = table[pc.fill_null(encoded.indices, len(known)).to_numpy(zero_copy_only=False)]
    return factors


def _again(
    high: npt.NDArray[np.uint64],
    low: npt.NDArray[np.uint64],
    time_us: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
) -> npt.NDArray[np.int8]:
    """Find the values of one patient and time that stand there before, or that contradict each other; 0 elsewhere."""
    order = np.lexsort([value, time_us, low, high])
    places = [column[order] for column in (high, low, time_us)]
    is_same = np.all([column[1:] == column[:-1] for column in places], axis=0) if len(order) else np.zeros(0, np.bool_)
    group = np.concatenate([[0], np.cumsum(~is_same)])[: len(order)]
    is_new = np.concatenate([[True], ~is_same | (np.diff(value[order]) != 0)])[: len(order)]
    num_values = np.bincount(group, weights=is_new) if len(order) else np.zeros(0)
    sorted_fates = np.where(is_new, 0, FATES.index("repeated"))
    sorted_fates = np.where(num_values[group] > 1, FATES.index("contradicted"), sorted_fates)
    fates = np.empty(len(order), dtype=np.int8)
    fates[order] = sorted_fates
    return fates


def _counts_of(path: Path) -> Counts | None:
    """Read the counts of a file that lies there undamaged; None otherwise."""
    try:
        note: Mapping[str, object] = json.loads(path.with_suffix(".json").read_bytes())
        intact = sha256_of(path) == note["sha256"]
        counts: Counts = note["counts"]  # type: ignore[assignment]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return counts if intact else None
