"""One UMAP embedding for all conditions, with its quality."""

import warnings

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.projection_quality import mean_disparity
from babelscope.probes.umap_projection import umap_table
from scipy.spatial import procrustes
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

IDS = [f"q{i}" for i in range(12)]


@pytest.fixture(scope="module")
def states() -> dict[str, np.ndarray]:
    """Two languages far apart, two conditions close together."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(2, 12, 5)) + np.array([0, 30])[:, None, None]
    return {"base": base.astype(np.float32), "aligned": (base + 0.01).astype(np.float32)}


@pytest.fixture(scope="module")
def tables(states: dict[str, np.ndarray]) -> tuple[pd.DataFrame, pd.DataFrame]:
    import umap  # noqa: F401  (it warns of optional parts that are missing; that is not what is tested)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the known one is silenced, and there is no other
        return umap_table(states, ("en", "de"), IDS, 3, "last", seeds=(1, 4, 5), n_neighbors=6)


def test_points_are_labelled_and_form_the_planted_clusters(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    points, _ = tables
    assert list(points) == ["language", "id", "condition", "layer", "position", "umap1", "umap2"]
    assert len(points) == 48
    assert points["layer"].eq(3).all()
    assert points["position"].eq("last").all()
    where = points.set_index(["condition", "language", "id"])[["umap1", "umap2"]].sort_index()
    nearby = np.linalg.norm(where.loc["base"] - where.loc["aligned"], axis=1).mean()
    apart = np.linalg.norm(where.loc[("base", "en")].mean() - where.loc[("base", "de")].mean())
    assert nearby < apart / 2


def test_quality_equals_sklearn(states: dict[str, np.ndarray], tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    points, quality = tables
    assert list(quality) == [
        "layer",
        "position",
        "trustworthiness",
        "silhouette_language",
        "silhouette_id",
        "procrustes_disparity",
        "n_neighbors",
        "min_dist",
        "seed",
    ]
    rows = np.concatenate([s.reshape(-1, 5) for s in states.values()])
    embedding = points[["umap1", "umap2"]].to_numpy()
    row = quality.iloc[0]
    assert row["trustworthiness"] == pytest.approx(trustworthiness(rows, embedding, n_neighbors=6), abs=1e-6)
    assert row["silhouette_language"] == pytest.approx(silhouette_score(embedding, points["language"].tolist()))
    assert row["silhouette_id"] == pytest.approx(silhouette_score(embedding, points["id"].tolist()), abs=1e-5)
    assert row["silhouette_language"] > 0.5 > row["silhouette_id"]
    assert quality["seed"].tolist() == [1, 4, 5]
    assert quality["procrustes_disparity"].between(0, 1).all()
    assert row[["n_neighbors", "min_dist", "seed", "layer"]].tolist() == [6, 0.1, 1, 3]


def test_seed_repeats(states: dict[str, np.ndarray], tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    again, alone = umap_table(states, ("en", "de"), IDS, 3, "last", seeds=(1,), n_neighbors=6)
    pd.testing.assert_frame_equal(again, tables[0])
    assert alone["procrustes_disparity"].isna().all()
    other, _ = umap_table(states, ("en", "de"), IDS, 3, "last", seeds=(2,), n_neighbors=6)
    assert not np.allclose(other[["umap1", "umap2"]], again[["umap1", "umap2"]])


def test_disparity_is_that_of_scipy_and_knows_a_turned_picture() -> None:
    rng = np.random.default_rng(0)
    picture, other = rng.normal(size=(2, 40, 2))
    turned = picture @ np.array([[0, 3.0], [-3.0, 0]]) + 5
    found = mean_disparity([picture, turned, other])
    assert found[0] == pytest.approx((0 + procrustes(picture, other)[2]) / 2)
    assert found[2] > 0.8
    assert mean_disparity([picture, turned]) == pytest.approx(0, abs=1e-12)
    assert np.isnan(mean_disparity([picture])).all()


@pytest.mark.parametrize(("languages", "n"), [(1, 5), (5, 1), (2, 3)])
def test_few_rows_clamp_the_neighbours(languages: int, n: int) -> None:
    array = np.random.default_rng(0).normal(size=(languages, n, 4)).astype(np.float32)
    points, quality = umap_table({"base": array}, [f"l{i}" for i in range(languages)], IDS[:n], 0, "last")
    assert quality["n_neighbors"].iloc[0] == languages * n - 1
    assert np.isfinite(points[["umap1", "umap2"]]).all(axis=None)
    assert quality["trustworthiness"].between(0, 1).all()
    assert quality["silhouette_language"].isna().all() == (1 in (languages, n))


def test_states_that_never_vary_are_not_embedded() -> None:
    points, quality = umap_table({"base": np.ones((2, 12, 3), np.float32)}, ("en", "de"), IDS, 0, "last")
    assert points[["umap1", "umap2"]].eq(0).all(axis=None)
    assert (
        quality[["trustworthiness", "silhouette_language", "silhouette_id", "procrustes_disparity"]]
        .isna()
        .all(axis=None)
    )


def test_malformed_input_is_refused() -> None:
    array = np.ones((2, 2, 3), np.float32)
    with pytest.raises(DataError, match="UMAP of 4 states: expected at least 5"):
        umap_table({"base": array}, ("en", "de"), IDS[:2], 0, "last")
    with pytest.raises(DataError, match="n_neighbors=1: expected at least 2"):
        umap_table({"base": np.ones((2, 12, 3), np.float32)}, ("en", "de"), IDS, 0, "last", n_neighbors=1)
