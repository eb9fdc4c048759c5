"""The README of an export: what its files hold, what each column means, and three lines of Python that read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hemometric.corpus.labels import Label
from hemometric.corpus.schema import QUALITY_PREFIX, SIGNAL
from hemometric.evaluation.datacard.words import measure_words
from hemometric.runs.export_parts import Source

Form = Literal["parquet", "hf", "webdataset", "npy"]

_BODY = """
# 12-lead ECGs, exported by hemometric

{rows}

{files}

`signal` is {signal}.

Patients and recordings go under pseudonyms; all recordings of a patient are in one split. These are still data of
patients, and an ECG can identify a person: keep and share them as the licence, the consent and the rules of their
origin allow. This folder brings no licence of its own. For research; not a medical device.

```python
{reading}
```

| column | what it holds |
|---|---|
{columns}

`_export.json` says what was selected, how signals were prepared, and the SHA-256 of each file.
"""

_FILES: dict[Form, str] = {
    "parquet": "`<split>/part-*.parquet` are tables with a row for each recording.",
    "hf": "`data/<split>-*.parquet` are tables with a row for each recording.",
    "webdataset": "`<split>-*.tar` hold two files for each recording: `<recording_id>.npy`, the signal, and "
    "`<recording_id>.json`, the columns.",
    "npy": "`<split>.npy` is the array of all signals, [recording, lead, sample]; `<split>.parquet` is a table with "
    "their columns, in the same order.",
}
_PARQUET = """import numpy, pandas
ecgs = pandas.read_parquet("path/to/this/folder/{split}")
{signal}"""
_READING: dict[Form, str] = {
    "parquet": _PARQUET,
    "hf": """from datasets import load_dataset

ecgs = load_dataset("path/to/this/folder", split="{split}").with_format("numpy")""",
    "webdataset": """import glob, webdataset
files = sorted(glob.glob("path/to/this/folder/{split}-*.tar"))
ecgs = webdataset.WebDataset(files, shardshuffle=False).decode()  # ["npy"] is the signal, ["json"] the rest""",
    "npy": """import numpy, pandas
signals = numpy.load("path/to/this/folder/{split}.npy", mmap_mode="r")  # [recording, lead, sample] mV
ecgs = pandas.read_parquet("path/to/this/folder/{split}.parquet")  # their columns, in the same order""",
}
_OF_SIGNAL = {
    "prepared": 'signals = numpy.stack([numpy.stack(ecg) for ecg in ecgs["signal"]])  # [recording, lead, sample] mV',
    "native": "signals = [((numpy.ma.masked_equal(numpy.stack(ecg.signal), -32768) - ecg.offset_counts[:, None]) "
    "/ ecg.gain_per_mv[:, None]).filled(numpy.nan) for ecg in ecgs.itertuples()]  # [lead, sample] mV; NaN: no sample",
}
_COLUMNS = {
    "recording_id": "pseudonym of the recording",
    "patient": "pseudonym of the patient",
    "split": "train, validation or test",
    "source_format": "format of the file that it was read from",
    "rate_hz": "samples a second, as recorded",
    "num_samples": "samples of each lead, as recorded",
    "leads": "names of the leads, as recorded",
    "gain_per_mv": "counts a mV, for each lead",
    "offset_counts": "counts at 0 mV, for each lead",
    "quantisation_error_mv": "largest error of the counts, mV, where the source held no whole numbers",
    "acquired": "time of recording, shifted by whole days that are the patient's own",
    "age_years": "age, years; 90 stands for all above 89",
    "sex": "female or male",
    "site": "site, as the archive names it",
    "fold": "fold, as the archive numbers it",
    "flags": "what the checks of quality suspect",
    "notes": "what was not believed or found of the table's values",
    "content": "keyed hash of the source's bytes",
    "facts": "keyed hash of what the tables say",
    "partition": "group of patients, 0 to 63",
}


def body(form: Form, source: Source, rows: Mapping[str, int], signal: str) -> str:
    """Write the README, as Markdown.

    Parameters
    ----------
    rows : mapping
        From each split to its number of recordings.
    signal : str
        What the signal column holds.
    """
    kind = "native" if source.preparation is None else "prepared"
    split = next(name for name, num in rows.items() if num)
    reading = _READING[form].format(split=split, signal=_OF_SIGNAL[kind])
    return _BODY.format(
        rows="\n".join(f"- {name}: {num} recordings" for name, num in rows.items()),
        files=_FILES[form],
        signal=signal,
        reading=reading,
        columns="\n".join(f"| `{name}` | {_meaning(name, source)} |" for name in _columns(form, source)),
    )


def _columns(form: Form, source: Source) -> tuple[str, ...]:
    return (*source.columns, *((SIGNAL,) if form in ("parquet", "hf") else ()))


def _meaning(name: str, source: Source) -> str:
    if name == SIGNAL:
        return "see above"
    if name.startswith(QUALITY_PREFIX):
        what, unit = measure_words(name.removeprefix(QUALITY_PREFIX))
        return f"measure of quality: {what}" + (f", {unit}" if unit else "")
    label = next((label for label in source.corpus.manifest.labels if label.column == name), None)
    return _COLUMNS.get(name, "see the corpus") if label is None else _of_label(label)


def _of_label(label: Label) -> str:
    if label.kind == "codes":
        return "label: a set of codes; an empty one says none of them, an absent one not known"
    unit = f", {label.unit}" if label.unit else ""
    return f"label{'s' if label.kind == 'numbers' else ''}{unit}; absent where not known"
