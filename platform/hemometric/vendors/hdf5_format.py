"""HDF5 files of ECGs. HDF5 is a container without a meaning: known layouts are read, and those that a config tells.

Another layout is one more `Hdf5Layout` in `LAYOUTS`, or in the config field ``formats.hdf5``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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

    def fits(self, root: Any) -> bool:
        """Whether a file has the datasets of this layout."""
        needed = (path for path in (self.signal, self.id, self.patient) if path is not None)
        return all(is_dataset(member(root, path)) for path in needed)


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

    def items(path: Path) -> tuple[str, ...]:
        with opened(path) as root:
            return _items(root, _layout(root, own))

    def read(path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
        with opened(path) as root:
            layout = _layout(root, own)
            one = _ml4h_reader(root, path) if layout is None else _array_reader(root, layout)
            for item, key in keys.items():
                try:
                    yield one(item, key)
                except ReadError as error:
                    yield Rejected(key, error.reason, error.detail)

    return Vendor(name=NAME, suffixes=(".h5", ".hdf5", ".hd5"), sniff=_sniff, read=read, items=items)


def _sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001 - one shape for all formats
    return is_hdf5(head)


def _layout(root: Any, own: tuple[Hdf5Layout, ...]) -> Hdf5Layout | None:
    """Find the layout of a file; None for that of ml4h, which is no array."""
    for layout in own:
        if layout.fits(root):
            return layout
    if hdf5_ml4h.ecg_group(root) is not None:
        return None
    for layout in LAYOUTS:
        if layout.fits(root):
            return layout
    raise ReadError("unsupported", "the HDF5 file has no known layout; tell its own in the config field formats.hdf5")


def _items(root: Any, layout: Hdf5Layout | None) -> tuple[str, ...]:
    if layout is None:
        return hdf5_ml4h.items(hdf5_ml4h.ecg_group(root))
    num_ecgs = layout.num_ecgs(checked(member(root, layout.signal)).shape)
    if num_ecgs is None:
        return ("",)
    if layout.id is None:
        return tuple(str(index) for index in range(num_ecgs))
    return named_items(list(_column(root, layout.id, num_ecgs)))


def _ml4h_reader(root: Any, path: Path) -> Callable[[str, str], Recording]:
    group = hdf5_ml4h.ecg_group(root)
    return lambda item, key: hdf5_ml4h.read_item(group, item, path=path, key=key, source_format=NAME)


def _array_reader(root: Any, layout: Hdf5Layout) -> Callable[[str, str], Recording]:
    place = {item: index for index, item in enumerate(_items(root, layout))}
    signal = Samples(member(root, layout.signal))
    num_ecgs = layout.num_ecgs(signal.shape)
    patients = None if layout.patient is None else _column(root, layout.patient, num_ecgs or 1)

    def one(item: str, key: str) -> Recording:
        ecg = None if num_ecgs is None else place[item]
        known = Known(patient_id=None if patients is None else text_of(patients[ecg or 0]))
        return layout.recording(signal.read(layout.index(ecg)), key=key, source_format=NAME, known=known)

    return one


def _column(root: Any, path: str, num_ecgs: int) -> Any:
    dataset = checked(member(root, path))
    if dataset.shape != (num_ecgs,):
        raise ReadError("truncated", "there are not as many ids as ECGs")
    return column(dataset)


HDF5 = hdf5_vendor()
"""Files of the ml4h project, of CODE-15 % and of the SPH database."""
