"""Which recordings are the same tracing, among hundreds of thousands: found by hashing, proved by their outlines.

Two ECGs that a patient had one after the other are not the same: only one tracing that is stored twice is. Its first
seconds count (see `sketch`): an excerpt from the middle of a longer recording is not found.

Figures, of 567 real 12-lead ECGs (PTB-XL, CODE-15, CinC 2021, PTB) unless said otherwise:

======================================================  ===============  =================
pairs                                                   distance a lead  least correlation
======================================================  ===============  =================
same, resampled to 100, 250, 257, 400 or 1000 Hz        at most 0.014    at least 0.9994
same, 309 of PTB-XL, published at 100 and at 500 Hz     at most 0.014    at least 0.9995
same, cut by 1 to 5 samples                             at most 0.022    at least 0.9977
same, rounded to 5 uV                                   at most 0.060    at least 0.9982
same, cut, 2 % larger, at 250 Hz and rounded to 5 uV    at most 0.071    at least 0.9970
same, padded, then at 257 Hz and rounded to 2.5 uV      at most 0.108    at least 0.9905
any two others                                          at least 0.46    at most 0.80
first and last 5 s of 486 ECGs                          at least 0.105   at most 0.9825
the same in one lead only                               at least 0.031   at most 0.9964
two next to each other of 10 s, 8 ECGs of 20 s or more  at least 0.053   at most 0.87
first and last 10 s of 218 of ECG-ID, one lead          at least 0.127   at most 0.70
======================================================  ===============  =================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from hemometric.corpus.sketch import NUM_BANDS, OUTLINE_HZ, SKETCHED_LEADS, Outlines, outlines_of
from hemometric.ecg import Float32, Float64

RADIUS = 0.25
"""Candidates lie within this distance times the root of the number of shared leads."""

NUM_TABLES, NUM_DIRECTIONS, BUCKET_WIDTH = 12, 12, 0.4
"""One table brings two vectors of four leads together in 0.65 of cases at a distance of 0.1, in 0.41 at 0.2. All tables
miss none of 20,000 pairs at 0.1, and 0.2 % at 0.2."""

NUM_NEIGHBOURS = 4

MAX_LAG_S = 0.25
MIN_CORRELATION = 0.985
STRICT_CORRELATION = 0.99
FEW_LEADS = 2
FEW_SECONDS = 5.0
"""With up to two shared leads, or less than five seconds of both, `STRICT_CORRELATION` is asked for; with both, nothing
but equal bytes will do: halves of one ECG are as alike as 0.9964 in one lead, and 0.9825 in all four."""

MAX_GAIN_RATIO = 1.1
"""Leads of one tracing share their gain. What it is does not matter: some archives have wrong ones in their headers."""

_PAIRS_AT_ONCE = 512
_ROWS_AT_ONCE = 65_536
_LAG_STEP_S = 0.001
_EDGE_S = 0.7  # not compared: half a second is tapered, and filters reach further
_FFT = 1024

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
ReadOutlines = Callable[[Int64], Sequence[bytes]]


def find_duplicates(features: Float32, read_outlines: ReadOutlines) -> Int64:
    """Find the pairs of recordings that are the same tracing.

    Parameters
    ----------
    features : float32 [recording, NUM_FEATURES]
        Of `sketch.sketch`.
    read_outlines : callable
        Gives the outlines of some recordings, by their sorted positions. It is asked for those of candidates and of
        recordings without features, some hundreds at a time.

    Returns
    -------
    int64 [pair, 2]
        Positions i < j, sorted. Recordings that are the same are connected by pairs, but not every two of them are
        one.

    Raises
    ------
    IntegrityError
        An outline is damaged.
    """
    near = candidates(features)
    chunks = [near[start : start + _PAIRS_AT_ONCE] for start in range(0, len(near), _PAIRS_AT_ONCE)]
    same = [pairs[_are_same(pairs, read_outlines)] for pairs in chunks]
    return _sorted_pairs([*same, _equal(np.flatnonzero(np.isnan(features).all(axis=1)), read_outlines)])


def candidates(features: Float32) -> Int64:
    """Find pairs with near features, in about n log n: by tables whose buckets near vectors mostly share.

    Recordings that hold different ones of `SKETCHED_LEADS` are compared in those that both hold. Within a bucket each
    is paired only with the `NUM_NEIGHBOURS` next to it along a random direction, another one in each table: thousands
    of equal signals, such as a simulator's, give no millions of pairs, and near ones still are next to each other.

    Parameters
    ----------
    features : float32 [recording, NUM_FEATURES]

    Returns
    -------
    int64 [pair, 2]
        Positions i < j, sorted; at most `NUM_TABLES` x `NUM_NEIGHBOURS` for each recording and set of shared leads.

    References
    ----------
    Datar, Immorlica, Indyk, Mirrokni, Locality-sensitive hashing scheme based on p-stable distributions, 2004.
    """
    by_lead = features.reshape(len(features), len(SKETCHED_LEADS), NUM_BANDS)
    there = (~np.isnan(by_lead).any(axis=2)) @ (1 << np.arange(len(SKETCHED_LEADS)))
    held = np.unique(there)
    found = []
    for shared in np.unique(held[:, None] & held).tolist():
        leads = [lead for lead in range(len(SKETCHED_LEADS)) if shared >> lead & 1]
        if not leads:
            continue
        rows = np.flatnonzero(there & shared == shared)
        pairs = rows[_near(by_lead[rows][:, leads].reshape(len(rows), -1), RADIUS * len(leads) ** 0.5)]
        # Of those that share more, these leads alone say nothing.
        found.append(pairs[there[pairs[:, 0]] & there[pairs[:, 1]] == shared])
    return _sorted_pairs(found)


def _near(vectors: Float32, radius: float) -> Int64:
    """Pair the rows of [row, feature] that share a bucket of any table and are not farther apart."""
    random = np.random.default_rng(0)
    found = np.empty((0, 2), np.int64)
    for _ in range(NUM_TABLES):
        bucket, place = _hashed(vectors, random)
        order = np.lexsort((place, bucket))
        near = [found]
        for ahead in range(1, NUM_NEIGHBOURS + 1):
            first, second = order[:-ahead], order[ahead:]
            share = np.flatnonzero(bucket[first] == bucket[second])
            if not share.size:
                break
            for start in range(0, len(share), _ROWS_AT_ONCE):
                some = share[start : start + _ROWS_AT_ONCE]
                apart = np.linalg.norm(vectors[first[some]] - vectors[second[some]], axis=1)
                some = some[apart <= radius]
                near.append(np.stack([first[some], second[some]], axis=1))
        found = _sorted_pairs(near)
    return found


def _hashed(vectors: Float32, random: np.random.Generator) -> tuple[Int64, Float64]:
    """Cut the space into cells along random directions; give each row's bucket, and its place along one more."""
    directions = random.standard_normal((vectors.shape[1], NUM_DIRECTIONS + 1))
    directions /= np.linalg.norm(directions, axis=0) * BUCKET_WIDTH
    offsets = random.uniform(size=NUM_DIRECTIONS)
    multipliers = random.integers(1 << 62, size=NUM_DIRECTIONS, dtype=np.int64) | 1
    bucket, place = np.empty(len(vectors), np.int64), np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        along = vectors[part] @ directions
        cells = np.floor(along[:, 1:] + offsets).astype(np.int64)
        bucket[part] = (cells * multipliers).sum(axis=1)  # wraps around, as a hash may
        place[part] = along[:, 0]
    return bucket, place


def _are_same(pairs: Int64, read_outlines: ReadOutlines) -> Bools:
    positions, place = np.unique(pairs, return_inverse=True)
    stored = read_outlines(positions)
    place = place.reshape(-1, 2)
    same = np.array([stored[one] == stored[other] for one, other in place.tolist()], bool)
    used, unequal = np.unique(place[~same], return_inverse=True)  # equal ones need no reading
    outlines, unequal = outlines_of([stored[one] for one in used.tolist()]), unequal.reshape(-1, 2)
    same[~same] = confirmed(outlines.take(unequal[:, 0]), outlines.take(unequal[:, 1]))
    return same


def _equal(positions: Int64, read_outlines: ReadOutlines) -> Int64:
    """Chain those that have one digest."""
    first: dict[bytes, int] = {}
    pairs = []
    for start in range(0, len(positions), _PAIRS_AT_ONCE):
        asked = positions[start : start + _PAIRS_AT_ONCE]
        for position, digest in zip(asked.tolist(), read_outlines(asked), strict=True):
            earliest = first.setdefault(digest, position)
            if digest and earliest != position:
                pairs.append((earliest, position))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _sorted_pairs(found: Sequence[Int64]) -> Int64:
    """Put the lower position first, sort, and leave out what is there already."""
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    num = int(pairs.max(initial=0)) + 1
    codes = np.minimum(pairs[:, 0], pairs[:, 1]) * num + np.maximum(pairs[:, 0], pairs[:, 1])
    codes.sort()  # numbers sort ten times faster than rows of two
    return np.stack(np.divmod(codes[np.diff(codes, prepend=-1) > 0], num), axis=1)


def confirmed(one: Outlines, other: Outlines) -> Bools:
    """Tell of each pair of outlines whether they are the same tracing, bool [pair]."""
    correlation, ratio = similarity(one, other)
    num_leads = (one.there & other.there).sum(axis=1)
    seconds = np.minimum(one.num_samples, other.num_samples) / OUTLINE_HZ - 2 * _EDGE_S
    is_narrow, is_short = num_leads <= FEW_LEADS, seconds < FEW_SECONDS
    least = np.where(is_narrow | is_short, STRICT_CORRELATION, MIN_CORRELATION)
    are_same: Bools = (correlation >= least) & (ratio <= MAX_GAIN_RATIO) & ~(is_narrow & is_short)
    return are_same


def similarity(one: Outlines, other: Outlines) -> tuple[Float64, Float64]:
    """Measure how alike pairs of outlines are where they fit best, within `MAX_LAG_S`.

    Returns
    -------
    correlation : float64 [pair]
        The least over the shared leads, without the ends; -1 without a shared lead.
    ratio : float64 [pair]
        The largest of the shared leads' gains over the smallest; infinite without a shared lead.
    """
    shared = one.there & other.there
    first, second = (np.fft.rfft(outlines.traces, _FFT, axis=2) for outlines in (one, other))
    norm = np.sqrt(np.square(one.traces).sum(axis=2) * np.square(other.traces).sum(axis=2))
    weight = shared / np.where(norm > 0, norm, np.inf)
    cross = np.einsum("plf,plf,pl->pf", first, second.conj(), weight)
    frequencies = np.fft.rfftfreq(_FFT, 1.0 / OUTLINE_HZ)
    lags = np.arange(-MAX_LAG_S, MAX_LAG_S + _LAG_STEP_S / 2, _LAG_STEP_S)
    lag = lags[(cross @ np.exp(2j * np.pi * frequencies[:, None] * lags)).real.argmax(axis=1)]

    # A turn of the phases moves the second by a part of a sample.
    second *= np.exp(-2j * np.pi * frequencies * lag[:, None])[:, None]
    place = np.arange(one.traces.shape[2])
    aligned = np.fft.irfft(second, _FFT, axis=2)[:, :, : len(place)]
    edge = round(_EDGE_S * OUTLINE_HZ)
    stop = np.minimum(one.num_samples, other.num_samples) - edge
    inside = ((place >= edge) & (place < stop[:, None]))[:, None]
    x, y = one.traces * inside, aligned * inside
    xx, yy, xy = (np.einsum("plt,plt->pl", a, b, dtype=np.float64) for a, b in ((x, x), (y, y), (x, y)))
    known = shared & (xx > 0) & (yy > 0)
    xx, yy = np.where(known, xx, 1.0), np.where(known, yy, 1.0)
    correlation = np.where(known, xy / np.sqrt(xx * yy), np.where(shared, -1.0, np.inf)).min(axis=1)
    gain = np.sqrt(yy / xx)
    ratio = np.where(known, gain, 0.0).max(axis=1) / np.where(known, gain, np.inf).min(axis=1)
    is_known = known.any(axis=1)
    return np.where(is_known, correlation, -1.0), np.where(is_known, ratio, np.inf)
