"""How far apart are translations, unrelated sentences, and languages as a whole? For all pairs of languages.

Every function returns contributions whose mean over ids is the measure and whose deviations are influences, as in
`representation_similarity`.
"""

import numpy as np
from jaxtyping import Float

from .parallel import Parallel, by_id


def cosine_gap(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """Mean cosine of translations less that of non-translations, in [-2, 2], NaN with one id."""
    return _gap(parallel.directions)


def centred_cosine_gap(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """The same with each language's mean taken off first, which is held fixed by the contributions."""
    return _gap(parallel.centred_directions)


def anisotropy(parallel: Parallel) -> Float[np.ndarray, "language id"]:
    """Mean cosine of two different sentences of one language (arXiv 1909.00512), in [-1, 1], NaN with one id.

    0: directions are spread evenly; 1: all states point one way, and any two sentences look alike.
    """
    unrelated = _unrelated(parallel.directions, by_id(parallel.directions, parallel.directions))
    languages = range(len(unrelated))
    return np.asarray(unrelated[languages, languages])


def centroid_distance(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """Euclidean distance between two languages' mean states, in units of the spread within them; 0 or more.

    The spread is the root of the mean squared distance of a state from its own language's mean, pooled over the two
    (what remains when the means are taken off is the language-neutral part of arXiv 1911.03310). Its floor is not 0:
    means of n unrelated states from one distribution are sqrt(2 / n) apart. NaN where neither language varies.
    """
    centred = parallel.centred
    mean = parallel.states.mean(axis=1, dtype=np.float64)
    mean = (mean - mean.mean(axis=0)).astype(np.float32)
    squared = ((mean[:, None] - mean[None]) ** 2).sum(axis=-1)
    spread = (centred**2).sum(axis=-1)  # [language, id]
    pooled = (spread[:, None] + spread[None]) / 2
    average = pooled.mean(axis=2)
    value = np.sqrt(np.divide(squared, average, out=np.full_like(squared, np.nan), where=average > 0))
    # The derivative of sqrt(squared / pooled): half its relative changes. Where the means coincide it has none.
    towards = (centred @ mean.T).transpose(0, 2, 1)  # [language, language, id]: along the other's mean
    own = towards[range(len(mean)), range(len(mean))]
    moved = 2 * (own[:, None] + own[None] - towards - towards.transpose(1, 0, 2))
    apart = np.where(squared > 0, squared, np.inf)[:, :, None]
    relative = moved / apart - pooled / np.where(average > 0, average, np.nan)[:, :, None] + 1
    return np.asarray(value[:, :, None] * (1 + relative / 2))


def _gap(units: Float[np.ndarray, "language id d_model"]) -> Float[np.ndarray, "language language id"]:
    matched = by_id(units, units)
    return np.asarray(matched - _unrelated(units, matched))


def _unrelated(
    units: Float[np.ndarray, "language id d_model"], matched: Float[np.ndarray, "language language id"]
) -> Float[np.ndarray, "language language id"]:
    """Mean cosine of states of different ids."""
    n = units.shape[1]
    if n < 2:
        return np.full_like(matched, np.nan)
    with_all = (units @ units.sum(axis=1).T).transpose(0, 2, 1)  # [language, language, id]
    others = ((with_all + with_all.transpose(1, 0, 2)) / 2 - matched) / (n - 1)
    # An id is one of two in every pair: its influence is twice its own mean.
    return np.asarray(2 * others - others.mean(axis=2, keepdims=True))
