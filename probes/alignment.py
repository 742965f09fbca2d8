"""How well languages agree in the states of one layer: correlation along PC1 and retrieval of translations.

`states` are float [language, id, d_model] of one layer and position; rows with the same id are translations of one
another. Every language is compared with one pivot, usually English.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.linalg import eigh

from ..errors import DataError
from .paired_tables import Where, check_parallel, delta_table, require_base, value_table
from .statistics import Estimate, bootstrap_weights, mean_estimate

QUANTITIES = ("pc1_pearson", "retrieval_from_pivot", "retrieval_to_pivot")

_NOISE = 1e-10  # spread below this share of the scale is rounding: float32 states cannot carry it
_MARGIN = 1e-6  # cosines closer than this are ties: float32 products cannot tell them apart


def pc1_pearson(
    states: Float[np.ndarray, "language id d_model"], languages: Sequence[str], pivot: str
) -> Float[np.ndarray, " language"]:
    """Correlation of the pivot's and each language's scores on the first principal component (arXiv 2405.13816).

    The component is that of all languages' rows together; the correlation runs over ids. Returns [language] in [-1, 1],
    the pivot's own entry being 1. NaN where it is undefined: one id, or a language whose scores do not vary (at layer 0
    the last prompt token has the same state in every example).

    Raises:
        DataError: malformed states, or the pivot is not among the languages.
    """
    check_parallel({"states": states}, languages, "states")
    one = np.ones((1, states.shape[1]))
    return _pearson_estimate(_pc1_scores(states), _pivot_index(languages, pivot), one).value


def retrieval_hits(
    states: Float[np.ndarray, "language id d_model"], languages: Sequence[str], pivot: str
) -> Bool[np.ndarray, "direction language id"]:
    """Whether each state's nearest neighbour in the other language is its translation (cosine, centred per language).

    Returns bool [2, language, id]: direction 0 searches the language with the pivot's states, direction 1 the pivot
    with the language's. Chance is 1 / ids. A hit must beat every other candidate by more than rounding (1e-6), so
    states that cannot be told apart are misses; a single id is always a hit. The pivot's own entry compares it with
    itself.

    Raises:
        DataError: malformed states, or the pivot is not among the languages.
    """
    check_parallel({"states": states}, languages, "states")
    units = [_centred_units(rows) for rows in states]
    target = units[_pivot_index(languages, pivot)]
    hits = np.empty((2, len(languages), states.shape[1]), dtype=bool)
    for i, unit in enumerate(units):
        cosine = target @ unit.T  # [pivot id, language id]
        hits[0, i] = _beats_its_row(cosine)
        hits[1, i] = _beats_its_row(cosine.T)
    return hits


def alignment_tables(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    languages: Sequence[str],
    layer: int,
    position: str,
    pivot: str = "en",
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Alignment of every language but the pivot with the pivot: (values, deltas), see `paired_tables` for the columns.

    Quantities: `pc1_pearson` [-1, 1], `retrieval_from_pivot` and `retrieval_to_pivot` [0, 1]. Intervals resample ids
    with the measurement fixed: each condition keeps its own PC1 (as in the paper) and every search its full set of
    candidates, so they tell how the result varies with the examples, not with the axis.

    Raises:
        DataError: malformed or unlike states, no condition `base`, or the pivot is not among the languages.
    """
    _, ids, _ = check_parallel(states_by_condition, languages, "states")
    require_base(states_by_condition)
    pivot_index = _pivot_index(languages, pivot)
    weights = bootstrap_weights(ids, draws, seed)
    others = [language for language in languages if language != pivot]
    estimates: dict[str, Estimate] = {}
    for condition, states in states_by_condition.items():
        pearson = _pearson_estimate(_pc1_scores(states), pivot_index, weights)
        hits = mean_estimate(retrieval_hits(states, languages, pivot).astype(np.float64), weights)
        value = np.stack([pearson.value, hits.value[0], hits.value[1]], axis=-1)
        samples = np.stack([pearson.samples, hits.samples[:, 0], hits.samples[:, 1]], axis=-1)
        estimates[condition] = Estimate(np.delete(value, pivot_index, 0), np.delete(samples, pivot_index, 1))
    where: Where = {"layer": layer, "position": position}
    values = value_table(estimates, others, QUANTITIES, where)
    return values, delta_table(estimates, others, QUANTITIES, where, ids)


def _pivot_index(languages: Sequence[str], pivot: str) -> int:
    if pivot not in languages:
        raise DataError(f"pivot {pivot!r} is not among the languages {list(languages)}: cache it too or name another")
    return list(languages).index(pivot)


def _centred(rows: Float[np.ndarray, "row d_model"]) -> Float[np.ndarray, "row d_model"]:
    """Rows less their mean, in float64: sums of float32 values are exact there, so identical rows become zero."""
    exact = rows.astype(np.float64)
    return np.asarray(exact - exact.mean(axis=0))


def _pc1_scores(states: Float[np.ndarray, "language id d_model"]) -> Float[np.ndarray, "language id"]:
    """Scores of all rows on their first principal component, up to a common factor (also of sign)."""
    rows = _centred(states.reshape(-1, states.shape[-1]))
    n, d = rows.shape
    # The leading eigenvector of the smaller of the two products is exact and far cheaper than an SVD.
    if n <= d:
        _, scores = eigh(rows @ rows.T, subset_by_index=[n - 1, n - 1])
    else:
        _, axis = eigh(rows.T @ rows, subset_by_index=[d - 1, d - 1])
        scores = rows @ axis
    return np.asarray(scores.reshape(states.shape[:2]) if rows.any() else np.zeros(states.shape[:2]))


def _pearson_estimate(
    scores: Float[np.ndarray, "language id"], pivot: int, weights: Float[np.ndarray, "draw id"]
) -> Estimate:
    """Pearson over ids between the pivot's and every language's scores, with weighted moments for the resamples."""
    z = scores - scores.mean(axis=1, keepdims=True)
    spread = np.sqrt((z**2).mean(axis=1, keepdims=True))
    varies = spread > _NOISE * np.sqrt((scores**2).mean())
    # Unit variance keeps E[z^2] - E[z]^2 well conditioned in every resample.
    z = np.divide(z, spread, out=np.full_like(z, np.nan), where=varies)

    def pearson(w: Float[np.ndarray, "draw id"]) -> Float[np.ndarray, "draw language"]:
        mean = w @ z.T
        variance = w @ (z**2).T - mean**2
        covariance = w @ (z * z[pivot]).T - mean * mean[:, [pivot]]
        scale = variance * variance[:, [pivot]]
        defined = np.minimum(variance, variance[:, [pivot]]) > _NOISE  # a resample may repeat one id only
        r = np.divide(
            covariance, np.sqrt(np.where(defined, scale, 1.0)), out=np.full_like(scale, np.nan), where=defined
        )
        return np.asarray(np.clip(r, -1.0, 1.0))

    everything = np.full((1, scores.shape[1]), 1 / scores.shape[1])
    return Estimate(pearson(everything)[0], pearson(weights))


def _centred_units(rows: Float[np.ndarray, "id d_model"]) -> Float[np.ndarray, "id d_model"]:
    """Centred rows of length 1 in float32; a row without a direction of its own stays zero, nearest to nothing."""
    centred = _centred(rows)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return np.asarray(unit, dtype=np.float32)


def _beats_its_row(cosine: Float[np.ndarray, "query candidate"]) -> Bool[np.ndarray, " query"]:
    """Whether entry (i, i) exceeds every other of row i."""
    rivals = cosine.copy()
    np.fill_diagonal(rivals, -np.inf)
    return np.asarray(cosine.diagonal() > rivals.max(axis=1) + _MARGIN)
