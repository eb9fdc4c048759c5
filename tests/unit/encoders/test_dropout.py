"""Keyed dropout: the right share, independent bits, and a mask that hangs on nothing but its names."""

import threading

import pytest
import torch

from hemometric.encoders.dropout import KeyedDropout, dropout_keys, keep_mask

M64 = 2**64 - 1


def draw(keys, *, step=0, seed=0, view=0, layer=1, p=0.3, shape=(4, 50), dtype=torch.float32):
    layer = KeyedDropout(p, layer).train()
    keys = torch.as_tensor(keys, dtype=torch.int64)
    with dropout_keys(keys, step, seed, view):
        return layer(torch.ones(len(keys), *shape, dtype=dtype))


def mix64(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def mix32(x):
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def plain_mask(key, *, seed, step, view, layer, num, p):
    """The documented hash in plain Python integers, one element at a time."""
    stream = 0
    for part in (seed, step, view, layer):
        stream = mix64(((stream ^ (part & M64)) + 0x9E3779B97F4A7C15) & M64)
    row = mix64((key & M64) ^ stream) >> 32
    kept = []
    for element in range(num):
        word = mix32(mix32(element // 2) ^ row)
        half = (word >> 16) if element % 2 else (word & 0xFFFF)
        signed = half - 65536 if half >= 32768 else half
        kept.append(signed < round((1 - p) * 65536) - 32768)
    return torch.tensor(kept)


@pytest.mark.parametrize("num", [1, 2, 7, 150])
def test_mask_equals_a_slow_plain_loop(num):
    keys = [0, 1, -1, 2**63 - 1, -(2**63), 123456789]
    names = {"seed": -3, "step": 2**40, "view": 1, "layer": 5}
    found = draw(keys, shape=(num,), p=0.2, **names) != 0
    for row, key in zip(found, keys, strict=True):
        assert torch.equal(row, plain_mask(key, num=num, p=0.2, **names))


def masks(num_draws, num_elements, p, **names):
    return torch.cat(
        [draw(range(100), step=step, p=p, shape=(num_elements,), **names) != 0 for step in range(num_draws)]
    )


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.9])
def test_every_element_is_kept_with_the_right_probability(p):
    kept = masks(100, 256, p).double()  # 10,000 draws of each of 256 elements
    z = (kept.mean(0) - (1 - p)) / (p * (1 - p) / len(kept)) ** 0.5
    assert z.abs().max() < 4.5
    assert 0.8 < z.std() < 1.2  # neither too far from the expectation, nor suspiciously near
    overall = (kept.mean() - (1 - p)) / (p * (1 - p) / kept.numel()) ** 0.5
    assert abs(overall) < 4


def correlation_z(one, other, p):
    """Standardised correlation of two bool arrays of the same shape."""
    n = one.numel()
    product = ((one.double() - (1 - p)) * (other.double() - (1 - p))).mean() / (p * (1 - p))
    return float(abs(product) * n**0.5)


def test_elements_rows_steps_seeds_views_and_layers_are_independent():
    p, base = 0.3, masks(40, 512, 0.3)
    for shift in (1, 2, 3, 64, 256):
        assert correlation_z(base[:, shift:], base[:, :-shift], p) < 4, f"elements {shift} apart"
    for shift in (1, 2, 16, 100):  # neighbouring keys, and neighbouring steps of one key
        assert correlation_z(base[shift:], base[:-shift], p) < 4, f"rows {shift} apart"
    for names in ({"seed": 1}, {"view": 1}, {"layer": 2}):
        assert correlation_z(base, masks(40, 512, p, **names), p) < 4, str(names)


def test_rows_whose_hashes_differ_in_one_bit_are_independent():
    """The worst case for the elements' hash: two row words one bit apart."""
    from hemometric.encoders import keyed

    words = torch.arange(4096, dtype=torch.int32)
    elements = keyed._avalanche32(words.clone())
    base = keyed._avalanche32(elements.clone()).view(torch.int16) < 0
    for bit in range(32):
        flip = torch.tensor((1 << bit) - (1 << 32 if bit == 31 else 0), dtype=torch.int32)
        other = keyed._avalanche32(elements ^ flip).view(torch.int16) < 0
        assert correlation_z(base, other, 0.5) < 5, f"bit {bit}"


def test_mask_does_not_hang_on_the_batch_around_it():
    alone = draw([42])
    among = draw([7, 42, 9, 42])
    assert torch.equal(among[1], alone[0])
    assert torch.equal(among[3], alone[0])
    assert not torch.equal(among[0], alone[0])


@pytest.mark.parametrize("other", [{"step": 1}, {"seed": 1}, {"view": 1}, {"layer": 2}, {"step": 1, "seed": -1}])
def test_mask_hangs_on_each_name(other):
    assert not torch.equal(draw([42]), draw([42], **other))
    assert torch.equal(draw([42], **other), draw([42], **other))


def test_torch_generators_play_no_part():
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), draw([1, 2])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(draw([1, 2]), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_kept_is_scaled(dtype):
    found = draw([3], p=0.2, dtype=dtype)
    assert found.dtype == dtype
    assert set(found.unique().tolist()) == {0.0, torch.tensor(1.25, dtype=dtype).item()}


def test_gradient_passes_where_the_activation_did():
    layer, x = KeyedDropout(0.4, layer=1), torch.randn(2, 30, requires_grad=True)
    with dropout_keys(torch.tensor([1, 2]), step=0, seed=0):
        output = layer(x)
    output.sum().backward()
    assert torch.equal(x.grad, torch.where(output == 0, 0.0, 1 / 0.6))


def test_what_is_not_finite_stays_visible():
    layer = KeyedDropout(0.95, layer=1)
    with dropout_keys(torch.tensor([1]), step=0, seed=0):
        assert layer(torch.full((1, 100), torch.nan)).isnan().all()


def test_identity_in_evaluation_and_without_probability():
    x = torch.randn(2, 5)
    assert KeyedDropout(0.5, layer=1).eval()(x) is x
    assert KeyedDropout(0.0, layer=1).train()(x) is x


def test_training_without_keys_is_an_error():
    layer = KeyedDropout(0.5, layer=1)
    with pytest.raises(RuntimeError, match="with dropout_keys"):
        layer(torch.ones(2, 5))
    with dropout_keys(torch.tensor([1, 2]), step=0, seed=0):
        layer(torch.ones(2, 5))
    with pytest.raises(RuntimeError, match="with dropout_keys"):
        layer(torch.ones(2, 5))


def test_keys_nest_survive_errors_and_stay_in_their_thread():
    layer, inner = KeyedDropout(0.5, layer=1), torch.ones(1, 64)
    with dropout_keys(torch.tensor([1]), step=0, seed=0):
        outer = layer(inner)
        with pytest.raises(KeyError), dropout_keys(torch.tensor([2]), step=0, seed=0):
            assert not torch.equal(layer(inner), outer)
            raise KeyError
        assert torch.equal(layer(inner), outer)
        caught = []

        def elsewhere():
            try:
                layer(inner)
            except RuntimeError as error:
                caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(caught) == 1


def test_wrong_keys_and_probabilities_are_refused():
    with pytest.raises(ValueError, match="3 dropout keys for a batch of 2"), dropout_keys(torch.arange(3), 0, 0):
        KeyedDropout(0.5, layer=1)(torch.ones(2, 5))
    with pytest.raises(ValueError, match="int64"), dropout_keys(torch.ones(3), 0, 0):
        pass
    for p in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="not a probability"):
            KeyedDropout(p, layer=1)


def test_probabilities_below_the_resolution_drop_nothing():
    assert keep_mask(torch.arange(4), 1, 1000, 1e-9).all()
    assert keep_mask(torch.arange(4), 1, 1000, 1e-9).dtype == torch.bool
