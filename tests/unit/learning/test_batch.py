import torch

from hemometric.learning import World, recording_key, recording_keys


def test_a_recording_key_never_changes():
    # printf a3f0 | b2sum -l 64, read as a signed big-endian integer
    assert recording_key("a3f0") == 3656188326304771219
    assert recording_keys(["a3f0", ""]).dtype == torch.int64
    assert recording_keys(["a3f0", ""]).tolist() == [3656188326304771219, recording_key("")]


def test_recording_keys_differ_and_use_the_sign():
    keys = recording_keys([f"recording-{number}" for number in range(2000)])
    assert len(set(keys.tolist())) == 2000
    assert (keys < 0).any()
    assert (keys > 0).any()


def test_the_first_rank_is_the_main_one():
    assert World().is_main
    assert not World(rank=1, size=2).is_main


def test_a_batch_on_its_device_is_itself(tiny):
    batch = tiny.make_batch(0)
    assert batch.to(torch.device("cpu")) is batch


def test_a_batch_moves_whole(tiny):
    moved = tiny.make_batch(0).to(torch.device("meta"))
    tensors = [moved.signals, moved.keys, moved.positions, moved.mined.anchors, moved.mined.distances]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert tiny.make_batch(0, targets=True).to(torch.device("meta")).targets.device.type == "meta"
