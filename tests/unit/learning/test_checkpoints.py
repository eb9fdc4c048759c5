import hashlib
import json
import pickle
import resource
import zipfile

import pytest
import torch

from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.learning import CheckpointStore
from hemometric.learning.checkpoints import decode_state

SAME = {"fingerprint": "config-a", "manifest_hash": "corpus-a"}


def state(number: float) -> dict[str, object]:
    return {"weight": torch.full((5,), number), "nested": {"step": int(number), "names": ["a", None]}}


def test_what_is_saved_is_read_back(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    folder = store.save(100, state(1.5), **SAME, validation_loss=0.25)
    assert folder == tmp_path / "run" / "step-00000100"
    assert sorted(path.name for path in folder.iterdir()) == ["_SUCCESS", "manifest.json", "state.pt"]
    found = CheckpointStore(tmp_path / "run").latest(**SAME)
    assert (found.folder, found.step, found.validation_loss) == (folder, 100, 0.25)
    read = found.load()
    assert read["nested"] == {"step": 1, "names": ["a", None]}
    torch.testing.assert_close(read["weight"], torch.full((5,), 1.5))


def test_nothing_saved_is_none(tmp_path):
    store = CheckpointStore(tmp_path / "never")
    assert store.latest(**SAME) is None
    assert store.best(**SAME) is None


def test_the_last_ones_and_the_best_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step, loss in [(10, 3.0), (20, 1.0), (30, None), (40, 2.0), (50, 1.0)]:
        store.save(step, state(step), **SAME, validation_loss=loss)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020", "step-00000040", "step-00000050"]
    assert store.latest(**SAME).step == 50
    assert store.best(**SAME).step == 20  # the earliest of equals
    assert store.best(**SAME).load()["nested"]["step"] == 20


def test_keeping_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at least 1"):
        CheckpointStore(tmp_path, keep=0)


@pytest.mark.parametrize("name", ["state.pt", "manifest.json", "_SUCCESS"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete"])
def test_a_damaged_one_is_passed_over(tmp_path, name, damage):
    store = CheckpointStore(tmp_path)
    store.save(1, state(1), **SAME)
    path = store.save(2, state(2), **SAME) / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"flip": content, "truncate": content[:-1], "empty": b"", "delete": b""}[damage])
    if damage == "delete":
        path.unlink()
    assert store.latest(**SAME).step == 1
    assert len(store.warnings) == 1
    assert "step-00000002" in store.warnings[0]
    assert store.latest(**SAME).load()["nested"]["step"] == 1
    assert len(store.warnings) == 1  # told once


def test_only_damaged_ones_are_never_step_zero(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        (store.save(step, state(step), **SAME) / "_SUCCESS").unlink()
    with pytest.raises(IntegrityError, match=r"none of the 2 checkpoints .* is whole .*step-00000002.*step-00000001"):
        store.latest(**SAME)


def test_what_a_kill_leaves_behind_is_no_checkpoint(tmp_path):
    leftover = tmp_path / ".tmp-step-00000001"
    leftover.mkdir()
    (leftover / "state.pt").write_bytes(b"half")
    store = CheckpointStore(tmp_path)
    assert store.latest(**SAME) is None
    store.save(1, state(1), **SAME)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_damaged_one_of_the_same_step_is_replaced(tmp_path):
    store = CheckpointStore(tmp_path)
    (store.save(2, state(7), **SAME) / "state.pt").write_bytes(b"damage")
    store.save(2, state(2), **SAME)
    assert store.latest(**SAME).load()["nested"]["step"] == 2


@pytest.mark.parametrize(("changed", "words"), [("fingerprint", "config"), ("manifest_hash", "corpus")])
def test_another_run_is_refused_and_both_are_named(tmp_path, changed, words):
    store = CheckpointStore(tmp_path)
    store.save(2, state(2), **SAME)
    with pytest.raises(UsageError, match=rf"belong to {words} {SAME[changed]}, this run has {words} other-b"):
        store.latest(**SAME | {changed: "other-b"})


def test_bytes_that_change_after_the_look_are_refused(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(2, state(2), **SAME)
    found = store.latest(**SAME)
    (found.folder / "state.pt").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="changed on disk"):
        found.load()


class Hostile:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (open, (str(self.canary), "w"))


def test_a_hostile_pickle_with_right_hashes_runs_nothing(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    folder = store.save(2, state(2), **SAME)
    canary = tmp_path / "canary"
    with zipfile.ZipFile(folder / "state.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "state.pt", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, pickle.dumps(Hostile(canary), 2) if name.endswith("data.pkl") else content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["state_sha256"] = hashlib.sha256((folder / "state.pt").read_bytes()).hexdigest()
    text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)
    (folder / "_SUCCESS").write_text(hashlib.sha256(text).hexdigest())
    found = store.latest(**SAME)
    with pytest.raises(IntegrityError, match="refused"):
        found.load()
    assert not canary.exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", pickle.dumps({"a": 1})])
def test_what_is_no_state_is_refused(content):
    with pytest.raises(IntegrityError, match="refused"):
        decode_state(content)


def test_a_full_disk_leaves_no_half_and_the_next_try_succeeds(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, state(1), **SAME)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(PrecheckError, match=r"step-00000002 \(0\.4 MB\) cannot be written .* no space"):
            store.save(2, {"weight": torch.zeros(100_000)}, **SAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    store.save(2, {"weight": torch.zeros(100_000)}, **SAME)
    assert store.latest(**SAME).step == 2


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PrecheckError, match="cannot be written"):
        CheckpointStore(tmp_path / "file" / "run").save(1, state(1), **SAME)
