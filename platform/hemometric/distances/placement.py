"""Where arrays lie: on the host, or on a CUDA device. Asked without importing anything of CUDA's."""

from __future__ import annotations


def is_on_device(array: object) -> bool:
    """Whether an array lies on a CUDA device: torch's, CuPy's or numba's (in its simulator too)."""
    return hasattr(array, "__cuda_array_interface__") or hasattr(array, "__cuda_ndarray__")


def lie_on_device(**signals: object) -> bool:
    """Whether all of these lie on a device; what is None is not asked.

    Raises
    ------
    ValueError
        Some do and some do not.
    """
    places = {name: is_on_device(array) for name, array in signals.items() if array is not None}
    if len(set(places.values())) > 1:
        there = ", ".join(name for name, on_device in places.items() if on_device)
        here = ", ".join(name for name, on_device in places.items() if not on_device)
        raise ValueError(f"{there}: on a CUDA device, but not {here}; bring all to one side")
    return bool(places) and all(places.values())


def only_on_host(**positions: object) -> None:
    """Refuse positions on a device where the signals are on the host.

    Raises
    ------
    ValueError
        Some are on a device.
    """
    for name, array in positions.items():
        if is_on_device(array):
            raise ValueError(f"{name}: on a CUDA device, but the signals are not; bring all to one side")
