"""One PCA basis for all conditions."""

import numpy as np
import pytest
from babelscope.errors import DataError
from babelscope.probes.pca import pca_table
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

IDS = [f"q{i}" for i in range(12)]


def states(seed: int, d: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(2, 12, d)) * np.arange(d, 0, -1) + seed).astype(np.float32)


@pytest.mark.parametrize(("d", "components"), [(6, 2), (6, 6), (100, 3)])
def test_equals_sklearn_on_the_stacked_rows(d: int, components: int) -> None:
    conditions = {"base": states(0, d), "aligned": states(1, d)}
    points, variance = pca_table(conditions, ("en", "de"), IDS, 5, "last", components)
    names = [f"pc{i + 1}" for i in range(components)]
    assert list(points) == ["language", "id", "condition", "layer", "position", *names]
    rows = np.concatenate([s.reshape(-1, d) for s in conditions.values()]).astype(np.float64)
    model = PCA(components, svd_solver="full").fit(rows)
    np.testing.assert_allclose(np.abs(points[names]), np.abs(model.transform(rows)), atol=1e-6)
    quality = ["stability", "silhouette_language", "silhouette_id"]
    assert list(variance) == ["layer", "position", "component", "explained_variance_ratio", *quality]
    expected = silhouette_score(points[names], points["language"].tolist())
    np.testing.assert_allclose(variance["silhouette_language"], expected, atol=1e-5)
    np.testing.assert_allclose(variance["explained_variance_ratio"], model.explained_variance_ratio_, atol=1e-9)
    assert variance["component"].tolist() == list(range(1, components + 1))


def test_stability_tells_a_strong_axis_from_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 12, 80))
    noise[:, :, 0] += 30 * np.array([-1, 1])[:, None]  # the languages lie apart along one axis; the rest is a ball
    _, variance = pca_table({"base": noise.astype(np.float32)}, ("en", "de"), IDS, 5, "last")
    first, second = variance["stability"]
    assert first > 0.95
    assert second < 0.5
    _, few = pca_table({"base": states(0)[:, :3]}, ("en", "de"), IDS[:3], 5, "last")
    assert few["stability"].isna().all()


def test_points_keep_their_labels() -> None:
    conditions = {"base": states(0), "aligned": states(1)}
    points, _ = pca_table(conditions, ("en", "de"), IDS, 5, "mean")
    assert points["layer"].eq(5).all()
    assert points["position"].eq("mean").all()
    table = points.set_index(["condition", "language", "id"])[["pc1", "pc2"]]
    rows = np.concatenate([s.reshape(-1, 6) for s in conditions.values()])
    for (condition, language, id_), scores in table.iterrows():
        state = conditions[condition][("en", "de").index(language), IDS.index(id_)]
        distance = np.linalg.norm(rows - state, axis=1)
        twin = table.to_numpy()[distance.argmin()]
        np.testing.assert_allclose(scores, twin)
    assert len(table) == 48
    assert table.index.is_unique


def test_sign_is_fixed() -> None:
    """Mirrored states have mirrored scores only if the sign follows the axes and not the solver."""
    array = states(0)
    first, _ = pca_table({"base": array}, ("en", "de"), IDS, 0, "last")
    mirrored, _ = pca_table({"base": -array}, ("en", "de"), IDS, 0, "last")
    np.testing.assert_allclose(mirrored[["pc1", "pc2"]], -first[["pc1", "pc2"]], atol=1e-9)
    # The largest loading is positive: along the widest axis of these data scores grow with the coordinate.
    assert np.corrcoef(first["pc1"], array[..., 0].ravel())[0, 1] > 0.9


def test_order_of_ids_does_not_matter() -> None:
    array, order = states(0), np.random.default_rng(0).permutation(12)
    first, _ = pca_table({"base": array}, ("en", "de"), IDS, 0, "last")
    second, _ = pca_table({"base": array[:, order]}, ("en", "de"), [IDS[i] for i in order], 0, "last")
    key = ["language", "id"]
    np.testing.assert_allclose(
        first.set_index(key)[["pc1", "pc2"]], second.set_index(key).loc[first.set_index(key).index, ["pc1", "pc2"]]
    )


def test_states_that_never_vary_are_at_the_origin(recwarn: pytest.WarningsRecorder) -> None:
    same = np.tile(np.float32([0.1, 1e5, -3.3]), (2, 12, 1))
    points, variance = pca_table({"base": same}, ("en", "de"), IDS, 0, "last")
    assert points[["pc1", "pc2"]].eq(0).all(axis=None)
    assert variance["explained_variance_ratio"].eq(0).all()
    constant_axis = np.concatenate([states(0), np.ones((2, 12, 1), np.float32)], axis=2)
    assert pca_table({"base": constant_axis}, ("en", "de"), IDS, 0, "last")[0].notna().all(axis=None)
    assert not list(recwarn)


def test_malformed_input_is_refused() -> None:
    with pytest.raises(DataError, match="11 ids were given for states of 12 ids"):
        pca_table({"base": states(0)}, ("en", "de"), IDS[1:], 0, "last")
    with pytest.raises(DataError, match="7 components of 24 rows in 6 dimensions"):
        pca_table({"base": states(0)}, ("en", "de"), IDS, 0, "last", 7)
