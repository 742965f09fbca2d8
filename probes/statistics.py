"""Intervals and tests shared by every probe: paired bootstrap over ids, Wilson, exact McNemar, Holm.

The bootstrap resamples *parallel ids*: all languages and conditions see the same draws, so that the differences between
them are paired (Efron and Tibshirani 1993, ch. 10, 13). A resample is a row of weights, and a resampled mean is a
product of matrices. The axis of draws always comes first.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from ..errors import DataError

# Two sums of the same numbers may differ in their last bits; a difference this small beside its terms is no difference.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A quantity per row (usually per language) with its bootstrap distribution.

    `value` [*rows] is the value on the data; `samples` [draw, *rows] the value on each resample. NaN where undefined.
    """

    value: Float[np.ndarray, "*rows"]
    samples: Float[np.ndarray, "draw *rows"]


@dataclass(frozen=True)
class Delta:
    """A paired difference per row: `delta` = `aligned` - `base`, its 95% interval and two-sided p; all [*rows]."""

    base: Float[np.ndarray, "*rows"]
    aligned: Float[np.ndarray, "*rows"]
    delta: Float[np.ndarray, "*rows"]
    ci_low: Float[np.ndarray, "*rows"]
    ci_high: Float[np.ndarray, "*rows"]
    p_value: Float[np.ndarray, "*rows"]


def bootstrap_weights(n: int, draws: int, seed: int) -> Float[np.ndarray, "draw id"]:
    """Weights [draws, n] of `draws` resamples of `n` ids: multinomial counts / n, every row sums to 1.

    Raises:
        DataError: `n` or `draws` is below 1.
    """
    if n < 1 or draws < 1:
        raise DataError(f"bootstrap over {n} ids with {draws} draws: both must be at least 1")
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return counts / n


def mean_estimate(per_id: Float[np.ndarray, "*rows id"], weights: Float[np.ndarray, "draw id"]) -> Estimate:
    """Mean over ids (the last axis) of every row, with the mean of every resample, in float64."""
    values = per_id.astype(np.float64)
    mean = values.mean(axis=-1)
    # Resampling the deviations keeps what does not vary exactly at its mean; weights sum to 1 only up to rounding.
    deviations = (values - mean[..., None]).reshape(-1, values.shape[-1])
    samples = mean + (weights @ deviations.T).reshape(len(weights), *mean.shape)
    return Estimate(mean, samples)


def percentile_interval(
    samples: Float[np.ndarray, "draw *rows"], level: float = 0.95
) -> tuple[Float[np.ndarray, "*rows"], Float[np.ndarray, "*rows"]]:
    """Percentile bootstrap interval (low, high) over the first axis, the draws.

    Draws in which the quantity is undefined (NaN) are left out; a row without any defined draw gets (NaN, NaN).
    """
    tail = (1 - level) / 2
    quantile = np.nanquantile if np.isnan(samples).any() else np.quantile  # the former is slow
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice encountered")
        low, high = quantile(samples, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def bootstrap_p(
    samples: Float[np.ndarray, "draw *rows"], n: int | Int[np.ndarray, "*rows"]
) -> Float[np.ndarray, "*rows"]:
    """Two-sided p that a difference over `n` ids (of all rows, or of each) is zero, from its samples.

    p = 2 min(share of draws <= 0, share >= 0), with 1 added to the counts (Davison and Hinkley 1997, 4.2.3), at
    most 1. It is never below 2^(1-n), the least p that a sign test of n ids can reach: with a handful of ids all
    resamples may share a sign by chance, and one id alone is no evidence (p = 1). NaN where no draw is defined.
    """
    defined = np.isfinite(samples).sum(axis=0)
    tail = np.minimum((samples <= 0).sum(axis=0), (samples >= 0).sum(axis=0))
    p = np.clip(2 * (tail + 1) / (defined + 1), np.exp2(1.0 - n), 1.0)
    return np.asarray(np.where(defined > 0, p, np.nan))


def paired_delta(base: Estimate, aligned: Estimate, n: int | Int[np.ndarray, "*rows"]) -> Delta:
    """Difference of two estimates made with the *same* weights over `n` ids; identical ones give 0, [0, 0], p = 1."""
    delta = difference(base.value, aligned.value)
    samples = difference(base.samples, aligned.samples)
    low, high = percentile_interval(samples)
    return Delta(base.value, aligned.value, delta, low, high, bootstrap_p(samples, n))


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95% Wilson (1927) interval of a share, within [0, 1]; it has width even when none or all of `n` succeed.

    Raises:
        DataError: `n` is below 1 or `successes` is not between 0 and `n`.
    """
    if n < 1 or not 0 <= successes <= n:
        raise DataError(f"Wilson interval of {successes} successes in {n}: expected 0 <= successes <= n and n >= 1")
    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    share = successes / n  # rounding can leave the share, or [0, 1], outside by a last bit
    return max(0.0, min(float(low), share)), min(1.0, max(float(high), share))


def mcnemar_exact(base_correct: Bool[np.ndarray, " n"], aligned_correct: Bool[np.ndarray, " n"]) -> float:
    """Exact two-sided McNemar (1947) p for paired right/wrong answers [n]; 1 when no answer changed side."""
    gained = int((~base_correct & aligned_correct).sum())
    lost = int((base_correct & ~aligned_correct).sum())
    if gained + lost == 0:
        return 1.0
    return float(mcnemar([[0, gained], [lost, 0]], exact=True).pvalue)


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Holm (1979) adjusted p values of one family; NaN entries stay NaN and are not counted in the family."""
    # Not statsmodels' multipletests: it collects garbage at every call, a tenth of a second beside a loaded torch.
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    tests_left = np.arange(len(order), 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * tests_left), 1.0)
    return adjusted


def holm_but_last(p: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Holm over all rows but the last, which is of all languages together and a test by itself."""
    return np.append(holm(p[:-1]), p[-1])


def difference(base: Float[np.ndarray, "*shape"], aligned: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return aligned - base, exactly 0 where they differ by rounding only (which would otherwise count as a sign)."""
    delta = aligned - base
    return np.where(np.abs(delta) <= _ROUNDING * np.maximum(np.abs(base), np.abs(aligned)), 0.0, delta)
