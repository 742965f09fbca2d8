"""The statistics shared by the probes, against scipy, statsmodels and sums done by hand."""

from itertools import product

import numpy as np
import pytest
from babelscope.errors import DataError
from babelscope.probes.statistics import (
    Estimate,
    bootstrap_p,
    bootstrap_weights,
    holm,
    mcnemar_exact,
    mean_estimate,
    paired_delta,
    percentile_interval,
    wilson_interval,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from statsmodels.stats.multitest import multipletests

# ---- bootstrap


def test_weights_are_resample_counts() -> None:
    weights = bootstrap_weights(7, 50, seed=3)
    assert weights.shape == (50, 7)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights * 7, np.rint(weights * 7), atol=1e-12)
    np.testing.assert_array_equal(weights, bootstrap_weights(7, 50, seed=3))
    assert (weights != bootstrap_weights(7, 50, seed=4)).any()


@pytest.mark.parametrize(("n", "draws"), [(0, 10), (10, 0)])
def test_weights_refuse_nothing(n: int, draws: int) -> None:
    with pytest.raises(DataError, match="at least 1"):
        bootstrap_weights(n, draws, seed=0)


def test_resampled_mean_equals_resampling_the_rows() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 9))
    weights = bootstrap_weights(9, 4, seed=0)
    estimate = mean_estimate(values, weights)
    np.testing.assert_allclose(estimate.value, values.mean(axis=-1))
    for draw, counts in enumerate(np.rint(weights * 9).astype(int)):
        resampled = np.repeat(values, counts, axis=-1)
        np.testing.assert_allclose(estimate.samples[draw], resampled.mean(axis=-1))


def test_bootstrap_spread_is_the_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=(1, 400))
    samples = mean_estimate(values, bootstrap_weights(400, 4000, seed=0)).samples
    assert samples.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_interval_is_the_percentiles_and_leaves_undefined_draws_out() -> None:
    samples = np.column_stack([np.linspace(0, 1, 1001), np.full(1001, np.nan), np.full(1001, 2.0)])
    samples[::2, 2] = np.nan
    low, high = percentile_interval(samples)
    np.testing.assert_allclose(low, [0.025, np.nan, 2])
    np.testing.assert_allclose(high, [0.975, np.nan, 2])
    assert percentile_interval(samples, level=0.5)[0][0] == pytest.approx(0.25)


def test_p_counts_both_tails() -> None:
    samples = np.concatenate([np.full(990, 1.0), np.full(9, -1.0)])[:, None]
    n = 100
    assert bootstrap_p(samples, n)[0] == pytest.approx(2 * 10 / 1000)
    assert bootstrap_p(-samples, n)[0] == bootstrap_p(samples, n)[0]
    assert bootstrap_p(np.zeros((999, 1)), n)[0] == 1
    assert bootstrap_p(np.ones((999, 1)), n)[0] == pytest.approx(2 / 1000)
    assert np.isnan(bootstrap_p(np.full((9, 1), np.nan), n)[0])


def test_few_ids_cannot_be_significant() -> None:
    agreeing = np.ones((999, 3))
    np.testing.assert_allclose(bootstrap_p(agreeing, np.array([1, 3, 200])), [1, 0.25, 2 / 1000])


def test_identical_estimates_have_no_difference() -> None:
    values = np.random.default_rng(0).normal(size=(4, 30))
    weights = bootstrap_weights(30, 200, seed=0)
    one, other = mean_estimate(values, weights), mean_estimate(values[:, ::-1], weights[:, ::-1])  # sums reordered
    delta = paired_delta(one, other, 30)
    for field in (delta.delta, delta.ci_low, delta.ci_high):
        np.testing.assert_array_equal(field, 0)
    np.testing.assert_array_equal(delta.p_value, 1)


def test_delta_is_signed_aligned_minus_base() -> None:
    base = Estimate(np.array([0.25]), np.full((99, 1), 0.25))
    aligned = Estimate(np.array([0.75]), np.full((99, 1), 0.75))
    delta = paired_delta(base, aligned, 50)
    assert (delta.base[0], delta.aligned[0], delta.delta[0], delta.ci_low[0]) == (0.25, 0.75, 0.5, 0.5)


def test_bootstrap_test_keeps_its_size_and_its_coverage() -> None:
    """400 null studies of 60 ids whose base and aligned values are correlated: 5% may reject."""
    rng = np.random.default_rng(5)
    shared = rng.normal(size=(400, 60))
    base, aligned = (shared + rng.normal(size=(400, 60)) for _ in range(2))
    weights = bootstrap_weights(60, 1000, seed=1)
    delta = paired_delta(mean_estimate(base, weights), mean_estimate(aligned, weights), 60)
    rejected = (delta.p_value <= 0.05).sum()
    # The percentile bootstrap of 60 ids is a little liberal (z instead of t): near 5.5%.
    assert binomtest(int(rejected), 400, 0.055).pvalue > 0.001
    covered = ((delta.ci_low <= 0) & (delta.ci_high >= 0)).sum()
    assert abs(covered + rejected - 400) <= 5


# ---- exact tests and intervals


@given(st.integers(1, 300), st.data())
def test_wilson_inverts_the_score_test(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    z = norm.ppf(0.975)
    for edge in (low, high):
        if 0 < edge < 1:
            assert abs(k / n - edge) == pytest.approx(z * np.sqrt(edge * (1 - edge) / n), abs=1e-9)


def test_wilson_of_all_and_none_has_width() -> None:
    assert wilson_interval(0, 10)[1] > 0.2
    assert wilson_interval(10, 10)[0] < 0.8
    with pytest.raises(DataError, match="5 successes in 4"):
        wilson_interval(5, 4)


def test_mcnemar_is_a_binomial_test_of_the_changes() -> None:
    for gained, lost, kept in product(range(6), range(6), (0, 3)):
        base = np.array([False] * gained + [True] * lost + [True] * kept + [False])
        aligned = np.array([True] * gained + [False] * lost + [True] * kept + [False])
        expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert mcnemar_exact(base, aligned) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_equals_the_definition(p: list[float]) -> None:
    array = np.array(p)
    expected, running = np.empty(len(p)), 0.0
    for rank, i in enumerate(np.argsort(array, kind="stable")):
        running = max(running, min(1.0, array[i] * (len(p) - rank)))
        expected[i] = running
    np.testing.assert_allclose(holm(array), expected, atol=1e-12)


def test_holm_equals_statsmodels() -> None:
    p = np.array([0.04, 0.01, 0.01, 0.03, 0.9, 0.5, 0.0])
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_holm_leaves_nan_out_of_the_family() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04])
    assert np.isnan(holm(np.array([np.nan]))).all()
