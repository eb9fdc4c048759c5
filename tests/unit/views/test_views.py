"""Views: what each shows, what each augmentation may do, and that chance hangs on names alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from hemometric.views import (
    Augmentation,
    Augmented,
    Crop,
    Draws,
    LeadDropout,
    Leads,
    Noise,
    Scale,
    Segments,
    Single,
    TimeWarp,
    ViewsConfig,
    Wander,
)

RATE_HZ, NUM, LEADS, SAMPLES = 100.0, 6, 12, 1000
AUGMENTATIONS = [Noise(), Wander(), Scale(), LeadDropout(), Crop(), TimeWarp()]
VIEWS = [
    Single(),
    Single(augmentations=(Crop(),)),
    Augmented(),
    Augmented(num=3, augmentations=(Noise(), Noise())),
    Segments(),
    Segments(num=3, augmentations=(Scale(),)),
    Leads(),
    Leads(num=3, num_segments=2),
]


def signals(num: int = NUM, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, LEADS, SAMPLES, generator=generator)


def keys(num: int = NUM) -> Tensor:
    return torch.arange(num, dtype=torch.int64) * 7919 - 3


def draws(num: int = NUM, **named: int) -> Draws:
    return replace(Draws(keys(num), seed=1, epoch=2, view=0), **named)


def test_every_augmentation_and_view_is_tried() -> None:
    assert {type(one) for one in AUGMENTATIONS} == set(get_args(get_args(Augmentation)[0]))
    assert {type(one) for one in VIEWS} == set(get_args(get_args(ViewsConfig)[0]))


@pytest.mark.parametrize("config", VIEWS, ids=lambda config: f"{config.kind}{config.num_views}")
def test_views_have_one_shape_and_hang_on_names_alone(config: ViewsConfig) -> None:
    views, given = config.build(RATE_HZ), signals()
    before = given.clone()
    shown = views(given, keys(), 1, 2)
    assert views.num == config.num_views
    assert shown.shape[:3] == (config.num_views, NUM, LEADS)
    assert torch.equal(given, before)
    assert shown.dtype == torch.float32
    assert torch.equal(shown, views(given, keys(), 1, 2))
    # A row's view is the same among other rows, in another order: on whichever rank it lies.
    order = torch.tensor([4, 1])
    assert torch.equal(views(given[order], keys()[order], 1, 2), shown[:, order])
    state = torch.get_rng_state()
    views(given, keys(), 1, 2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("config", [Augmented(), Leads()])
def test_another_epoch_or_seed_is_another_view(config: ViewsConfig) -> None:
    views, given = config.build(RATE_HZ), signals()
    first = views(given, keys(), 1, 2)
    for seed, epoch in ((1, 3), (2, 2)):
        other = views(given, keys(), seed, epoch)
        assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    rows = [first[0][row] - given[row] for row in range(NUM)]
    assert not torch.allclose(rows[0], rows[1])


@pytest.mark.parametrize("config", AUGMENTATIONS, ids=lambda config: config.kind)
def test_two_of_one_kind_draw_other_numbers(config: Augmentation) -> None:
    augment, given = config.build(RATE_HZ), signals()
    assert not torch.equal(augment(given, draws(place=0)), augment(given, draws(place=1)))


def test_draws_are_uniform_and_normal_and_independent() -> None:
    many = draws(2000)
    uniform = many.uniform(0, 100).double()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    expected = torch.linspace(0.05, 0.95, 10).double()
    found = torch.tensor([(uniform < edge).double().mean() for edge in expected])
    assert (found - expected).abs().max() < 5 * math.sqrt(0.25 / uniform.numel())
    normal = many.normal(1, 101).double()
    assert normal.shape == (2000, 101)
    assert abs(normal.mean()) < 5 / math.sqrt(normal.numel())
    assert abs(normal.var() - 1) < 5 * math.sqrt(2 / normal.numel())
    assert abs(normal.pow(4).mean() - 3) < 5 * math.sqrt(96 / normal.numel())
    for shift in (1, 50, 51):
        assert abs((normal[:, shift:] * normal[:, :-shift]).mean()) < 5 / math.sqrt(normal[:, shift:].numel())
    assert abs((normal[1:] * normal[:-1]).mean()) < 5 / math.sqrt(normal[1:].numel())
    for other in (many.uniform(1, 100), replace(many, view=1).uniform(0, 100), replace(many, epoch=3).uniform(0, 100)):
        correlation = ((uniform - 0.5) * (other.double() - 0.5)).mean() * 12
        assert abs(correlation) < 5 / math.sqrt(uniform.numel())


def test_noise_is_white_and_as_large_as_drawn() -> None:
    num, still = 400, torch.zeros(400, 2, 2000)
    noise = Noise(max_mv=0.1).build(RATE_HZ)(still, draws(num))
    size = noise.std(dim=(1, 2))
    assert size.max() <= 0.1 * 1.05
    assert abs(size.mean() - 0.05) < 5 * 0.1 / math.sqrt(12 * num)
    unit = noise / size[:, None, None]
    assert abs((unit[:, :, 1:] * unit[:, :, :-1]).mean()) < 0.01


def test_wander_is_slow_and_small() -> None:
    wave = Wander(max_mv=0.2).build(RATE_HZ)(torch.zeros(50, LEADS, 4000), draws(50))
    assert wave.abs().max() <= 0.2
    assert wave.abs().amax(dim=(1, 2)).min() > 0.05
    power = torch.fft.rfft(wave * torch.hann_window(4000)).abs().square()
    hz = torch.fft.rfftfreq(4000, 1 / RATE_HZ)
    assert (power[:, :, hz > 0.6].sum() / power.sum()) < 1e-3


def test_scale_keeps_the_shape_of_a_recording() -> None:
    given = signals(500)
    gain = Scale(most=0.3).build(RATE_HZ)(given, draws(500)) / given
    assert torch.allclose(gain, gain[:, :1, :1].expand_as(gain), atol=1e-4)
    assert 0.7 - 1e-4 <= gain.min() < 0.72
    assert 1.28 < gain.max() <= 1.3 + 1e-4


def test_leads_fall_off_as_often_as_asked_and_never_all() -> None:
    given = torch.ones(3000, LEADS, 4)
    gone = LeadDropout(probability=0.3).build(RATE_HZ)(given, draws(3000))[:, :, 0] == 0
    assert abs(gone.double().mean() - 0.3) < 5 * math.sqrt(0.21 / gone.numel())
    lone = LeadDropout(probability=0.99).build(RATE_HZ)(given, draws(3000))[:, :, 0] != 0
    assert lone.any(dim=1).all()
    one = LeadDropout(probability=0.9).build(RATE_HZ)(torch.ones(50, 1, 4), draws(50))
    assert torch.equal(one, torch.ones(50, 1, 4))


def test_a_missing_value_stays_where_it_was_or_goes_with_its_lead() -> None:
    given = signals(200)
    given[:, 3, 10] = math.nan
    dropped = LeadDropout(probability=0.5).build(RATE_HZ)(given, draws(200))
    gone = dropped[:, 3, 0] == 0
    assert torch.isfinite(dropped[gone]).all()
    assert torch.isnan(dropped[~gone][:, 3, 10]).all()


def test_a_crop_is_a_part_of_the_recording() -> None:
    place = torch.arange(SAMPLES, dtype=torch.float32).expand(300, LEADS, SAMPLES)
    part = Crop(share=0.75).build(RATE_HZ)(place, draws(300))
    assert part.shape == (300, LEADS, 750)
    assert torch.equal(part, (part[:, :1, :1] + torch.arange(750.0)).expand_as(part))
    first = part[:, 0, 0]
    assert first.min() >= 0
    assert first.max() <= 250
    assert len(first.unique()) > 150


def test_time_runs_on_and_ends_where_it_ended() -> None:
    place = torch.linspace(0, 1, SAMPLES).expand(300, LEADS, SAMPLES).contiguous()
    warped = TimeWarp(most=0.2, num_knots=4).build(RATE_HZ)(place, draws(300))
    assert torch.equal(warped[:, 0], warped[:, 5])
    speed = (warped[:, 0].double().diff(dim=1)) * (SAMPLES - 1)
    # Speeds of 0.8 to 1.2, scaled so that the end stays: at most a factor 1.5 apart.
    assert speed.min() > 0.8 / 1.2 - 0.01
    assert speed.max() < 1.2 / 0.8 + 0.01
    assert (speed.max(dim=1).values - speed.min(dim=1).values).median() > 0.1
    assert torch.allclose(warped[:, 0, 0], torch.zeros(300), atol=1e-6)
    assert torch.allclose(warped[:, 0, -1], torch.ones(300), atol=1e-5)


def test_a_warp_equals_numpy_s_interpolation() -> None:
    given = signals(2)
    warp = TimeWarp(most=0.3).build(RATE_HZ)
    places = warp(torch.arange(SAMPLES, dtype=torch.float64).expand(2, 1, SAMPLES).contiguous(), draws(2))
    found = warp(given, draws(2))
    for row in range(2):
        for lead in (0, 7):
            expected = np.interp(places[row, 0], np.arange(SAMPLES), given[row, lead].double())
            np.testing.assert_allclose(found[row, lead], expected, atol=2e-5)


def test_segments_are_the_parts_in_their_order() -> None:
    given = signals()
    halves = Segments().build(RATE_HZ)(given, keys(), 0, 0)
    assert torch.equal(torch.cat(list(halves), dim=2), given)
    thirds = Segments(num=3).build(RATE_HZ)(given, keys(), 0, 0)
    assert torch.equal(thirds[2], given[:, :, 666:999])
    with pytest.raises(ValueError, match="2 samples cannot be cut into 3"):
        Segments(num=3).build(RATE_HZ)(given[:, :, :2], keys(), 0, 0)


def test_each_lead_view_shows_another_lead_alone() -> None:
    given = signals(200)
    shown = Leads(num=12).build(RATE_HZ)(given, keys(200), 0, 0)
    assert torch.allclose(shown.sum(dim=0), given)
    there = (shown != 0).any(dim=3)
    assert torch.equal(there.sum(dim=2), torch.ones(12, 200, dtype=torch.int64))
    first = there[0].double().argmax(dim=1)
    assert len(first.unique()) == 12
    both = Leads(num=2, num_segments=2).build(RATE_HZ)(given, keys(200), 0, 0)
    lead = (both != 0).any(dim=3).double().argmax(dim=2)
    assert torch.equal(lead[0], lead[2])
    assert torch.equal(lead[1], lead[3])
    assert torch.equal(both[0].sum(dim=1), given[torch.arange(200), lead[0], :500])
    with pytest.raises(ValueError, match="12 lead views want as many leads; there are 8"):
        Leads(num=12).build(RATE_HZ)(given[:, :8], keys(200), 0, 0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "augmented", "num": 1}, "num"),
        ({"kind": "segments", "num": 1}, "num"),
        ({"kind": "augmented", "augmentations": []}, "augmentations"),
        ({"kind": "single", "augmentations": [{"kind": "crop", "share": 1.0}]}, "share"),
        ({"kind": "single", "augmentations": [{"kind": "flip"}]}, "kind"),
    ],
)
def test_impossible_views_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TypeAdapter(ViewsConfig).validate_python(wrong, strict=False)
