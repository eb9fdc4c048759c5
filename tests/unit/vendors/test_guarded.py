"""Files that make a reader loop, swell or die cost themselves only."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hemometric.ecg import Recording, Rejected
from hemometric.vendors import Source, find, guarded
from hemometric.vendors.formats_config import FormatsConfig
from hemometric.vendors.guarded import GuardConfig, guarded_vendors, read_guarded
from hemometric.vendors.source import Vendor

GUARD = GuardConfig(cpu_s=0.5, wall_s=20, memory_mb=256)
REASONS = dict.fromkeys("abcd", "harmless") | {
    "loop": "timed_out", "sleep": "timed_out", "swell": "too_large", "die": "crashed", "abort": "crashed",
}  # fmt: skip
NAMES = ("a", "loop", "b", "sleep", "swell", "die", "c", "abort", "d")


def hostile(path: Path, keys: Mapping[str, str]) -> Iterator[Recording | Rejected]:
    """What a parser may do at its worst, by the file's name."""
    for key in keys.values():
        match path.stem:
            case "loop":
                while True:
                    pass
            case "sleep":
                time.sleep(1000)
            case "swell":
                bytearray(1 << 30)
            case "die":
                os._exit(3)
            case "abort":
                os.abort()
        yield Rejected(key, "harmless", "nothing is wrong with it")


class HostileFormats(FormatsConfig):
    """One reader that does what the name of a file says."""

    def build(self) -> tuple[Vendor, ...]:
        one = Vendor(name="hostile", suffixes=(".bad",), sniff=lambda path, _: path.suffix == ".bad", read=hostile)
        many = Vendor(
            name="many", suffixes=(".many",), sniff=lambda path, _: path.suffix == ".many", read=hostile, items=listed
        )
        return one, many


def listed(path: Path) -> tuple[str, ...]:
    """A file that is as hostile when its ECGs are to be listed."""
    list(hostile(path, {"": ""}))
    return ("1", "2")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    for name in NAMES:
        (tmp_path / f"{name}.bad").write_bytes(b"x")
    # The child is another interpreter: it gets the hostile reader through a module that it can import.
    module = tmp_path / "hostile_formats.py"
    module.write_text(Path(__file__).read_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        guarded,
        "SERVE",
        "import hostile_formats, hemometric.vendors.guarded as g; "
        "g.FormatsConfig = hostile_formats.HostileFormats; g.serve({})",
    )
    return list(find([tmp_path], HostileFormats().build()))


def test_each_costs_itself_only(sources: list[Source]) -> None:
    guard = GUARD.model_copy(update={"wall_s": 2.0})
    found = list(read_guarded(sources, HostileFormats(), guard))
    reasons = {one.key.rpartition("/")[2]: one.reason for one in found if isinstance(one, Rejected)}
    assert [one.key for one in found] == [source.key for source in sources]
    assert reasons == {f"{name}.bad": reason for name, reason in REASONS.items()}


def test_the_other_ecgs_of_a_file_that_kills_are_not_tried_one_by_one(sources: list[Source]) -> None:
    (die,) = (source for source in sources if source.path.stem == "die")
    items = [Source(f"{die.key}/{n}", die.path, die.format, str(n)) for n in range(50)]
    start = time.perf_counter()
    found = list(read_guarded(items, HostileFormats(), GUARD))
    assert [one.key for one in found] == [item.key for item in items]
    assert {one.reason for one in found if isinstance(one, Rejected)} == {"crashed"}
    assert time.perf_counter() - start < 30


def test_what_is_read_is_what_the_readers_give(bundled_sources: list[Source]) -> None:
    plain = list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig(enabled=False)))
    apart = list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))
    for one, other in zip(plain, apart, strict=True):
        assert isinstance(one, Recording)
        assert isinstance(other, Recording)
        assert one.key == other.key
        assert (one.counts == other.counts).all()
        assert (one.patient_id, one.age_years, one.acquired) == (other.patient_id, other.age_years, other.acquired)


def test_one_child_serves_all_and_one_that_was_left_is_not_asked_again(bundled_sources: list[Source]) -> None:
    first = guarded._child(FormatsConfig(), GuardConfig())
    list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))
    assert guarded._child(FormatsConfig(), GuardConfig()) is first
    left = read_guarded(bundled_sources, FormatsConfig(), GuardConfig())
    next(left)
    left.close()
    again = [one.key for one in read_guarded(bundled_sources, FormatsConfig(), GuardConfig())]
    assert again == [source.key for source in bundled_sources]
    assert guarded._child(FormatsConfig(), GuardConfig()) is not first


def test_a_forked_process_starts_its_own(bundled_sources: list[Source]) -> None:
    list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))
    pid = os.fork()
    if pid == 0:
        found = list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))
        os._exit(0 if len(found) == len(bundled_sources) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))) == len(bundled_sources)


@pytest.fixture
def bundled_sources() -> list[Source]:
    import hemometric.demo

    return list(find([Path(hemometric.demo.__file__).parent / "data" / "ptbxl"]))[:10]


def test_listing_the_ecgs_of_a_file_costs_itself_only(tmp_path: Path, sources: list[Source]) -> None:
    assert sources
    folder = tmp_path / "many"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.many").write_bytes(b"x")
    guard = GUARD.model_copy(update={"wall_s": 2.0})
    found = list(find([folder], guarded_vendors(HostileFormats(), guard)))
    items = {name: ["/1", "/2"] if name in "abcd" else [""] for name in NAMES}
    assert [one.key for one in found] == [f"many/{name}.many{item}" for name in sorted(NAMES) for item in items[name]]
    reasons = {one.key.split("/")[1]: one.reason for one in read_guarded(found, HostileFormats(), guard)}
    assert reasons == {f"{name}.many": reason for name, reason in REASONS.items()}
