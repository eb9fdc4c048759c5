"""HDF5 files of ECGs. HDF5 is a container without a meaning: known layouts are read, and those that a config tells.

Another layout is one more `Hdf5Layout` in `LAYOUTS`, or in the config field ``formats.hdf5``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hemometric.ecg import Recording, Rejected
from hemometric.vendors import hdf5_ml4h
from hemometric.vendors.array_layout import ArrayLayout
from hemometric.vendors.hdf5_file import Samples, checked, column, is_dataset, is_hdf5, member, opened
from hemometric.vendors.samples import Known, named_items, text_of
from hemometric.vendors.source import ReadError, Vendor

NAME = "hdf5"


class Hdf5Layout(ArrayLayout):
    """ECGs in one dataset.

    Attributes
    ----------
    signal : str
        Path of the dataset, such as ``data/ecg``.
    id, patient : str or None
        Paths of datasets [ecg] of numbers or texts. Without `id`, ECGs are named by their place, from 0.
    """

    signal: str
    id: str | None = None
    patient: str | None = None

    def needs(self) -> tuple[str, ...]:
        """Name the datasets that a file of this layout has."""
        return tuple(path for path in (self.signal, self.id, self.patient) if path is not None)


LAYOUTS: tuple[Hdf5Layout, ...] = (
    # CODE-15 % (zenodo.org/records/4916206). Its text gives two scales; the PhysioNet Challenge 2025 takes millivolts.
    Hdf5Layout(
        signal="tracings", id="exam_id", axes=("ecg", "sample", "lead"), rate_hz=400, unit="mV", zero_padded=True
    ),
    # Shandong Provincial Hospital (doi 10.1038/s41597-022-01403-5).
    Hdf5Layout(signal="ecg", axes=("lead", "sample"), rate_hz=500, unit="mV"),
)
"""Layouts that are known by their datasets; the first that fits is taken."""


def hdf5_vendor(own: tuple[Hdf5Layout, ...] = ()) -> Vendor:
    """Give the reader, which tries layouts of one's own before the known ones."""
    layouts = (*own, *LAYOUTS)

    def items(path: Path) -> tuple[str, ...]:
        with opened(path) as root:
            return _items(root, layouts)

    def read(path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
        with opened(path) as root:
            yield from _read(root, layouts, path, keys)

    return Vendor(name=NAME, suffixes=(".h5", ".hdf5", ".hd5"), sniff=_sniff, read=read, items=items)


def _sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001 - one shape for all formats
    return is_hdf5(head)


def _items(root: Any, layouts: tuple[Hdf5Layout, ...]) -> tuple[str, ...]:
    group = hdf5_ml4h.ecg_group(root)
    if group is not None:
        return hdf5_ml4h.items(group)
    layout = _layout(root, layouts)
    num_ecgs = layout.num_ecgs(checked(member(root, layout.signal)).shape)
    if num_ecgs is None:
        return ("",)
    if layout.id is None:
        return tuple(str(index) for index in range(num_ecgs))
    return named_items(list(_column(root, layout.id, num_ecgs)))


def _read(
    root: Any, layouts: tuple[Hdf5Layout, ...], path: Path, keys: Mapping[str, str]
) -> Iterator[Recording | Rejected]:
    group = hdf5_ml4h.ecg_group(root)
    if group is not None:
        for item, key in keys.items():
            try:
                yield hdf5_ml4h.read_item(group, item, path=path, key=key, source_format=NAME)
            except ReadError as error:
                yield Rejected(key, error.reason, error.detail)
        return
    layout = _layout(root, layouts)
    place = {item: index for index, item in enumerate(_items(root, layouts))}
    signal = Samples(member(root, layout.signal))
    num_ecgs = layout.num_ecgs(signal.shape)
    patients = None if layout.patient is None else _column(root, layout.patient, num_ecgs or 1)
    for item, key in keys.items():
        ecg = None if num_ecgs is None else place[item]
        known = Known(patient_id=None if patients is None else text_of(patients[ecg or 0]))
        try:
            yield layout.recording(signal.read(layout.index(ecg)), key=key, source_format=NAME, known=known)
        except ReadError as error:
            yield Rejected(key, error.reason, error.detail)


def _layout(root: Any, layouts: tuple[Hdf5Layout, ...]) -> Hdf5Layout:
    for layout in layouts:
        if all(is_dataset(member(root, path)) for path in layout.needs()):
            return layout
    raise ReadError("unsupported", "the HDF5 file has no known layout; tell its own in the config field formats.hdf5")


def _column(root: Any, path: str, num_ecgs: int) -> Any:
    dataset = checked(member(root, path))
    if dataset.shape != (num_ecgs,):
        raise ReadError("truncated", "there are not as many ids as ECGs")
    return column(dataset)


HDF5 = hdf5_vendor()
"""Files of the ml4h project, of CODE-15 % and of the SPH database."""
