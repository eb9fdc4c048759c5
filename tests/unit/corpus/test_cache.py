"""The cache holds what `prepare` gives, lays itself again when damaged, and never opens a split not asked for."""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import hemometric.corpus.cache as cache_module
import hemometric.corpus.cache_writer as writer_module
from hemometric.corpus import Cache, IngestConfig, Key, lay_cache, open_cache, open_corpus
from hemometric.ecg import Recording, Rejected
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.waveform import Preparation, prepare

PREPARATION = Preparation(rate_hz=50, duration_s=8, leads=("I", "II", "V1"))


@pytest.fixture
def lay(whole_corpus: Path, tmp_path: Path) -> Callable[..., Cache]:
    def laid(splits: tuple[str, ...] = ("train", "validation"), **options: object) -> Cache:
        return lay_cache(open_corpus(whole_corpus), PREPARATION, splits, tmp_path / "caches", **options)  # type: ignore[arg-type]

    return laid


@pytest.fixture
def num_laid(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Count how often a cache is really laid."""
    places: list[Path] = []
    original = cache_module.write_cache

    def counted(*args, **kwargs):
        places.append(args[3])
        original(*args, **kwargs)

    monkeypatch.setattr(cache_module, "write_cache", counted)
    return places


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_prepared_recordings_sorted_by_id(lay, whole_corpus: Path, threads: int) -> None:
    cache = lay(threads=threads)
    corpus = open_corpus(whole_corpus)
    assert cache.signals.dtype == np.float32
    assert cache.signals.shape == (len(cache), 3, 400)
    assert not cache.signals.flags.writeable
    ids = cache.recording_ids.tolist()
    assert ids == sorted(ids)
    expected = {row["recording_id"]: (row, recording) for row, recording in corpus.recordings(["train", "validation"])}
    assert set(ids) == set(expected)
    for index, recording_id in enumerate(ids):
        row, recording = expected[recording_id]
        assert np.array_equal(cache.signals[index], prepare(recording, PREPARATION))
        assert cache.patients[index] == row["patient"]
        assert cache.splits[index] == row["split"]
    assert cache.num_rejected == 0


def test_columns_and_labels(lay, whole_corpus: Path) -> None:
    cache = lay()
    rows = {row["recording_id"]: row for row, _ in open_corpus(whole_corpus).recordings(["train", "validation"])}
    wanted = [rows[recording_id] for recording_id in cache.recording_ids]
    ages = np.array([np.nan if row["age_years"] is None else row["age_years"] for row in wanted])
    assert np.array_equal(cache.column("age_years"), ages, equal_nan=True)
    assert cache.column("sex").tolist() == [row["sex"] or "" for row in wanted]
    assert cache.column("superclasses").tolist() == [tuple(row["label.superclasses"]) for row in wanted]
    assert cache.column("label.superclasses").tolist() == cache.column("superclasses").tolist()
    assert cache.column("fold").dtype == np.float64
    for name in ("mpcwp", "signal_crc32", "signal"):
        with pytest.raises(UsageError, match="no column or label"):
            cache.column(name)


def test_times_and_codes_of_text(lay, whole_corpus: Path) -> None:
    cache = lay()
    rows = {row["recording_id"]: row for row, _ in open_corpus(whole_corpus).recordings(["train", "validation"])}
    wanted = [rows[recording_id] for recording_id in cache.recording_ids]
    assert cache.acquired.dtype == "datetime64[s]"
    assert cache.acquired.tolist() == [row["acquired"] and row["acquired"].replace(microsecond=0) for row in wanted]
    assert cache.codes("patient").dtype == np.int64
    for name in ("patient", "site", "sex"):
        codes, values = cache.codes(name).tolist(), [row[name] for row in wanted]
        pairs = set(zip(codes, values, strict=True))
        assert len(pairs) == len(set(codes)) == len(set(values))
        assert all((code == -1) == (value is None) for code, value in pairs)


def test_rows_of_each_split(lay) -> None:
    cache = lay(("validation", "train"))
    train, validation = cache.rows("train"), cache.rows("validation")
    assert train.dtype == np.int64
    assert sorted([*train, *validation]) == list(range(len(cache)))
    assert set(cache.splits[train]) == {"train"}
    assert len(cache.rows("test")) == 0
    with pytest.raises(UsageError, match="did you mean 'train'"):
        cache.rows("trian")


def test_the_test_split_is_never_opened_unless_asked_for(corpus_path: Path, whole_corpus: Path, tmp_path: Path) -> None:
    shutil.rmtree(corpus_path / "shards" / "test")
    without = lay_cache(open_corpus(corpus_path), PREPARATION, ["train", "validation"], tmp_path / "one")
    with_it = lay_cache(open_corpus(whole_corpus), PREPARATION, ["train", "validation"], tmp_path / "two")
    assert without.folder.name == with_it.folder.name
    assert np.array_equal(without.signals, with_it.signals)
    with pytest.raises(IntegrityError, match=r"test/part-00000\.parquet is missing"):
        lay_cache(open_corpus(corpus_path), PREPARATION, ["test"], tmp_path / "one")
    assert len(lay_cache(open_corpus(whole_corpus), PREPARATION, ["test"], tmp_path / "two").rows("test")) > 0


def test_it_is_laid_once_and_named_by_corpus_preparation_and_splits(lay, num_laid: list[Path], tmp_path: Path) -> None:
    first, again, swapped = lay(), lay(), lay(("validation", "train"))
    assert first.folder == again.folder == swapped.folder
    assert lay(("train",)).folder != first.folder
    assert len(num_laid) == 2
    assert [path.name for path in (tmp_path / "caches").iterdir() if path.name.endswith(".tmp")] == []


def test_local_ranks_that_come_at_once_lay_it_once(lay, num_laid: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        caches = list(pool.map(lambda _: lay(), range(4)))
    assert len(num_laid) == 1
    assert all(np.array_equal(cache.signals, caches[0].signals) for cache in caches)


def test_rejected_rows_are_left_out_and_counted(lay, whole_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = sorted(row["recording_id"] for row, _ in open_corpus(whole_corpus).recordings(["train", "validation"]))
    gone = {ids[0], ids[3], ids[4], ids[-1]}

    def some(recording: Recording, preparation: Preparation) -> np.ndarray | Rejected:
        if recording.key in gone:
            return Rejected(recording.key, "missing_leads" if recording.key == ids[0] else "too_short", "no")
        return prepare(recording, preparation)

    monkeypatch.setattr(writer_module, "prepare", some)
    cache = lay()
    assert cache.recording_ids.tolist() == [name for name in ids if name not in gone]
    assert cache.num_rejected == 4
    assert cache.rejected == {"missing_leads": 1, "too_short": 3}
    corpus = open_corpus(whole_corpus)
    for index in (0, 1, 2, 10, len(cache) - 1):
        assert np.array_equal(cache.signals[index], prepare(corpus.recording(cache.recording_ids[index]), PREPARATION))
    monkeypatch.setattr(writer_module, "prepare", lambda recording, _: Rejected(recording.key, "too_short", "no"))
    nothing = lay(("validation",))
    assert nothing.signals.shape == (0, 3, 400)
    assert nothing.num_rejected == open_corpus(whole_corpus).manifest.counts.splits["validation"].recordings


@pytest.mark.parametrize("name", ["signals.npy", "rows.arrow", "cache.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_caches_are_laid_again(lay, num_laid: list[Path], name: str, damage: str) -> None:
    cache = lay()
    expected = np.array(cache.signals)
    path = cache.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flip":
        path.write_bytes(content if name != "cache.json" else b"{" + content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    with pytest.raises((IntegrityError, UsageError)):
        open_cache(cache.folder)
    assert np.array_equal(lay().signals, expected)
    assert len(num_laid) == 2


def test_half_caches_of_killed_writers_are_removed(lay, tmp_path: Path) -> None:
    cache = lay()
    shutil.rmtree(cache.folder)
    orphan = tmp_path / "caches" / f".{cache.folder.name}.77-abc.tmp"
    orphan.mkdir()
    (orphan / "signals.npy").write_bytes(b"half")
    assert len(lay()) == len(cache)
    assert not orphan.exists()


def test_large_caches_are_checked_at_even_distances(lay, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = lay()
    monkeypatch.setattr(cache_module, "_WHOLE_CHECK_BYTES", 1000)
    monkeypatch.setattr(cache_module, "_NUM_CHECKED", 2)
    signals = np.load(cache.folder / "signals.npy", mmap_mode="r+")
    signals[1, 0, 0] += 1
    signals.flush()
    assert len(open_cache(cache.folder)) == len(cache)  # not among the two that are looked at
    signals[len(cache) - 1, 0, 0] += 1
    signals.flush()
    with pytest.raises(IntegrityError, match="damaged"):
        open_cache(cache.folder)


def test_a_disk_too_small_is_refused_first(lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(PrecheckError, match=r"the cache of \d+ recordings needs"):
        lay()
    assert not list((tmp_path / "caches").glob("*cache-*/*"))


def test_it_travels_by_its_place(lay) -> None:
    cache = lay()
    travelled = pickle.loads(pickle.dumps(cache))
    assert len(pickle.dumps(cache)) < 1000
    assert np.array_equal(travelled.signals, cache.signals)


def test_a_split_without_recordings_gives_an_empty_cache(write_record, ingest, tmp_path: Path, key: Key) -> None:
    write_record(tmp_path / "one", "r", seed=1)
    ingest(IngestConfig(patients="recording_is_patient"), [tmp_path / "one"], tmp_path / "corpus", key)
    corpus = open_corpus(tmp_path / "corpus")
    sizes = [len(lay_cache(corpus, PREPARATION, [split], tmp_path / "c")) for split in ("train", "validation", "test")]
    assert sorted(sizes) == [0, 0, 1]


def test_importing_the_rooms_needs_neither_torch_nor_ray() -> None:
    program = "import sys, hemometric.corpus, hemometric.batches; print({'torch', 'ray', 'mlflow'} & {*sys.modules})"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


def test_a_folder_that_may_not_be_written_is_named(
    lay: Callable[..., Cache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache_module.FileLock, "acquire", refuse)
    with pytest.raises(UsageError, match=f"cache folder {tmp_path}/caches cannot be written: Permission denied"):
        lay()
