"""Rank correlations of measures against scipy, resamples of languages by hand, and a planted agreement."""

import numpy as np
import pytest
from babelscope.errors import DataError
from babelscope.probes.alignment_agreement import agreement_table, spearman
from babelscope.probes.alignment_measures import Contributions
from scipy.stats import spearmanr

WHERE = {"layer": 3, "position": "mean"}


def planted(languages: int, seed: int = 0) -> tuple[Contributions, np.ndarray]:
    """Retrieval and CKA rise with how well the two languages of a pair are known; the cosine gap is noise."""
    rng = np.random.default_rng(seed)
    known = rng.uniform(size=languages)
    pair = known[:, None] * known[None]

    def noisy(size: float) -> np.ndarray:
        noise = size * rng.normal(size=pair.shape)
        return np.repeat((pair + noise + noise.T)[:, :, None], 5, axis=2)

    unrelated = rng.normal(size=(languages, languages))
    gap = np.repeat((unrelated + unrelated.T)[:, :, None], 5, axis=2)
    return {"retrieval": noisy(0.01), "cka": noisy(0.01), "cosine_gap": gap, "anisotropy": -gap[0]}, known


def test_spearman_equals_scipy_in_the_data_and_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 40))
    values[1] += values[0]
    values[2] = np.round(values[1])  # ties
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=20)
    for found, count in zip(spearman(values, counts.astype(float)), counts, strict=True):
        np.testing.assert_allclose(found, spearmanr(np.repeat(values, count, axis=1).T).statistic, atol=1e-5)


def test_a_quantity_that_is_undefined_or_constant_has_no_correlation() -> None:
    values = np.array([[1.0, 2, 3, 4], [1, np.nan, 2, 3], [5, 5, 5, 5], [4, 3, 2, 1]])
    found = spearman(values, np.ones((1, 4)))[0]
    assert found[0, 3] == pytest.approx(-1)
    assert np.isnan(found[0, [1, 2]]).all()


def test_measures_agree_as_planted_and_go_with_accuracy() -> None:
    measured, known = planted(20)
    table = agreement_table({"base": measured}, {"base": {"accuracy": known}}, WHERE)
    assert list(table.columns[:2]) == ["layer", "position"]
    pairs = table[table["over"] == "pairs"].set_index(["quantity", "against"])
    assert set(pairs.index) == {("retrieval", "cka"), ("retrieval", "cosine_gap"), ("cka", "cosine_gap")}
    assert pairs["n"].eq(190).all()
    assert pairs.loc[("retrieval", "cka"), "ci_low"] > 0.7
    a, b = np.triu_indices(20, 1)
    expected = spearmanr(measured["retrieval"][a, b, 0], measured["cosine_gap"][a, b, 0]).statistic
    assert pairs.loc[("retrieval", "cosine_gap"), "spearman"] == pytest.approx(expected, abs=1e-5)
    languages = table[table["over"] == "languages"].set_index(["quantity", "against"])
    assert languages["n"].eq(20).all()
    assert languages.loc[("retrieval", "accuracy"), "ci_low"] > 0.8
    assert (
        languages.loc[("cosine_gap", "accuracy"), "ci_low"] < 0 < languages.loc[("cosine_gap", "accuracy"), "ci_high"]
    )
    defined = table.dropna()
    assert ((defined["ci_low"] <= defined["spearman"]) & (defined["spearman"] <= defined["ci_high"])).all()


def test_changes_and_levels_before_are_told_apart() -> None:
    """Languages that are known better gain more; their alignment changes by chance."""
    base, known = planted(20)
    aligned = {
        name: values + np.random.default_rng(1).normal(size=values.shape[:-1])[..., None]
        for name, values in base.items()
    }
    outcomes = {"base": {"auc": np.full(20, 0.5)}, "aligned": {"auc": 0.5 + known}}
    table = agreement_table({"base": base, "aligned": aligned}, outcomes, WHERE)
    at = table[table["against"] == "auc"].set_index(["condition", "of", "quantity"])
    assert set(table["of"]) == {"level", "change", "before"}
    assert at.loc[("aligned", "before", "retrieval"), "ci_low"] > 0.8
    assert at.loc[("aligned", "change", "retrieval"), "ci_low"] < 0.4
    assert np.isnan(at.loc[("base", "level", "retrieval"), "spearman"])  # an AUC that is the same everywhere


def test_intervals_over_few_languages_are_wide() -> None:
    """Of unrelated numbers, 95% intervals over 20 languages hold 0 about 19 times in 20."""
    held = []
    for seed in range(40):
        measured, _ = planted(20, seed)
        outcome = np.random.default_rng(1000 + seed).normal(size=20)
        table = agreement_table({"base": measured}, {"base": {"auc": outcome}}, WHERE, draws=300)
        row = table[(table["against"] == "auc") & (table["quantity"] == "retrieval")].iloc[0]
        held.append(row["ci_low"] <= 0 <= row["ci_high"])
    assert np.mean(held) >= 0.85


def test_two_languages_are_refused() -> None:
    measured, known = planted(2)
    with pytest.raises(DataError, match=r"over 2 language\(s\): expected at least three"):
        agreement_table({"base": measured}, {"base": {"auc": known}}, WHERE)
