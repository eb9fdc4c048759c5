"""The corpus: shards of native ECG signals with a manifest, split by patient, pseudonymised, and read again.

`ingest` writes it in steps, `reader` and `verify` read it, `cache` lays prepared signals on a node's own disk.
"""

from hemometric.corpus.cache import Cache, lay_cache, open_cache
from hemometric.corpus.columns_table import ColumnsTable
from hemometric.corpus.commit import commit
from hemometric.corpus.ingest import IngestPlan, ingest_lock, prepare_ingest
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.corpus.labels import Label, LabelSpec
from hemometric.corpus.manifest import Manifest, ShardEntry
from hemometric.corpus.metadata import Metadata, MetadataTable
from hemometric.corpus.planned import Planned, plan_shards
from hemometric.corpus.pseudonyms import Key, default_key_path, load_or_create_key
from hemometric.corpus.ptbxl_table import PtbxlTable, discover_table
from hemometric.corpus.reader import Corpus, open_corpus
from hemometric.corpus.rewrites import Rewrite, rewrite_shard
from hemometric.corpus.schema import SCHEMA_VERSION
from hemometric.corpus.shards import ShardPlan, write_shard
from hemometric.corpus.split import (
    NUM_PARTITIONS,
    SPLITS,
    DateSplit,
    FoldSplit,
    HashSplit,
    SiteSplit,
    Split,
    SplitConfig,
)
from hemometric.corpus.tables import AutoTable, NoTable, TableConfig
from hemometric.corpus.units import IngestContext, Unit, UnitSummary, read_unit, stage_unit
from hemometric.corpus.verify import find_problems, verify

__all__ = [
    "NUM_PARTITIONS",
    "SCHEMA_VERSION",
    "SPLITS",
    "AutoTable",
    "Cache",
    "ColumnsTable",
    "Corpus",
    "DateSplit",
    "FoldSplit",
    "HashSplit",
    "IngestConfig",
    "IngestContext",
    "IngestPlan",
    "Key",
    "Label",
    "LabelSpec",
    "Manifest",
    "Metadata",
    "MetadataTable",
    "NoTable",
    "Planned",
    "PtbxlTable",
    "Rewrite",
    "ShardEntry",
    "ShardPlan",
    "SiteSplit",
    "Split",
    "SplitConfig",
    "TableConfig",
    "Unit",
    "UnitSummary",
    "commit",
    "default_key_path",
    "discover_table",
    "find_problems",
    "ingest_lock",
    "lay_cache",
    "load_or_create_key",
    "open_cache",
    "open_corpus",
    "plan_shards",
    "prepare_ingest",
    "read_unit",
    "rewrite_shard",
    "stage_unit",
    "verify",
    "write_shard",
]
