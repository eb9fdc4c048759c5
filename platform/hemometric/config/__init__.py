"""YAML plus dotted overrides become frozen, typed configs with a fingerprint."""

from hemometric.config.base import (
    PLACEMENT,
    Added,
    Config,
    check_names,
    checked_path,
    essence,
    fingerprint,
    hash_of_essence,
)
from hemometric.config.decode import SECRET, decode, decode_file, dump
from hemometric.config.options import Options
from hemometric.config.yaml_reader import read_yaml

__all__ = [
    "PLACEMENT",
    "SECRET",
    "Added",
    "Config",
    "Options",
    "check_names",
    "checked_path",
    "decode",
    "decode_file",
    "dump",
    "essence",
    "fingerprint",
    "hash_of_essence",
    "read_yaml",
]
