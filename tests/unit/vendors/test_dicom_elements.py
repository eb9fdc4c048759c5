"""The encoding of DICOM files: every transfer syntax, and files made to harm; `pydicom` is the oracle."""

import io
import resource
import runpy
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hemometric.ecg import Recording, Rejected
from hemometric.vendors import find, read

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pydicom

DICOM = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "vendor_files" / "dicom.py")))
element = DICOM.element
COUNTS = np.random.default_rng(2).integers(-9000, 9000, (700, 3)).astype("<i2")
THREE = ("I", "II", "V1")
PATIENT = element(0x00100010, "PN", "Canaria^Quxabella") + element(0x00100020, "LO", "MRN0815471")
IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"

Take = Callable[[bytes], Recording | Rejected]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Read a file of these bytes."""

    def one(content: bytes) -> Recording | Rejected:
        path = tmp_path / "zz7.dcm"
        path.write_bytes(content)
        (source,) = find([path])
        return read(source)

    return one


def group(**changes) -> bytes:
    return DICOM.group(COUNTS, 500, [DICOM.channel(lead) for lead in THREE], **changes)


def file(*groups: bytes, before: bytes = b"") -> bytes:
    waveforms = element(0x54000100, "SQ", list(groups)) if groups else b""
    return DICOM.file(PATIENT + before + waveforms)


def refusal(found: Recording | Rejected) -> str:
    assert isinstance(found, Rejected), found
    assert not [word for word in ("MRN0815471", "Canaria", "zz7") if word in found.detail]
    return found.reason


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("undefined", [False, True])
def test_every_transfer_syntax_as_pydicom_writes_it(take: Take, syntax: str, undefined: bool) -> None:
    dataset = pydicom.dcmread(io.BytesIO(file(group(padding=struct.pack("<h", int(COUNTS[5, 1]))))))
    plain = take(file(group(padding=struct.pack("<h", int(COUNTS[5, 1])))))
    if syntax == BIG_ENDIAN:  # pydicom leaves the words of samples to its caller
        for item in dataset.WaveformSequence:
            item.WaveformData = COUNTS.astype(">i2").tobytes()
            item.WaveformPaddingValue = item.WaveformPaddingValue[::-1]
    set_lengths(dataset, undefined)
    dataset.file_meta.TransferSyntaxUID = syntax
    stored = io.BytesIO()
    form = {"implicit_vr": syntax == IMPLICIT, "little_endian": syntax != BIG_ENDIAN}
    pydicom.dcmwrite(stored, dataset, **form, force_encoding=True)
    found = take(stored.getvalue())
    assert isinstance(found, Recording), found
    assert isinstance(plain, Recording)
    assert np.array_equal(found.signal, plain.signal, equal_nan=True)
    assert np.isnan(found.signal).sum() == (COUNTS[5, 1] == COUNTS).sum()
    assert (found.leads, found.rate_hz, found.patient_id) == (THREE, 500, "MRN0815471")


def set_lengths(dataset: pydicom.Dataset, undefined: bool) -> None:
    for one in dataset:
        if one.VR == "SQ":
            one.is_undefined_length = undefined
            for item in one.value:
                item.is_undefined_length_sequence_item = undefined
                set_lengths(item, undefined)


def within_bounds(take: Take, content: bytes) -> str:
    """Read it in less than 5 s of processor time, and without memory that grows by more than 300 MB."""
    started, held = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reason = refusal(take(content))
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 300 << 10
    return reason


def test_400_kb_that_inflate_to_400_mb_are_refused(take: Take) -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = b"".join(deflater.compress(bytes(1 << 22)) for _ in range(100)) + deflater.flush()
    assert 350_000 < len(deflated) < 450_000
    assert within_bounds(take, DICOM.file(deflated, DEFLATED)) == "unsafe"


def test_a_deflated_file_that_is_cut_or_damaged(take: Take) -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflater.compress(PATIENT + element(0x54000100, "SQ", [group()])) + deflater.flush()
    assert isinstance(take(DICOM.file(deflated, DEFLATED)), Recording)
    assert refusal(take(DICOM.file(deflated[:-9], DEFLATED))) == "truncated"
    assert refusal(take(DICOM.file(b"\xff" * 99, DEFLATED))) == "unreadable"


@pytest.mark.parametrize("tag", [0x0040A730, 0x54000100])
@pytest.mark.parametrize("undefined", [False, True])
def test_3000_sequences_within_each_other_are_refused(take: Take, tag: int, undefined: bool) -> None:
    nested = b""
    for _ in range(3000):
        nested = open_sequence(tag, nested) if undefined else element(tag, "SQ", [nested])
    assert within_bounds(take, file(group(), before=nested)) == "unsafe"


def open_sequence(tag: int, item: bytes) -> bytes:
    start = struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, b"SQ", 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return start + item + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize("tag", [0x54000100, 0x00081140])
def test_300000_empty_items_are_refused(take: Take, tag: int) -> None:
    assert within_bounds(take, file(before=element(tag, "SQ", [b""] * 300_000))) == "unsafe"


def test_sequences_that_do_not_end(take: Take) -> None:
    never = open_sequence(0x54000100, group())
    assert isinstance(take(file(before=never)), Recording)
    assert refusal(take(file(before=never[:-8]))) == "truncated"
    assert refusal(take(file(before=never[:-16] + never[-8:]))) == "unreadable"
    assert refusal(take(file(before=b"\xfe\xff\xdd\xe0\0\0\0\0"))) == "unreadable"


def test_every_file_of_pydicom_ends_in_a_reason(tmp_path: Path) -> None:
    """Images, reports, plans: with and without preamble, of all transfer syntaxes, some of them damaged."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    paths = [path for path in folder.glob("*.dcm") if path.stat().st_size < 2_000_000]
    assert len(paths) > 60
    reasons = {}
    for path in paths:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for source in find([tmp_path]):
        found = read(source)
        reasons[source.path.name] = found.reason if isinstance(found, Rejected) else "read"
    assert [name for name, reason in reasons.items() if reason == "read"] == ["waveform_ecg.dcm"]
    assert reasons["CT_small.dcm"] == reasons["image_dfl.dcm"] == reasons["rtplan.dcm"] == "no_waveform"
    assert reasons["MR_small_bigendian.dcm"] == reasons["nested_priv_SQ.dcm"] == "no_waveform"
    assert sum(reason == "no_waveform" for reason in reasons.values()) > 0.8 * len(reasons), reasons
