"""YAML plus dotted overrides become frozen, typed configs with a fingerprint."""

from hemometric.config.base import PLACEMENT, Added, Config, check_names, essence, fingerprint
from hemometric.config.decode import SECRET, decode, decode_file, dump
from hemometric.config.yaml_reader import read_yaml

__all__ = [
    "PLACEMENT",
    "SECRET",
    "Added",
    "Config",
    "check_names",
    "decode",
    "decode_file",
    "dump",
    "essence",
    "fingerprint",
    "read_yaml",
]
