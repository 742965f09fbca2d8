"""Which measures of alignment agree, and do they go with accuracy? Rank correlations over pairs and over languages.

Intervals resample languages, all of them at once for pairs, and rank anew in each resample. Twenty languages are few: a
correlation of 0.4 has an interval that reaches 0.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import DataError
from .alignment_measures import MEASURES, Contributions
from .paired_tables import BASE, Where
from .statistics import percentile_interval

COLUMNS = ("over", "of", "condition", "quantity", "against", "n", "spearman", "ci_low", "ci_high")

Matrices = dict[str, np.ndarray]  # measure -> float [language, language], or [language]
Outcomes = Mapping[str, Float[np.ndarray, " language"]]  # such as accuracy and auc


def matrices(measured: Contributions) -> Matrices:
    """The measures themselves; of a directed one the mean of both ways, so that a pair has one value."""
    values = {name: contributions.mean(axis=-1) for name, contributions in measured.items()}
    return {name: (value + value.T) / 2 for name, value in values.items()}


def agreement_table(
    measured: Mapping[str, Contributions],
    outcomes: Mapping[str, Outcomes],
    where: Where,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Spearman correlations with 95% intervals over languages, in COLUMNS after those of `where`.

    `over` pairs (unordered, of different languages) or languages (each one's mean over its pairs); `of`:
        level: the measures in one condition, with one another and with the outcomes in that condition;
        change: their differences from the base, with one another and with the differences of the outcomes;
        before: the measures in the base with the condition's difference of the outcomes.
    Every two quantities stand once. NaN where one of the two is undefined or the same everywhere.

    Args:
        measured: by condition, see `alignment_measures.measure`.
        outcomes: by condition, numbers of each language, in the order of the states' languages.

    Raises:
        DataError: fewer than three languages, of which no rank correlation tells anything.
    """
    levels = {condition: matrices(one) for condition, one in measured.items()}
    languages = len(next(iter(levels[BASE].values())))
    if languages < 3:
        raise DataError(f"agreement of measures over {languages} language(s): expected at least three")
    weights = _language_weights(languages, draws, seed)
    rows: list[dict[str, object]] = []
    for condition, level in levels.items():
        told = {**where, "condition": condition}
        rows += _between(level, outcomes[condition], weights, {**told, "of": "level"})
        if condition != BASE:
            change = {name: level[name] - levels[BASE][name] for name in level}
            gain = {name: outcomes[condition][name] - outcomes[BASE][name] for name in outcomes[BASE]}
            rows += _between(change, gain, weights, {**told, "of": "change"})
            rows += _with_outcomes(levels[BASE], gain, weights, {**told, "of": "before"})
    return pd.DataFrame(rows, columns=[*where, *COLUMNS])


def spearman(
    values: Float[np.ndarray, "quantity row"], weights: Float[np.ndarray, "draw row"]
) -> Float[np.ndarray, "draw quantity quantity"]:
    """Spearman of all quantities in samples that hold row i `weights[:, i]` times, ties at their mean rank.

    A row's rank among a resample is the weight below it and half of that at its own value, so that all resamples are
    ranked by one product of matrices. NaN for a quantity that is undefined somewhere or has one value in the sample.
    """
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    below = (values[:, :, None] > values[:, None]) + np.float32(0.5) * (values[:, :, None] == values[:, None])
    ranks = (weights @ below.reshape(-1, below.shape[-1]).T).reshape(-1, *values.shape)
    ranks -= np.float32(0.5)  # the mean rank
    covariance = ((ranks * weights[:, None]) @ ranks.transpose(0, 2, 1)).astype(np.float64)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    undefined = ~np.isfinite(values).all(axis=1) | (variance <= 1e-9)
    scale = np.sqrt(np.where(undefined, np.nan, variance))
    return np.asarray(covariance / (scale[:, :, None] * scale[:, None]))


def _between(
    matrices: Matrices, outcomes: Outcomes, weights: Float[np.ndarray, "draw language"], told: Mapping[str, object]
) -> list[dict[str, object]]:
    """Measures with one another over pairs and over languages, and with the outcomes."""
    a, b = np.triu_indices(weights.shape[1], 1)
    pairs = {name: matrix[a, b] for name, matrix in matrices.items() if matrix.ndim == 2}
    by_language = _by_language(matrices)
    return [
        *_rows(pairs, list(combinations(pairs, 2)), weights[:, a] * weights[:, b], {**told, "over": "pairs"}),
        *_rows(by_language, list(combinations(by_language, 2)), weights, {**told, "over": "languages"}),
        *_with_outcomes(matrices, outcomes, weights, told),
    ]


def _with_outcomes(
    matrices: Matrices, outcomes: Outcomes, weights: Float[np.ndarray, "draw language"], told: Mapping[str, object]
) -> list[dict[str, object]]:
    values = _by_language(matrices)
    wanted = [(name, outcome) for outcome in outcomes for name in values]
    return _rows({**values, **outcomes}, wanted, weights, {**told, "over": "languages"})


def _rows(
    values: Mapping[str, np.ndarray],
    wanted: Sequence[tuple[str, str]],
    weights: Float[np.ndarray, "draw row"],
    told: Mapping[str, object],
) -> list[dict[str, object]]:
    names = list(values)
    stacked = np.stack([values[name] for name in names]).astype(np.float64)
    value = spearman(stacked, np.ones((1, stacked.shape[1])))[0]
    samples = spearman(stacked, weights[weights.sum(axis=1) > 0])
    index = [(names.index(one), names.index(other)) for one, other in wanted]
    i, j = np.array(index).T
    low, high = percentile_interval(samples[:, i, j])
    return [
        {
            **told,
            "quantity": one,
            "against": other,
            "n": stacked.shape[1],
            "spearman": float(value[k]),
            "ci_low": float(low[n]),
            "ci_high": float(high[n]),
        }
        for n, ((one, other), k) in enumerate(zip(wanted, index, strict=True))
    ]


def _by_language(matrices: Matrices) -> dict[str, np.ndarray]:
    """Each language's mean over its pairs with another; NaN pairs make it NaN."""
    found = {}
    for name, matrix in matrices.items():
        if MEASURES[name].about == "language":
            found[name] = matrix
        else:
            found[name] = (matrix.sum(axis=1) - matrix.diagonal()) / (len(matrix) - 1)
    return found


def _language_weights(languages: int, draws: int, seed: int) -> Float[np.ndarray, "draw language"]:
    """How often each language is in each resample."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(languages, np.full(languages, 1 / languages), size=draws).astype(np.float64)
