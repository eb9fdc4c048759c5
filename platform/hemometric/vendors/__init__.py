"""Files of devices and archives into `Recording`, one reader per format.

`find` lists the records of a folder, `read` opens one, `read_recordings` opens all. A file that is damaged, lies about
itself or tries to reach other files comes back as `Rejected` with a reason code; no reader raises for bad bytes, and
none fetches anything.
"""

from hemometric.vendors.finding import Root
from hemometric.vendors.recordings import read_recordings
from hemometric.vendors.registry import VENDORS, find, read, read_all, vendor_of
from hemometric.vendors.source import ReadError, Source, Vendor

__all__ = [
    "VENDORS",
    "ReadError",
    "Root",
    "Source",
    "Vendor",
    "find",
    "read",
    "read_all",
    "read_recordings",
    "vendor_of",
]
