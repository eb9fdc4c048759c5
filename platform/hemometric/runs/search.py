"""What a search may draw: distributions over dotted paths of a config, checked against that config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from hemometric.config import Config

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

Value = int | float | str | bool


class Uniform(Config):
    """Any number between `low` and `high`; with `log`, evenly over its logarithm."""

    kind: Literal["uniform"] = "uniform"
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low must lie below high, and above 0 where log is true")
        return self

    def build(self) -> BaseDistribution:
        """Give Optuna's distribution."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)

    def probes(self) -> tuple[Value, ...]:
        """Values that the config must accept for the search to be valid."""
        return (self.low, self.high)


class Choice(Config):
    """One of `values`."""

    kind: Literal["choice"] = "choice"
    values: tuple[Value, ...] = Field(min_length=1)

    def build(self) -> BaseDistribution:
        """Give Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def probes(self) -> tuple[Value, ...]:
        """All of them."""
        return self.values


Distribution = Annotated[Uniform | Choice, Field(discriminator="kind")]
Search = dict[str, Distribution]


def space(search: Search) -> dict[str, BaseDistribution]:
    """Give Optuna's distributions, by dotted path."""
    return {path: distribution.build() for path, distribution in search.items()}


def drawn(trial: Trial, search: Search) -> dict[str, Value]:
    """Draw every path of a search from an Optuna trial."""
    values: dict[str, Value] = {}
    for path, distribution in search.items():
        if isinstance(distribution, Uniform):
            values[path] = trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)
        else:
            chosen = trial.suggest_categorical(path, distribution.values)
            assert chosen is not None  # noqa: S101 - None is no Value
            values[path] = chosen
    return values


def replaced(data: dict[str, Any], values: dict[str, Value]) -> dict[str, Any]:
    """Set dotted paths in a nested mapping, without changing it."""
    result = dict(data)
    for path, value in values.items():
        keys = path.split(".")
        level = result
        for key in keys[:-1]:
            below = level.get(key)
            level[key] = dict(below) if isinstance(below, dict) else {}
            level = level[key]
        level[keys[-1]] = value
    return result
