"""What an ingest computes; where it reads, writes and runs is the run's affair."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from hemometric.config import Config
from hemometric.corpus.identity import Identity
from hemometric.corpus.measurements import MeasurementTable, labels_of
from hemometric.corpus.split import HashSplit, SplitConfig
from hemometric.corpus.tables import AutoTable, TableConfig
from hemometric.vendors.formats_config import FormatsConfig
from hemometric.vendors.guarded import GuardConfig
from hemometric.waveform import QualityConfig


class IngestConfig(Config):
    """The whole of it, each field with a default that fits a folder of ECGs with patient ids.

    Attributes
    ----------
    formats : FormatsConfig
        What arrays and tables of ECGs do not say themselves; all other formats are read without.
    guard : GuardConfig
        What one ECG may cost.
    measurements : tuple
        Tables of values with a time, such as a catheter's, that become labels of the ECGs taken near them.
    identity : Identity
        Which ids mean one person.
    pseudonyms : "keyed" or "random"
        Whether the corpus shows names that follow from the ids by the key, or random codes that are kept in a file
        beside the key. Hashes of bytes and of table rows are keyed in both.
    find_duplicates : bool
        Whether the same tracing under another name, format, gain or rate is left out, and its patients are linked.
    patients : "given" or "recording_is_patient"
        What to do with a recording for which neither table nor file names a patient: refuse it
        (``missing_patient``), or let it stand for a patient of its own.
    max_rejected_fraction : float
        With more refused than this, nothing is written. It is a share of all recordings that the corpus would then
        know, so that of a night's three new files one may be bad; what was refused before does not count again.
    unit_recordings, unit_bytes : int
        A unit of work ends at so many sources or so many bytes of source files: what a worker holds at once.
    shard_bytes : int
        Aim for the counts of one shard before compression.
    """

    formats: FormatsConfig = Field(default_factory=FormatsConfig)
    guard: GuardConfig = Field(default_factory=GuardConfig)
    quality: QualityConfig = Field(default_factory=QualityConfig)
    table: TableConfig = Field(default_factory=AutoTable)
    measurements: tuple[MeasurementTable, ...] = ()
    split: SplitConfig = Field(default_factory=HashSplit)
    identity: Identity = Field(default_factory=Identity)
    pseudonyms: Literal["keyed", "random"] = "keyed"
    find_duplicates: bool = True
    patients: Literal["given", "recording_is_patient"] = "given"
    max_rejected_fraction: float = Field(0.1, ge=0, le=1)
    unit_recordings: int = Field(256, ge=1, le=4096)
    unit_bytes: int = Field(128 << 20, ge=1 << 16, le=1 << 30)
    shard_bytes: int = Field(256 << 20, ge=1 << 16, le=1 << 40)

    @field_validator("measurements")
    @classmethod
    def _distinct(cls, measurements: tuple[MeasurementTable, ...]) -> tuple[MeasurementTable, ...]:
        labels_of(measurements)
        return measurements
