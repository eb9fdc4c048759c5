"""Damaged bytes of any kind give a recording or a refusal: never another exception, never a long wait."""

import time
from pathlib import Path

import numpy as np
import pytest

from hemometric.ecg import Recording, Rejected
from hemometric.vendors import find, read
from hemometric.waveform import Assessed, Preparation, QualityConfig, assess, prepare


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """Change, insert, repeat or cut a few bytes."""
    mutated = bytearray(content)
    for _ in range(int(generator.integers(1, 6))):
        at = int(generator.integers(0, len(mutated) + 1))
        match int(generator.integers(0, 5)):
            case 0:
                mutated[at : at + 1] = bytes([int(generator.integers(0, 256))])
            case 1:
                mutated[at:at] = generator.choice(
                    [b"0", b"9", b" ", b"\n", b"-", b"e", b"/", b"(", b"\x00", b"\xff", b"#"]
                )
            case 2:
                mutated[at:at] = mutated[at : at + int(generator.integers(1, 40))]
            case 3:
                del mutated[at : at + int(generator.integers(1, 40))]
            case 4:
                mutated[at:at] = str(int(generator.integers(0, 2**62))).encode()
    return bytes(mutated)


@pytest.mark.parametrize("storage", ["16", "212", "24", "8", "516"])
@pytest.mark.parametrize("target", [".hea", ".dat", "both"])
def test_mutations(write_record, counts, storage: str, target: str) -> None:
    samples = counts[:, :8] if storage == "516" else counts  # a FLAC stream has at most eight channels
    header = write_record(storage="16" if storage == "8" else storage, samples=samples)
    if storage == "8":  # first differences, which the package does not write
        header.write_text(header.read_text().replace(".dat 16 ", ".dat 8 "))
        differences = np.diff(counts, axis=0, prepend=counts[:1])
        header.with_suffix(".dat").write_bytes(differences.astype(np.int8).tobytes())
    files = {suffix: header.with_suffix(suffix).read_bytes() for suffix in (".hea", ".dat")}
    (source,) = find([header])
    generator = np.random.default_rng([int(storage), len(target)])
    outcomes: dict[str, int] = {}
    started = time.process_time()
    for _ in range(60):
        for suffix, content in files.items():
            changed = mutate(content, generator) if target in (suffix, "both") else content
            header.with_suffix(suffix).write_bytes(changed)
        result = read(source)
        assert isinstance(result, Recording | Rejected)
        if isinstance(result, Recording):
            check(result)
        outcome = result.reason if isinstance(result, Rejected) else "read"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert time.process_time() - started < 60
    if (storage, target) == ("516", ".dat"):
        assert outcomes.get("unreadable", 0) > 50  # each frame of a FLAC stream has a checksum of its own
    else:
        assert len(outcomes) > 1, outcomes  # the mutations reach more than one branch


@pytest.mark.parametrize("target", ["rec_1.hea", "rec_2.hea", "zz7.hea", "rec_2.dat", "rec_layout.hea"])
def test_mutations_of_segments(tmp_path: Path, counts, target: str) -> None:
    layout = [f"~ 0 200 12 0 0 0 0 {lead}" for lead in ("I", "II")]
    texts = {
        "zz7.hea": "zz7/4 2 500 511\nrec_layout 0\nrec_1 300\n~ 10\nrec_2 201\n",
        "rec_layout.hea": "\n".join(["rec_layout 2 500 0", *layout]),
    }
    for name, part, gain in (("rec_1", counts[:300, :2], 200), ("rec_2", counts[300:, :2], 1000)):
        sums = part.sum(axis=0) % 65536
        lines = [f"{name}.dat 16 {gain} 12 0 0 {sums[i]} 0 {lead}" for i, lead in enumerate(("I", "II"))]
        texts[f"{name}.hea"] = "\n".join([f"{name} 2 500 {len(part)}", *lines])
        (tmp_path / f"{name}.dat").write_bytes(part.astype("<i2").tobytes())
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (source,) = find([tmp_path / "zz7.hea"])
    content = (tmp_path / target).read_bytes()
    generator = np.random.default_rng(len(target))
    outcomes = set()
    for _ in range(60):
        (tmp_path / target).write_bytes(mutate(content, generator))
        result = read(source)
        assert isinstance(result, Recording | Rejected)
        if isinstance(result, Recording):
            check(result)
        outcomes.add(getattr(result, "reason", "read"))
    assert len(outcomes) > 1, outcomes


def check(recording: Recording) -> None:
    """A recording that survives must be fit for what comes next."""
    assert recording.counts.dtype == np.int16
    assert recording.counts.shape == (len(recording.leads), recording.num_samples)
    assert recording.num_samples > 0
    assert recording.rate_hz > 0
    assert (recording.gain_per_mv > 0).all()
    assert np.isfinite(recording.gain_per_mv).all()
    assert isinstance(assess(recording, QualityConfig()), Assessed | Rejected)
    if 1 <= recording.rate_hz <= 100_000:
        prepared = prepare(recording, Preparation(leads=recording.leads, max_gap_s=1.0))
        assert isinstance(prepared, np.ndarray | Rejected)
        if isinstance(prepared, np.ndarray):
            assert np.isfinite(prepared).all()


def test_every_truncation(write_record, tmp_path: Path) -> None:
    header = write_record()
    content = header.read_bytes()
    (source,) = find([header])
    for length in range(len(content)):
        header.write_bytes(content[:length])
        result = read(source)
        assert isinstance(result, Recording | Rejected)
        if isinstance(result, Recording):
            assert length > content.rindex(b"\n", 0, -1)  # only a cut in the last line can look whole
