"""Which formats are read beside those that say everything themselves.

Arrays and tables do not say their rate, unit and leads: they are read only where a config does.
"""

from __future__ import annotations

from typing import Annotated

from hemometric.config import PLACEMENT, Config
from hemometric.vendors.archive_members import ArchivesConfig
from hemometric.vendors.columnar_format import ColumnarConfig
from hemometric.vendors.csv_format import CsvConfig
from hemometric.vendors.hdf5_format import NAME, Hdf5Layout, hdf5_vendor
from hemometric.vendors.npy_format import NpyConfig
from hemometric.vendors.registry import VENDORS
from hemometric.vendors.source import Vendor


class FormatsConfig(Config):
    """Formats that need a config, each left unread without one.

    Attributes
    ----------
    npy : NpyConfig or None
        ``.npy`` and ``.npz``.
    csv : CsvConfig or None
        A CSV file for each ECG.
    columnar : ColumnarConfig or None
        Parquet and Arrow (Feather) with one ECG a row.
    hdf5 : tuple of Hdf5Layout
        Layouts of one's own, tried before the known ones.
    archives : ArchivesConfig
        Whether archives in folders are opened, and how much they may unpack to.
    """

    npy: NpyConfig | None = None
    csv: CsvConfig | None = None
    columnar: ColumnarConfig | None = None
    hdf5: tuple[Hdf5Layout, ...] = ()
    archives: Annotated[ArchivesConfig, PLACEMENT] = ArchivesConfig()

    def build(self) -> tuple[Vendor, ...]:
        """Give all readers."""
        known = tuple(hdf5_vendor(self.hdf5) if vendor.name == NAME else vendor for vendor in VENDORS)
        return (
            *known,
            *(() if self.npy is None else (self.npy.build(),)),
            *(() if self.csv is None else (self.csv.build(),)),
            *(() if self.columnar is None else self.columnar.build()),
        )
