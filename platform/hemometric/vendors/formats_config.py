"""Which formats are read beside those that say everything themselves."""

from __future__ import annotations

from hemometric.config import Config
from hemometric.vendors.registry import VENDORS
from hemometric.vendors.source import Vendor


class FormatsConfig(Config):
    """Formats that need a config."""

    def build(self) -> tuple[Vendor, ...]:
        """Give all readers."""
        return VENDORS
