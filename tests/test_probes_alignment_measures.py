"""Measures of alignment against brute force, other people's formulas, and states whose alignment is known."""

from itertools import permutations

import numpy as np
import pytest
from babelscope.errors import DataError
from babelscope.probes.alignment_measures import MEASURES, measure
from babelscope.probes.parallel import Parallel
from scipy.stats import binomtest, ortho_group, pearsonr
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

ITEMS = [[0, 1, 2], [3, 4], [5, 6, 7]]


def planted(share: float, languages: int = 4, n: int = 60, d: int = 40, seed: int = 0, permuted: int = 0) -> np.ndarray:
    """Meaning common to all languages, an offset of each language, and noise; `share` of the variance is meaning.

    The last `permuted` languages have their rows in an order of their own: nothing of them is parallel.
    """
    rng = np.random.default_rng(seed)
    meaning, offset = rng.normal(size=(n, d)), 2 * rng.normal(size=(languages, 1, d))
    noise = rng.normal(size=(languages, n, d))
    states = offset + np.sqrt(share) * meaning + np.sqrt(1 - share) * noise
    for i in range(languages - permuted, languages):
        states[i] = states[i, rng.permutation(n)]
    return states.astype(np.float32)


def value(name: str, states: np.ndarray, items=()) -> np.ndarray:
    return MEASURES[name].contributions(Parallel(states, items)).mean(axis=-1)


def cosines(one: np.ndarray, other: np.ndarray, centre: bool) -> np.ndarray:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return cosine_similarity(one - centre * one.mean(axis=0), other - centre * other.mean(axis=0))


# ---- against brute force


def test_retrieval_and_mexa_equal_a_search_one_by_one() -> None:
    states = planted(0.4)
    hits = MEASURES["retrieval"].contributions(Parallel(states))
    mutual = MEASURES["mexa"].contributions(Parallel(states))
    for a, b in permutations(range(4), 2):
        near, plain = (cosines(states[a], states[b], centre) for centre in (True, False))
        for i in range(60):
            assert hits[a, b, i] == (near[i].argmax() == i)
            assert mutual[a, b, i] == (plain[i].argmax() == i and plain[:, i].argmax() == i)
    assert 0.1 < mutual.mean() < hits.mean() < 0.99


def test_dali_equals_its_definition() -> None:
    states = planted(0.4)
    hits = MEASURES["dali"].contributions(Parallel(states, ITEMS))
    assert hits.shape == (4, 4, 3)
    for a, b in permutations(range(4), 2):
        similar = cosines(states[a], states[b], centre=False)
        expected = [all(similar[i, i] > similar[i, j] for i, j in permutations(item, 2)) for item in ITEMS]
        assert hits[a, b].tolist() == expected
    assert 0 < hits[~np.eye(4, dtype=bool)].mean() < 1


def test_cka_equals_the_formula_of_song_et_al() -> None:
    states = planted(0.4)

    def hsic(x: np.ndarray, y: np.ndarray) -> float:
        k, m = (z.astype(np.float64) @ z.T.astype(np.float64) for z in (x, y))
        n, one = len(k), np.ones(len(k))
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        cross = one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
        return (np.trace(k @ m) + cross) / (n * (n - 3))

    found = value("cka", states)
    for a, b in permutations(range(4), 2):
        x, y = states[a], states[b]
        assert found[a, b] == pytest.approx(hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y)), abs=1e-5)


def test_anc_and_pc1_equal_scipy_and_sklearn() -> None:
    states = planted(0.6)
    anc, pc1 = value("anc", states), value("pc1_pearson", states)
    scores = PCA(1, svd_solver="full").fit_transform(states.reshape(-1, 40).astype(np.float64)).reshape(4, 60)
    for a, b in permutations(range(4), 2):
        by_neuron = [pearsonr(states[a, :, k], states[b, :, k]).statistic for k in range(40)]
        assert anc[a, b] == pytest.approx(np.mean(by_neuron), abs=1e-5)
        assert pc1[a, b] == pytest.approx(pearsonr(scores[a], scores[b]).statistic, abs=1e-4)


def test_cosines_and_distances_equal_loops() -> None:
    states = planted(0.6)
    off = ~np.eye(60, dtype=bool)
    for name, centre in (("cosine_gap", False), ("centred_cosine_gap", True)):
        found = value(name, states)
        for a, b in permutations(range(4), 2):
            similar = cosines(states[a], states[b], centre)
            assert found[a, b] == pytest.approx(similar.diagonal().mean() - similar[off].mean(), abs=1e-5)
    found = value("centroid_distance", states)
    for a, b in permutations(range(4), 2):
        apart = np.linalg.norm(states[a].mean(axis=0) - states[b].mean(axis=0))
        spread = np.sqrt((states[a].var(axis=0).sum() + states[b].var(axis=0).sum()) / 2)
        assert found[a, b] == pytest.approx(apart / spread, rel=1e-5)
    own = value("anisotropy", states)
    for a in range(4):
        assert own[a] == pytest.approx(cosines(states[a], states[a], centre=False)[off].mean(), abs=1e-5)


@pytest.mark.parametrize("name", ["cka", "anc", "pc1_pearson", "cosine_gap", "centroid_distance", "anisotropy"])
def test_contributions_predict_what_a_changed_weight_does(name: str) -> None:
    """Leaving an id out moves a measure by its influence / (n - 1), up to terms of second order (the jackknife)."""
    states = planted(0.6, n=150, seed=3)
    contributions = MEASURES[name].contributions(Parallel(states)).astype(np.float64)
    full = contributions.mean(axis=-1)
    left_out = np.stack([value(name, np.delete(states, i, axis=1)) for i in range(40)], axis=-1)
    predicted = -(contributions[..., :40] - full[..., None]) / 149
    found = left_out - full[..., None]
    pairs = np.arange(4) if name == "anisotropy" else np.triu_indices(4, 1)
    r = np.corrcoef(predicted[pairs].ravel(), found[pairs].ravel())[0, 1]
    assert r > 0.98
    assert np.std(predicted[pairs]) == pytest.approx(np.std(found[pairs]), rel=0.1)


# ---- what must not matter


@pytest.mark.parametrize("name", ["cka", "retrieval", "mexa", "cosine_gap", "centred_cosine_gap", "centroid_distance"])
def test_a_rotation_of_all_languages_changes_nothing(name: str) -> None:
    states = planted(0.5)
    rotation = ortho_group.rvs(40, random_state=0)
    np.testing.assert_allclose(value(name, (states @ rotation).astype(np.float32)), value(name, states), atol=2e-5)


def test_cka_ignores_rotation_scale_and_shift_of_one_language_and_retrieval_does_not() -> None:
    states = planted(0.5)
    moved = states.copy()
    moved[1] = 30 * (states[1] @ ortho_group.rvs(40, random_state=0)) + 5
    np.testing.assert_allclose(value("cka", moved), value("cka", states), atol=2e-5)
    assert value("retrieval", moved)[0, 1] < 0.2 < value("retrieval", states)[0, 1]


def test_directions_of_search_are_told_apart() -> None:
    """Two German states crowd around one English state: a search from German finds it twice."""
    english = np.array([[10, 0], [0, 10], [-10, -10]], dtype=np.float32)
    german = np.array([[10, 0], [9, 1], [-10, -10]], dtype=np.float32)
    hits = MEASURES["retrieval"].contributions(Parallel(np.stack([english, german])))
    similar = cosines(english, german, centre=True)
    np.testing.assert_array_equal(hits[0, 1], similar.argmax(axis=1) == np.arange(3))
    np.testing.assert_array_equal(hits[1, 0], similar.argmax(axis=0) == np.arange(3))
    assert (hits[0, 1] != hits[1, 0]).any()


# ---- planted truth


def test_measures_order_layers_by_the_alignment_planted_in_them() -> None:
    layers = [measure({"base": planted(share)}, list("abcd"), ITEMS)["base"] for share in (0.0, 0.2, 0.5, 0.9)]
    for name in ("retrieval", "mexa", "cka", "anc", "cosine_gap", "centred_cosine_gap"):
        means = [layer[name][np.triu_indices(4, 1)].mean() for layer in layers]
        assert np.all(np.diff(means) > 0), (name, means)
    assert layers[3]["cka"][0, 1].mean() == pytest.approx(0.9**2, abs=0.06)  # (cov / var)^2 of isotropic rows
    assert layers[3]["anc"][0, 1].mean() == pytest.approx(0.9, abs=0.02)


def test_a_permuted_language_is_at_chance_with_all_others() -> None:
    states = planted(0.9, languages=12, permuted=8)
    hits = MEASURES["retrieval"].contributions(Parallel(states))[:, 8:][:8]
    assert binomtest(int(hits.sum()), hits.size, 1 / 60).pvalue > 0.001
    for name in ("cka", "anc", "cosine_gap", "centred_cosine_gap"):
        found = value(name, states)
        assert np.abs(found[:4, 4:].mean()) < 0.02, name
        assert found[:4, :4][np.triu_indices(4, 1)].min() > 0.1, name


def test_cka_of_unrelated_states_is_0_where_the_plain_one_is_not() -> None:
    states = np.random.default_rng(0).normal(size=(8, 20, 500)).astype(np.float32)
    off = value("cka", states)[np.triu_indices(8, 1)]
    assert abs(off.mean()) < 3 * off.std() / np.sqrt(len(off)) + 0.01
    x, y = (s - s.mean(axis=0) for s in states[:2].astype(np.float64))
    plain = np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    assert plain > 0.9


def test_an_offset_common_to_all_states_fools_the_plain_cosine_alone() -> None:
    """Anisotropy squeezes all cosines towards 1: the gap closes though the meanings are as they were."""
    states = planted(0.5)
    squeezed = states + 30
    assert value("anisotropy", squeezed).min() > 0.98
    assert value("cosine_gap", squeezed)[0, 1] < 0.1 * value("cosine_gap", states)[0, 1]
    for name in ("centred_cosine_gap", "cka", "anc", "retrieval"):
        np.testing.assert_allclose(value(name, squeezed), value(name, states), atol=1e-3)


def test_anisotropy_of_known_distributions() -> None:
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(1, 400, 64))
    cone = ball + 8 * np.eye(64)[0]  # cosine of two: 8^2 / (8^2 + 64), and 0 for the ball
    found = value("anisotropy", np.concatenate([ball, cone]).astype(np.float32))
    assert found[0] == pytest.approx(0, abs=0.005)
    assert found[1] == pytest.approx(64 / 128, abs=0.02)


def test_centroids_have_the_distance_planted_and_a_floor_without_one() -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 100, 400)).astype(np.float32)
    states[1] += 0.5  # 0.5 sqrt(400) over a spread of sqrt(400)
    found = value("centroid_distance", states)
    assert found[0, 2] == pytest.approx(np.sqrt(2 / 100), rel=0.05)
    assert found[0, 1] == pytest.approx(np.sqrt(0.25 + 2 / 100), rel=0.05)


# ---- edges


def test_states_that_never_vary_are_misses_or_undefined_without_warnings(recwarn: pytest.WarningsRecorder) -> None:
    """Layer 0 at the last prompt token."""
    for same in (np.tile(np.float32([0.1, 1e5, -3.3]), (3, 20, 1)), np.full((3, 10, 2), 0.1)):
        found = measure({"base": same}, list("abc"))["base"]
        for name in ("cka", "anc", "pc1_pearson", "centroid_distance"):
            assert np.isnan(found[name]).all(), name
        assert not found["retrieval"].any()
        assert not found["mexa"].any()
        np.testing.assert_allclose(found["anisotropy"], 1, atol=1e-6)
        np.testing.assert_allclose(found["cosine_gap"], 0, atol=1e-6)
    assert not list(recwarn)


def test_states_apart_by_the_last_bit_are_ties() -> None:
    twins = planted(0.999)
    twins[:, 10:20] = np.nextafter(twins[:, :10], np.float32(np.inf))
    hits = MEASURES["retrieval"].contributions(Parallel(twins))
    assert not hits[:, :, :20].any()
    assert hits[:, :, 20:].all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_ids_is_no_error(n: int, recwarn: pytest.WarningsRecorder) -> None:
    found = measure({"base": planted(0.5, n=n)}, list("abcd"))["base"]
    assert {name: values.shape[-1] for name, values in found.items()} == dict.fromkeys(found, n)
    assert np.isnan(found["cka"]).all()
    assert np.isnan(found["cosine_gap"]).all() == (n == 1)
    assert not list(recwarn)


def test_dali_is_measured_where_items_have_options_only() -> None:
    assert "dali" not in measure({"base": planted(0.5)}, list("abcd"))["base"]
    assert measure({"base": planted(0.5)}, list("abcd"), ITEMS)["base"]["dali"].shape == (4, 4, 3)
    with pytest.raises(DataError, match=r"item 1 has the ids \[3\]; expected at least two different ones below 60"):
        measure({"base": planted(0.5)}, list("abcd"), [[0, 1], [3]])
    with pytest.raises(DataError, match="below 60"):
        measure({"base": planted(0.5)}, list("abcd"), [[0, 60]])
