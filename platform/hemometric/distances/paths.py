"""The path behind a DTW distance: which sample of one ECG was compared with which of the other, for one pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemometric.distances.checks import Window, band_samples, checked_block, must_fit, warn_if_swapped
from hemometric.distances.placement import is_on_device
from hemometric.distances.schedule import Int64
from hemometric.ecg import Float32

_BACK = ((-1, -1), (-1, 0), (0, -1))
"""Where the cheapest path to a cell comes from, by the number that the kernel writes there."""


def path(query: npt.ArrayLike, other: npt.ArrayLike, *, window: Window = None) -> Int64:
    """Find the cheapest alignment of two ECGs, all leads along one path (DTW_D; see `pairwise` for the definition).

    Meant for looking at single pairs: it takes a byte a cell of the band, T (2 w + 1) at most, where distances take two
    rows. Sums are float64, so the squared differences along the path add up to what `pairwise` gives within its error.

    Where paths cost the same, one is chosen, always the same: seen from the end, a step back in both signals comes
    before one in the query alone, and that before one in the other alone.

    Parameters
    ----------
    query : float32 [lead, sample] mV
        Other real numbers are converted. On the host, as is `other`.
    other : float32 [lead, sample] mV
        Of the same leads and length.
    window : float or int, optional
        Half-width of the band, as for `pairwise`; 0 is the diagonal.

    Returns
    -------
    int64 [step, 2]
        Sample of the query and sample of the other; from (0, 0) to (T - 1, T - 1), neither ever going back, and one
        of them or both going on by 1 in each step.

    Raises
    ------
    ValueError
        An argument is out of range, the signals differ in leads or samples, or one is not a finite array of that
        shape or lies on a CUDA device; the message names it.

    References
    ----------
    Sakoe and Chiba 1978: Dynamic programming algorithm optimization for spoken word recognition. IEEE Transactions on
    Acoustics, Speech, and Signal Processing 26(1).

    Examples
    --------
    A beat, and the same one sample later; the last samples make up for it.

    >>> import numpy as np
    >>> beat, late = np.zeros((2, 1, 5), np.float32)
    >>> beat[0, 1:3] = late[0, 2:4] = 1.0, 2.0
    >>> path(beat, late).tolist()
    [[0, 0], [0, 1], [1, 2], [2, 3], [3, 4], [4, 4]]
    >>> path(beat, late, window=0).tolist()
    [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]]
    """
    first, second = _checked(query, other)
    num_samples = first.shape[1]
    band = min(band_samples(window, num_samples), num_samples - 1)
    moves = np.empty((num_samples, min(2 * band + 1, num_samples)), np.uint8)
    from hemometric.distances import paths_kernel  # here, since it imports the compiler

    paths_kernel.fill(first, second, band, moves)
    i = j = num_samples - 1
    steps = [(i, j)]
    while i > 0 or j > 0:
        back, aside = _BACK[moves[i, j - _first_column(i, band, *moves.shape)]]
        i, j = i + back, j + aside
        steps.append((i, j))
    return np.array(steps[::-1], np.int64)


def _checked(query: npt.ArrayLike, other: npt.ArrayLike) -> tuple[Float32, Float32]:
    """Check two single signals that meet, as C-contiguous float32 [lead, sample]."""
    for signal, its_name in ((query, "query"), (other, "other")):
        if is_on_device(signal):
            raise ValueError(f"{its_name}: on a CUDA device, where no path is computed; bring it to the host")
        try:
            shape = np.shape(signal)
        except ValueError:
            raise ValueError(f"{its_name}: leads differ in length; give one array [lead, sample]") from None
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"{its_name} has shape {shape}; expected [lead, sample] with at least one of each")
    first, second = checked_block(np.asarray(query)[None], "query"), checked_block(np.asarray(other)[None], "other")
    must_fit(first, second, "query", "other")
    warn_if_swapped(first.shape[1:], "query")
    return first[0], second[0]


def _first_column(i: int, window: int, num_samples: int, width: int) -> int:
    """Say which sample of the other the first cell of row i is: rows are cut where the band leaves the square."""
    return min(max(0, i - window), num_samples - width)
