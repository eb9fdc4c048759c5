"""What is particular to Philips' XML: XLI, residuals of the limb leads, the calibration pulse, and its versions."""

import base64
import importlib.util
import os
import time
from datetime import date, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import sierraecg
from sierraecg.xli import xli_decode

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read
from hemometric.vendors.source import ReadError
from hemometric.vendors.xli import decode_xli
from hemometric.waveform.leads import limb_lead_residuals

PERSON = {
    "patient_id": " 00123",
    "name": "Mustermann",
    "birth_date": date(1951, 3, 29),
    "sex": "female",
    "acquired": datetime(2019, 11, 5, 13, 37, 59),
    "serial": "X",
    "note": "",
}
ATTRIBUTES = {
    "dataencoding": "Base64",
    "numberofleads": "12",
    "leadlabels": " ".join(LEADS),
    "durationperchannel": "1200",
    "samplespersecond": "500",
    "resolution": "5",
    "signaloffset": "0",
    "signalsigned": "True",
    "bitspersample": "16",
}


@pytest.fixture(scope="module")
def files() -> ModuleType:
    path = Path(__file__).parents[2] / "vendor_files" / "philips_sierra.py"
    spec = importlib.util.spec_from_file_location("philips_sierra_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def counts() -> np.ndarray:
    """Twelve leads, int64 [12, 600]; aVR, aVL and aVF with halves to either side, III one count off here and there."""
    draw = np.random.default_rng(3)
    eight = np.cumsum(draw.integers(-9, 10, (8, 600)), axis=1)
    i, ii = eight[:2]
    iii = ii - i + draw.integers(-1, 2, 600)
    halves = [np.rint(lead + draw.choice([-0.1, 0.1], 600)) for lead in (-(i + ii) / 2, i - ii / 2, ii - i / 2)]
    return np.vstack([i, ii, iii, *halves, eight[2:]]).astype(np.int64)


def xml(files: ModuleType, samples: str, **changes: str | None) -> str:
    fields = {name: value for name, value in (ATTRIBUTES | changes).items() if value is not None}
    return files.document(samples, " ".join(f'{name}="{value}"' for name, value in fields.items()), PERSON)


def plain(counts: np.ndarray) -> str:
    return base64.encodebytes(counts.astype("<i2").tobytes()).decode()


def read_text(folder: Path, text: str, encoding: str = "utf-16") -> Recording | Rejected:
    path = folder / "zz7.xml"
    path.write_text(text, encoding=encoding)
    (source,) = find([path])
    return read(source)


def test_the_encoder_is_understood_by_another_decoder(files, counts) -> None:
    content = files.compress(counts)
    np.testing.assert_array_equal(decode_xli(content, 12, 600), counts)
    np.testing.assert_array_equal(np.stack(xli_decode(content, list(LEADS))), counts)


@pytest.mark.parametrize("num_samples", [1, 2, 3, 4, 5, 8000])
def test_xli_of_any_length(files, num_samples: int) -> None:
    draw = np.random.default_rng(num_samples)
    rough = draw.integers(-8000, 8000, (2, num_samples))  # fills the table of codes at once
    flat = np.zeros((1, num_samples), dtype=np.int64)  # uses words while they are being made
    channels = np.vstack([rough, flat])
    np.testing.assert_array_equal(decode_xli(files.compress(channels), 3, num_samples), channels)


def test_xli_that_unpacks_to_more_than_announced_stops_there(files) -> None:
    content = files.compress(np.zeros((1, 400_000), dtype=np.int64))
    started = time.process_time()
    with pytest.raises(ReadError, match="more samples than announced"):
        decode_xli(content, 1, 1000)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (bytes(7), "truncated"),
        (b"\xff\xff\xff\xff\1\0\0\0", "truncated"),
        (b"\2\0\0\0\1\0\0\0\xff\xc0", "truncated"),  # the end at once
        (b"\2\0\0\0\1\0\0\0\x40\x00", "unreadable"),  # the first word is one that is not made yet
        (b"\3\0\0\0\1\0\0\0\x00\x10\x10", "unreadable"),  # the second is one beyond the next
    ],
)
def test_broken_xli(content: bytes, reason: str) -> None:
    with pytest.raises(ReadError) as error:
        decode_xli(content, 1, 10)
    assert error.value.reason == reason


def test_limb_leads_are_restored_from_what_is_left_of_them(files, counts, tmp_path) -> None:
    samples = base64.encodebytes(files.compress(files.residuals(counts))).decode()
    found = read_text(tmp_path, xml(files, samples, compression="XLI"))
    assert isinstance(found, Recording), found
    np.testing.assert_array_equal(found.counts, counts)
    assert found.gain_per_mv.tolist() == [200.0] * 12
    assert (found.patient_id, found.sex, found.age_years) == (" 00123", "female", 68)
    assert found.acquired == datetime(2019, 11, 5, 13, 37, 59)


def test_leads_are_restored_by_their_names(files, counts, tmp_path) -> None:
    order = [LEADS.index(lead) for lead in ("V1", "aVF", "II", "III", "I", "aVR")]
    stored = files.residuals(counts)[order]
    samples = base64.encodebytes(files.compress(stored)).decode()
    labels = "V1 aVF II III I -aVR"
    found = read_text(tmp_path, xml(files, samples, compression="XLI", leadlabels=labels, numberofleads="6"))
    assert isinstance(found, Recording), found
    assert found.leads == ("V1", "aVF", "II", "III", "I")  # an inverted lead is not a standard one
    np.testing.assert_array_equal(found.counts, counts[order[:-1]])


@pytest.mark.parametrize("encoding", ["Base64", "Plain"])
def test_leads_that_are_not_compressed_are_as_they_stand(files, counts, tmp_path, encoding: str) -> None:
    shifted = counts + 100
    samples = plain(shifted) if encoding == "Base64" else "\n".join(" ".join(map(str, row)) for row in shifted)
    changes = {"dataencoding": encoding, "signaloffset": "100", "resolution": "2.5", "compression": None}
    found = read_text(tmp_path, xml(files, samples, **changes), encoding="utf-16")
    assert isinstance(found, Recording), found
    np.testing.assert_array_equal(found.counts, shifted)
    np.testing.assert_allclose(found.signal, counts * 0.0025, atol=1e-6)


def test_version_1_03_names_no_leads_and_stores_spare_channels(files, counts, tmp_path) -> None:
    stored = np.vstack([files.residuals(counts), np.zeros((4, 600), dtype=np.int64)])
    samples = base64.encodebytes(files.compress(stored)).decode()
    names = ("numberofleads", "leadlabels", "samplespersecond", "resolution", "signaloffset", "signalsigned")
    attributes = dict.fromkeys((*names, "bitspersample")) | {
        "compressflag": "True",
        "compressmethod": "XLI",
        "nbitspersample": "16",
    }
    text = xml(files, samples, **attributes).replace("PhilipsECG", "SierraECG").replace(">1.04<", ">1.03<")
    text = text.replace("10-WIRE", "STD-12").replace("resolution>", "signalresolution>")
    text = text.replace("<samplingrate>1000<", "<samplingrate>500<")
    found = read_text(tmp_path, text)
    assert isinstance(found, Recording), found
    np.testing.assert_array_equal(found.counts, counts)
    assert (found.rate_hz, found.gain_per_mv[0]) == (500, 400)
    refused = read_text(tmp_path, text.replace("STD-12", "EASI"))
    assert isinstance(refused, Rejected) and refused.reason == "no_standard_lead"


def test_the_calibration_pulse_is_cut_off_and_nothing_else(files, counts, tmp_path) -> None:
    with_pulse = np.hstack([counts, np.tile(files.CALIBRATION, (12, 1))])
    found = read_text(tmp_path, xml(files, plain(with_pulse), durationperchannel="1600"))
    assert isinstance(found, Recording), found
    np.testing.assert_array_equal(found.counts, counts)
    # A lead without the pulse, or leads that merely end flat, are left as they are.
    one_without = np.vstack([with_pulse[:11], with_pulse[11:] * 0])
    for other in (one_without, np.hstack([counts, np.zeros((12, 200), dtype=np.int64)])):
        found = read_text(tmp_path, xml(files, plain(other), durationperchannel="1600"))
        assert isinstance(found, Recording), found
        np.testing.assert_array_equal(found.counts, other)
    refused = read_text(tmp_path, xml(files, plain(np.tile(files.CALIBRATION, (12, 1))), durationperchannel="400"))
    assert isinstance(refused, Rejected) and refused.reason == "no_waveform"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"durationperchannel": "1202"}, "truncated"),
        ({"durationperchannel": "0"}, "no_waveform"),
        ({"durationperchannel": None}, "no_waveform"),
        ({"durationperchannel": "-1200"}, "no_waveform"),
        ({"durationperchannel": "1e12"}, "too_long"),
        ({"durationperchannel": "long"}, "unreadable"),
        ({"samplespersecond": "0"}, "rate_missing"),
        ({"samplespersecond": "0.01"}, "rate_range"),
        ({"samplespersecond": "1e9"}, "rate_range"),
        ({"samplespersecond": "nan"}, "unreadable"),
        ({"resolution": "0"}, "gain_zero"),
        ({"resolution": "-5"}, "gain_negative"),
        ({"resolution": "1e-30"}, "gain_range"),
        ({"signaloffset": "1e30"}, "offset_range"),
        ({"signaloffset": "none"}, "unreadable"),
        ({"signalsigned": "False"}, "unsupported"),
        ({"bitspersample": "12"}, "unsupported"),
        ({"dataencoding": "Hex"}, "unsupported"),
        ({"dataencoding": None}, "unsupported"),
        ({"dataencoding": "Plain"}, "unreadable"),
        ({"dataencoding": "Plain", "compression": "XLI"}, "unsupported"),
        ({"compression": "Huffman"}, "unsupported"),
        ({"compression": "XLI"}, "truncated"),
        ({"compression": "XLI", "signaloffset": "3"}, "unsupported"),
        ({"compression": "XLI", "leadlabels": "I III V1", "numberofleads": "3"}, "truncated"),
        ({"leadlabels": "I II I"}, "duplicate_lead"),
        ({"leadlabels": "Id IId aVRd -aVR ?"}, "no_standard_lead"),
        ({"leadlabels": "V7 I", "numberofleads": "1"}, "no_standard_lead"),
        ({"numberofleads": "-3"}, "no_standard_lead"),
    ],
)
def test_what_cannot_be_read_has_a_reason(files, counts, tmp_path, changes: dict, reason: str) -> None:
    refused = read_text(tmp_path, xml(files, plain(counts), **changes))
    assert isinstance(refused, Rejected), refused
    assert refused.reason == reason
    assert "zz7" not in refused.detail and "Huffman" not in refused.detail


def test_limb_leads_without_the_leads_that_they_follow_from_are_refused(files, counts, tmp_path) -> None:
    samples = base64.encodebytes(files.compress(counts[:3])).decode()
    text = xml(files, samples, compression="XLI", leadlabels="I aVR V1", numberofleads="3")
    refused = read_text(tmp_path, text)
    assert isinstance(refused, Rejected) and refused.reason == "unsupported"


def test_other_documents_are_refused(files, counts, tmp_path) -> None:
    text = xml(files, plain(counts))
    for old, new, reason in (
        ("PhilipsECG", "MortaraECG", "unsupported"),
        ("<documentversion>1.04<", "<documentversion>1.05<", "unsupported"),
        ("documentinfo", "otherinfo", "unsupported"),
        ("parsedwaveforms", "unparsedwaveforms", "unsupported"),
        ("parsedwaveforms", "leadwaveforms", "unsupported"),
        ("parsedwaveforms", "nothing", "no_waveform"),
        ("<waveforms>", "<waveforms/><others>", "no_waveform"),
    ):
        changed = text.replace(old, new)
        changed = changed.replace("</waveforms>", "</others>") if "<others>" in new else changed
        refused = read_text(tmp_path, changed)
        assert isinstance(refused, Rejected), (old, new)
        assert refused.reason == reason, (old, new, refused)


def test_samples_beyond_16_bits_are_refused(files, counts, tmp_path) -> None:
    far = counts.copy()
    far[1] += 40_000
    for samples, changes in (
        (" ".join(map(str, far.ravel())), {"dataencoding": "Plain"}),
        (" ".join([str(-(2**63))] * 7200), {"dataencoding": "Plain"}),
        (plain(np.full((12, 600), -32768)), {}),
    ):
        refused = read_text(tmp_path, xml(files, samples, **changes))
        assert isinstance(refused, Rejected) and refused.reason == "unreadable"


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("<years>50</years>", 50),
        ("<years>0</years>", 0),
        ("<years>150</years>", None),
        ("<months>18</months>", 1.5),
        ("<days>3</days>", 3 / 365.2425),
        ("<hours>-5</hours>", None),
        ("<weeks>many</weeks>", None),
        ("<dateofbirth>1951-11-06</dateofbirth>", 67),
        ("<dateofbirth>1951-11-5</dateofbirth>", None),
        ("<dateofbirth/>", None),
        ("", None),
    ],
)
def test_the_age(files, counts, tmp_path, age: str, years: float | None) -> None:
    text = xml(files, plain(counts)).replace("<dateofbirth>1951-03-29</dateofbirth>", age)
    found = read_text(tmp_path, text)
    assert isinstance(found, Recording), found
    assert found.age_years == pytest.approx(years)


def test_a_person_of_whom_nothing_is_known(files, counts, tmp_path) -> None:
    text = xml(files, plain(counts)).replace("> 00123<", "> <").replace("Female", "Unknown")
    found = read_text(tmp_path, text.replace('time="13:37:59"', 'time=""'))
    assert isinstance(found, Recording), found
    assert (found.patient_id, found.sex, found.age_years, found.acquired) == (None, None, None, None)
    found = read_text(tmp_path, xml(files, plain(counts)).replace('time="13:37:59"', 'time="13:37:59.5-05:00"'))
    assert isinstance(found, Recording)
    assert found.acquired == datetime(2019, 11, 5, 13, 37, 59, 500_000)  # the wall clock


@pytest.fixture
def real() -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds vendor/philips-sierra-xml")
    return Path(folder) / "vendor" / "philips-sierra-xml"


@pytest.mark.data
def test_real_files_agree_with_the_sierraecg_package(real: Path) -> None:
    paths = sorted(real.glob("1_*/*.xml"))
    assert len(paths) == 4
    for path in paths:
        (source,) = find([path])
        found = read(source)
        assert isinstance(found, Recording), found
        assert (found.leads, found.rate_hz, found.source_format) == (LEADS, 500, "philips-sierra")
        other = np.stack([lead.samples for lead in sierraecg.read_file(str(path)).leads]).astype(np.int64)
        # The last 0.2 to 0.5 s are the calibration pulse.
        assert 5250 <= found.num_samples <= 5300
        tail = other[:, found.num_samples :]
        assert set(np.unique(tail)) == {0, 200}
        difference = np.abs(found.counts - other[:, : found.num_samples]).max(axis=1)
        measured = [lead not in ("aVR", "aVL", "aVF") for lead in LEADS]
        assert (difference[measured] == 0).all()
        # That package rounds halves down: a count, in three leads.
        assert difference.max() <= 1
        assert max(limb_lead_residuals(found.signal).values()) <= 0.005 + 1e-6


@pytest.mark.data
def test_halves_are_cut_towards_zero(real: Path) -> None:
    """Then each limb lead of a PageWriter is within half a count of its identity; as the package reads it, not."""
    (path,) = (real / "1_04").glob("*.xml")
    (source,) = find([path])
    found = read(source)
    assert isinstance(found, Recording)
    other = np.stack([lead.samples for lead in sierraecg.read_file(str(path)).leads])[:, : found.num_samples]

    def worst(counts: np.ndarray) -> float:
        i, ii, _, avr, avl, avf = counts[:6].astype(np.float64)
        return max(np.abs(avr + (i + ii) / 2).max(), np.abs(avl - i + ii / 2).max(), np.abs(avf - ii + i / 2).max())

    assert worst(found.counts) == 0.5
    assert worst(other) == 1.5


@pytest.mark.data
def test_one_tracing_in_two_files_is_equal(real: Path) -> None:
    first, second = (read(next(find([real / "1_03" / name]))) for name in ("129DYPRG.xml", "repbeats_example.xml"))
    assert isinstance(first, Recording) and isinstance(second, Recording)
    np.testing.assert_array_equal(first.counts, second.counts)
    assert (first.age_years, first.sex, first.acquired) == (50, "male", datetime(2011, 12, 1, 7, 27, 34))
    assert first.patient_id == second.patient_id


@pytest.mark.data
def test_real_files_of_another_type_or_version_are_refused(real: Path) -> None:
    found = [read(source) for source in find([real / "invalid"])]
    assert [one.reason for one in found if isinstance(one, Rejected)] == ["unsupported", "unsupported"]
