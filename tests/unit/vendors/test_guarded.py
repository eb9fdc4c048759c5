"""Files that make a reader loop, swell or die cost themselves only."""

import itertools
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hemometric.ecg import Recording, Rejected
from hemometric.errors import IntegrityError, PrecheckError
from hemometric.vendors import Source, find, guarded, read_all
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
    idle = guarded._idle.setdefault(os.getpid(), [])
    list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))
    first = idle[-1]
    list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))
    assert idle[-1] is first
    left = read_guarded(bundled_sources, FormatsConfig(), GuardConfig())
    next(left)
    assert first not in idle
    left.close()
    assert not first.is_ready
    assert_right(bundled_sources)
    assert first not in idle


def assert_right(sources: list[Source], found: list[Recording | Rejected] | None = None) -> None:
    """Each recording under its own name, with its own signals; a mistaken one would have another's."""
    found = list(read_guarded(sources, FormatsConfig(), GuardConfig())) if found is None else found
    for mine, plain in zip(found, read_all(sources), strict=True):
        assert isinstance(mine, Recording)
        assert isinstance(plain, Recording)
        assert mine.key == plain.key
        assert (mine.counts == plain.counts).all()


def test_after_an_interruption_nobody_gets_the_answers_of_before(
    bundled_sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in a notebook, and then the same cell again: the answer that is not taken must not be the next one's."""
    list(read_guarded(bundled_sources[:1], FormatsConfig(), GuardConfig()))
    receive, num_received = guarded.Connection.recv, itertools.count()

    def interrupted(connection: guarded.Connection) -> object:
        if next(num_received) == 3:
            raise KeyboardInterrupt
        return receive(connection)

    with monkeypatch.context() as patch:
        patch.setattr(guarded.Connection, "recv", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))
    assert_right(bundled_sources[::-1])


def test_readings_at_the_same_time_share_no_child(bundled_sources: list[Source]) -> None:
    left = read_guarded(bundled_sources, FormatsConfig(), GuardConfig())  # as a traceback that somebody keeps
    found = [next(left)]
    sources = [bundled_sources, bundled_sources[::-1]] * 2
    with ThreadPoolExecutor(len(sources)) as threads:
        readings = list(threads.map(lambda mine: list(read_guarded(mine, FormatsConfig(), GuardConfig())), sources))
    for mine, reading in zip(sources, readings, strict=True):
        assert_right(mine, reading)
    assert_right(bundled_sources, found + list(left))
    for child in guarded._idle[os.getpid()][1:]:
        child.end()


@pytest.mark.parametrize("number", [0, 1])
def test_an_answer_to_another_question_is_refused(
    number: int, bundled_sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its number, or by the name that it bears."""
    list(read_guarded(bundled_sources[:1], FormatsConfig(), GuardConfig()))
    receive = guarded.Connection.recv

    def mistaken(connection: guarded.Connection) -> object:
        count, found = receive(connection)
        return (count - 1, found) if number else (count, replace(found, key="another"))

    monkeypatch.setattr(guarded.Connection, "recv", mistaken)
    with pytest.raises(IntegrityError, match="answered what it was not asked; run the same command again"):
        list(read_guarded(bundled_sources, FormatsConfig(), GuardConfig()))


def test_what_dies_while_it_starts_is_started_again_and_blamed_on_no_file(
    bundled_sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = GuardConfig(wall_s=119)  # that no idle child has
    begin, num_begun = guarded._Child._begin, itertools.count(1)

    def dying(child: guarded._Child, num_deaths: float) -> None:
        if next(num_begun) <= num_deaths:
            child._process.kill()
            child._process.wait()
        begin(child)

    with monkeypatch.context() as patch:
        patch.setattr(guarded._Child, "_begin", lambda child: dying(child, 2))
        assert_right(bundled_sources, list(read_guarded(bundled_sources, FormatsConfig(), guard)))
        assert next(num_begun) == 4
    guarded._idle[os.getpid()].pop().end()
    monkeypatch.setattr(guarded._Child, "_begin", lambda child: dying(child, float("inf")))
    with pytest.raises(PrecheckError, match="could not be started, 3 times in a row; free some memory"):
        list(read_guarded(bundled_sources, FormatsConfig(), guard))
    (listing, *_) = (vendor for vendor in guarded_vendors(FormatsConfig(), guard) if vendor.items is not None)
    with pytest.raises(PrecheckError, match="could not be started"):
        listing.list_items(bundled_sources[0].path)


def test_files_are_read_under_a_limit_of_memory_that_nobody_may_raise(bundled_sources: list[Source]) -> None:
    """As `ulimit -v` sets it; it is kept where it is lower than the reader's own."""
    script = (
        "import resource, sys\n"
        "from hemometric.vendors import find\n"
        "from hemometric.vendors.guarded import FormatsConfig, GuardConfig, _idle, read_guarded\n"
        "found = read_guarded(list(find([sys.argv[1]])), FormatsConfig(), GuardConfig(memory_mb=1 << 20))\n"
        "print(*{type(one).__name__ for one in found})\n"
        "(child,), = _idle.values()\n"
        "print(*resource.prlimit(child._process.pid, resource.RLIMIT_AS))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(bundled_sources[0].path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 3 << 30)),
    )
    assert ended.stdout.split() == ["Recording", str(2 << 30), str(3 << 30)], ended.stderr


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
