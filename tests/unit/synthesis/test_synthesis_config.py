"""Configs that cannot be met are refused in words a user can act on."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hemometric.config import decode, dump, fingerprint
from hemometric.errors import UsageError
from hemometric.synthesis import PressureConfig, SynthesisConfig


def test_defaults_are_the_published_population() -> None:
    config = SynthesisConfig()
    assert (config.pressure.mean_mmhg, config.pressure.sd_mmhg) == (15.7, 8.1)
    assert (config.pressure.low_mmhg, config.pressure.high_mmhg) == (2.0, 45.0)
    assert config.num_samples == 5000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_patients", 0),
        ("visits_min", 0),
        ("num_sites", 0),
        ("rate_hz", 10.0),
        ("duration_s", 0.0),
        ("seed", -1),
        ("confounding", 1.5),
        ("scatter", 0.0),
        ("noise", -0.1),
        ("electrode_shift_cm", 40.0),
    ],
)
def test_fields_have_ranges(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        SynthesisConfig(**{field: value})  # type: ignore[arg-type]


def test_visits_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="visits_max is 2, below visits_min 3"):
        SynthesisConfig(visits_min=3, visits_max=2)


@pytest.mark.parametrize("fields", [{"mean_mmhg": 1.5}, {"sd_mmhg": 14.0}, {"mean_mmhg": 3.0, "sd_mmhg": 8.0}])
def test_impossible_pressures_name_the_remedy(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"no normal cut to 2\.\.45 mmHg.*lower sd_mmhg"):
        PressureConfig(**fields)


def test_a_typing_error_in_yaml_is_answered_with_the_field() -> None:
    with pytest.raises(UsageError, match="did you mean 'num_patients'"):
        decode(SynthesisConfig, {"num_patient": 3})


def test_every_field_reaches_the_fingerprint_and_survives_yaml() -> None:
    changed = SynthesisConfig(pressure=PressureConfig(mean_mmhg=16.0))
    assert fingerprint(changed) != fingerprint(SynthesisConfig())
    assert "mean_mmhg: 16.0" in dump(changed)
    assert decode(SynthesisConfig, {"pressure": {"mean_mmhg": 16.0}}) == changed
