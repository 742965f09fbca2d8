"""PC1 correlation and retrieval, against scikit-learn and scipy, on planted truths, and in their tables."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.alignment import alignment_tables, pc1_pearson, retrieval_hits
from scipy.stats import binomtest, ortho_group, pearsonr
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

LANGUAGES = ("en", "de", "sw")


def states(n: int = 30, d: int = 8, seed: int = 0, noise: float = 1.0, languages: int = 3) -> np.ndarray:
    """Translations share a meaning; each language adds an offset of its own and noise."""
    rng = np.random.default_rng(seed)
    meaning, offset = rng.normal(size=(n, d)) * np.linspace(3, 1, d), rng.normal(size=(languages, 1, d)) * 5
    return (meaning + offset + noise * rng.normal(size=(languages, n, d))).astype(np.float32)


# ---- PC1


@pytest.mark.parametrize(("n", "d"), [(30, 8), (10, 64)])  # more rows than dimensions, and fewer
def test_pc1_pearson_equals_sklearn_and_scipy(n: int, d: int) -> None:
    array = states(n, d)
    scores = PCA(1, svd_solver="full").fit_transform(array.reshape(-1, d).astype(np.float64)).reshape(3, n)
    expected = [pearsonr(scores[1], language).statistic for language in scores]
    np.testing.assert_allclose(pc1_pearson(array, LANGUAGES, "de"), expected, atol=1e-6)


def test_pc1_pearson_finds_a_shared_and_a_private_direction() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=500)
    array = np.zeros((3, 500, 4), dtype=np.float32)
    array[..., 0] = np.stack([shared, shared, rng.permutation(shared)]) * 10
    array += rng.normal(size=array.shape) * 0.1
    r = pc1_pearson(array, LANGUAGES, "en")
    assert r[0] == pytest.approx(1)
    assert r[1] > 0.99
    assert abs(r[2]) < 0.2


def test_pc1_pearson_survives_the_scale_of_gemma() -> None:
    """A constant coordinate of 1e5, as some models have, changes nothing."""
    array = states()
    shifted = np.concatenate([array, np.full((3, 30, 1), 1e5, dtype=np.float32)], axis=2)
    np.testing.assert_allclose(pc1_pearson(shifted, LANGUAGES, "en"), pc1_pearson(array, LANGUAGES, "en"), atol=1e-6)


def test_pc1_pearson_is_undefined_where_nothing_varies() -> None:
    same = np.tile(np.float32([0.1, 1e5, -3.3]), (3, 20, 1))
    assert np.isnan(pc1_pearson(same, LANGUAGES, "en")).all()
    one_constant = states()
    one_constant[1] = one_constant[1, 0]
    assert np.isnan(pc1_pearson(one_constant, LANGUAGES, "en")).tolist() == [False, True, False]
    assert np.isnan(pc1_pearson(states(n=1), LANGUAGES, "en")).all()


# ---- retrieval


def test_retrieval_equals_sklearn() -> None:
    array = states(noise=2.0)
    hits = retrieval_hits(array, LANGUAGES, "en")
    centred = array.astype(np.float64) - array.mean(axis=1, keepdims=True, dtype=np.float64)
    truth = np.arange(30)
    for i in (1, 2):
        for direction, (query, pool) in enumerate([(centred[0], centred[i]), (centred[i], centred[0])]):
            nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(pool).kneighbors(query)[1][:, 0]
            np.testing.assert_array_equal(hits[direction, i], nearest == truth)
    assert 0 < hits[:, 1:].mean() < 1


def test_retrieval_finds_scaled_and_shifted_copies() -> None:
    meaning = np.random.default_rng(0).normal(size=(40, 8))
    array = np.stack([meaning, 3 * meaning + 7, 0.1 * meaning - 2]).astype(np.float32)
    assert retrieval_hits(array, LANGUAGES, "en").all()


def test_retrieval_sees_only_shared_axes() -> None:
    """A rotated copy keeps all distances but not the axes: found when both are rotated, lost when one is."""
    rotation = ortho_group.rvs(32, random_state=0)
    meaning = np.random.default_rng(0).normal(size=(60, 32))
    array = np.stack([meaning, meaning + 4, meaning @ rotation + 1]).astype(np.float32)
    hits = retrieval_hits(array, LANGUAGES, "en")
    assert hits[:, 1].all()
    assert hits[:, 2].mean() < 0.2
    np.testing.assert_array_equal(
        retrieval_hits((array @ rotation).astype(np.float32), LANGUAGES, "en")[:, 1], hits[:, 1]
    )


def test_retrieval_of_noise_is_at_chance() -> None:
    array = np.random.default_rng(1).normal(size=(30, 40, 16)).astype(np.float32)
    hits = retrieval_hits(array, [f"l{i}" for i in range(30)], "l0")[:, 1:]
    assert binomtest(int(hits.sum()), hits.size, 1 / 40).pvalue > 0.001


def test_directions_are_told_apart() -> None:
    """Two German states crowd around one English state: the search from German into English finds it twice."""
    english = np.array([[10, 0], [0, 10], [-10, -10]], dtype=np.float32)
    german = np.array([[10, 0], [9, 1], [-10, -10]], dtype=np.float32)  # the second is nearest to the first English
    hits = retrieval_hits(np.stack([english, german]), ("en", "de"), "en")
    centred = [a - a.mean(axis=0) for a in (english, german)]
    units = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in centred]
    cosine = units[0] @ units[1].T
    np.testing.assert_array_equal(hits[0, 1], cosine.argmax(axis=1) == np.arange(3))
    np.testing.assert_array_equal(hits[1, 1], cosine.argmax(axis=0) == np.arange(3))
    assert (hits[0, 1] != hits[1, 1]).any()


def test_indistinguishable_states_are_misses() -> None:
    same = np.tile(np.float32([0.1, 1e5, -3.3]), (3, 20, 1))
    assert not retrieval_hits(same, LANGUAGES, "en").any()
    tenth = np.full((3, 10, 2), 0.1)  # in float64 the mean of ten tenths is not a tenth, so rounding is left over
    assert not retrieval_hits(tenth, LANGUAGES, "en").any()
    assert np.isnan(pc1_pearson(tenth, LANGUAGES, "en")).all()
    twins = states(noise=0.01)
    twins[:, 10:20] = np.nextafter(twins[:, :10], np.float32(np.inf))  # apart by the last bit of float32
    hits = retrieval_hits(twins, LANGUAGES, "en")
    assert not hits[:, :, :20].any()
    assert hits[:, :, 20:].all()
    assert retrieval_hits(states(n=1), LANGUAGES, "en").all()


# ---- tables


def test_tables() -> None:
    base, aligned = states(noise=3, seed=0), states(noise=0.3, seed=0)
    values, deltas = alignment_tables({"base": base, "aligned": aligned}, LANGUAGES, 7, "last", pivot="de", draws=200)
    assert list(values) == ["language", "condition", "layer", "position", "quantity", "value", "ci_low", "ci_high"]
    assert list(deltas) == [
        "language",
        "condition",
        "layer",
        "position",
        "quantity",
        "base",
        "aligned",
        "delta",
        "ci_low",
        "ci_high",
        "p_value",
        "p_holm",
    ]
    assert len(values) == 2 * 2 * 3
    assert len(deltas) == 2 * 3
    assert set(values["language"]) == {"en", "sw"}
    assert values["layer"].eq(7).all()
    assert values["position"].eq("last").all()
    found = values.set_index(["condition", "quantity", "language"])["value"]
    hits = retrieval_hits(base, LANGUAGES, "de").mean(axis=2)
    assert found["base", "retrieval_from_pivot", "sw"] == pytest.approx(hits[0, 2])
    assert found["base", "retrieval_to_pivot", "sw"] == pytest.approx(hits[1, 2])
    assert found["aligned", "pc1_pearson", "en"] == pytest.approx(pc1_pearson(aligned, LANGUAGES, "de")[0])
    assert (values["ci_low"] <= values["value"]).all()
    assert (values["value"] <= values["ci_high"]).all()
    np.testing.assert_allclose(deltas["delta"], deltas["aligned"] - deltas["base"])
    assert deltas["condition"].eq("aligned").all()
    assert deltas["delta"].gt(0).all()
    assert (deltas["p_holm"] >= deltas["p_value"]).all()


def test_pc1_interval_equals_resampled_pearson() -> None:
    array = states(noise=3)
    values, _ = alignment_tables({"base": array}, LANGUAGES, 0, "last", draws=400, seed=5)
    scores = PCA(1, svd_solver="full").fit_transform(array.reshape(-1, 8).astype(np.float64)).reshape(3, 30)
    counts = np.random.default_rng(5).multinomial(30, np.full(30, 1 / 30), size=400)
    drawn = [pearsonr(*np.repeat(scores[[0, 2]], c, axis=1)).statistic for c in counts]
    row = values.set_index(["quantity", "language"]).loc[("pc1_pearson", "sw")]
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), np.quantile(drawn, [0.025, 0.975]), atol=1e-6)


def test_order_of_ids_changes_no_value() -> None:
    base, aligned = states(noise=2), states(noise=1)
    order = np.random.default_rng(0).permutation(30)
    (v1, d1), (v2, d2) = (
        alignment_tables({"base": base[:, o], "aligned": aligned[:, o]}, LANGUAGES, 0, "last", draws=50)
        for o in (np.arange(30), order)
    )
    np.testing.assert_allclose(v1["value"], v2["value"], atol=1e-9)
    np.testing.assert_allclose(d1["delta"], d2["delta"], atol=1e-9)


def test_no_change_is_no_difference() -> None:
    array = states()
    _, deltas = alignment_tables({"base": array, "aligned": array.copy()}, LANGUAGES, 0, "last", draws=100)
    assert deltas[["delta", "ci_low", "ci_high"]].eq(0).all(axis=None)
    assert deltas[["p_value", "p_holm"]].eq(1).all(axis=None)


def test_states_that_never_vary_give_nan_without_warnings(recwarn: pytest.WarningsRecorder) -> None:
    """Layer 0 at the last prompt token."""
    same = np.tile(np.float32([0.1, 1e5, -3.3]), (3, 20, 1))
    values, deltas = alignment_tables({"base": same, "aligned": same}, LANGUAGES, 0, "last", draws=50)
    pc1 = values["quantity"] == "pc1_pearson"
    assert values.loc[pc1, ["value", "ci_low", "ci_high"]].isna().all(axis=None)
    assert values.loc[~pc1, "value"].eq(0).all()
    assert deltas.loc[deltas["quantity"] == "pc1_pearson", ["delta", "p_value", "p_holm"]].isna().all(axis=None)
    assert not list(recwarn)


def test_pivot_alone_gives_empty_tables() -> None:
    array = states(languages=1)
    values, deltas = alignment_tables({"base": array, "aligned": array}, ("en",), 0, "last", draws=10)
    assert values.empty
    assert deltas.empty
    assert "p_holm" in deltas
    assert isinstance(values, pd.DataFrame)


@pytest.mark.parametrize(
    ("conditions", "languages", "message"),
    [
        ({"base": states()}, ("fr", "de", "sw"), r"pivot 'en' is not among the languages \['fr'"),
        ({"aligned": states()}, LANGUAGES, "no condition is called 'base' among"),
        ({}, LANGUAGES, "no condition was given"),
        ({"base": states()}, ("en", "de"), r"shape \(3, 30, 8\), expected .* 2 languages"),
        ({"base": states()}, ("en", "de", "de"), "repeat"),
        ({"base": states(), "aligned": states(n=29)}, LANGUAGES, r"'aligned' have shape \(3, 29, 8\), those of 'base'"),
        ({"base": states() * np.float32([[[1]], [[np.nan]], [[1]]])}, LANGUAGES, "language 'de', hold NaN"),
    ],
)
def test_malformed_input_is_refused(
    conditions: dict[str, np.ndarray], languages: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        alignment_tables(conditions, languages, 0, "last", draws=10)
