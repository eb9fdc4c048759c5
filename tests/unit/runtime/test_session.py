"""What a run asks of a cluster, decided without one."""

from __future__ import annotations

import pytest

from hemometric.errors import ClusterError, PrecheckError
from hemometric.runtime.session import check_cpus, needed_cpus, session


@pytest.mark.parametrize(
    ("asked", "cpus"),
    [
        ({"workers": 2, "cpus_per_worker": 1.0}, 2.0),
        ({"workers": 2, "cpus_per_worker": 0.5, "driver": 0.1}, 1.1),
        ({"workers": 3, "cpus_per_worker": 2.0, "concurrent": 4, "driver": 0.5}, 26.0),
        ({"workers": 2, "cpus_per_worker": 1.0, "data": 1.0}, 3.0),
        ({"workers": 2, "cpus_per_worker": 1.0, "concurrent": 2, "data": 1.0}, 5.0),
    ],
)
def test_what_a_run_asks_for(asked: dict[str, float], cpus: float) -> None:
    assert needed_cpus(**asked) == pytest.approx(cpus)  # type: ignore[arg-type]


def test_a_run_that_could_never_be_scheduled_is_refused() -> None:
    with pytest.raises(PrecheckError, match="the run asks for 8 CPUs and the cluster has 2; take fewer workers"):
        check_cpus(8, 2, advice="take fewer workers")
    assert PrecheckError.exit_code == 5


@pytest.mark.parametrize("available", [2.0, 2.0 - 1e-9, 64.0])
def test_a_run_that_just_fits_is_taken(available: float) -> None:
    check_cpus(0.1 * 20, available, advice="")
    with pytest.raises(PrecheckError):
        check_cpus(available + 0.1, available, advice="")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:6379"])
def test_an_address_where_nobody_listens_is_said_at_once(address: str) -> None:
    """Ray itself tries for three minutes and then ends the process by a signal."""
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at {address}; start it"), session(address=address):
        pass
