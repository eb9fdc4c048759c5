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


@pytest.mark.parametrize("storage", ["16", "212", "24", "8"])
@pytest.mark.parametrize("target", [".hea", ".dat", "both"])
def test_mutations(write_record, counts, storage: str, target: str) -> None:
    header = write_record(storage="16" if storage == "8" else storage)
    if storage == "8":  # first differences, which the package does not write
        header.write_text(header.read_text().replace(".dat 16 ", ".dat 8 "))
        differences = np.diff(counts, axis=0, prepend=counts[:1])
        header.with_suffix(".dat").write_bytes(differences.astype(np.int8).tobytes())
    files = {suffix: header.with_suffix(suffix).read_bytes() for suffix in (".hea", ".dat")}
    (source,) = find([header])
    generator = np.random.default_rng([int(storage), len(target)])
    outcomes: dict[str, int] = {}
    started = time.monotonic()
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
    assert time.monotonic() - started < 60
    assert len(outcomes) > 1, outcomes  # the mutations reach more than one branch


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
