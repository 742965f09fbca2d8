"""One UMAP embedding for all conditions, with its quality; and those of several layers, laid out together.

Both in one file, because each process that uses umap-learn compiles it for ten seconds.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.aligned_umap import aligned_umap_tables
from babelscope.probes.projection_quality import mean_disparity, mean_displacement, turned_onto
from babelscope.probes.umap_projection import umap_table
from scipy.spatial import procrustes
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

IDS = [f"q{i}" for i in range(12)]
LANGUAGES = ("en", "de", "sw", "th")
LAYERS = (2, 5, 9)


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


@pytest.fixture(scope="module")
def layers() -> dict[int, dict[str, np.ndarray]]:
    """Languages are clusters that lie apart in other directions in each layer; in the last, rows are dealt out anew."""
    rng = np.random.default_rng(0)
    clusters = 20 * rng.normal(size=(4, 1, 6)) + rng.normal(size=(4, 10, 6))
    found = {}
    for layer, stretched in zip(LAYERS, ([0, 1], [2, 3], [2, 3]), strict=True):
        rows = clusters + 0.3 * rng.normal(size=clusters.shape)
        rows[..., stretched] *= 3
        if layer == LAYERS[-1]:
            rows = rng.permutation(rows.reshape(40, 6)).reshape(rows.shape)
        found[layer] = {"base": rows.astype(np.float32), "aligned": (rows + 0.01).astype(np.float32)}
    # Neither their order nor a layer that holds nothing (embeddings of the last prompt token) matters.
    return {9: found[9], 0: {name: np.ones((4, 10, 6), np.float32) for name in ("base", "aligned")}, **found}


@pytest.fixture(scope="module")
def aligned(layers: dict[int, dict[str, np.ndarray]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return aligned_umap_tables(layers, LANGUAGES, IDS[:10], "mean", seeds=(3, 4), n_neighbors=6)


def picture(points: pd.DataFrame, layer: int) -> np.ndarray:
    return points.loc[points["layer"] == layer, ["umap1", "umap2"]].to_numpy()


def test_aligned_points_are_labelled_as_those_of_umap(
    layers: dict[int, dict[str, np.ndarray]], aligned: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    points, quality = aligned
    alone, alone_quality = umap_table(layers[2], LANGUAGES, IDS[:10], 2, "mean", seeds=(3, 4), n_neighbors=6)
    labels = ["language", "id", "condition", "layer", "position"]
    pd.testing.assert_frame_equal(points.loc[points["layer"] == 2, labels], alone[labels])
    assert points["layer"].drop_duplicates().tolist() == [2, 5, 9]
    assert list(quality)[: len(alone_quality.columns)] == list(alone_quality)
    assert quality["seed"].tolist() == [3, 4] * 3
    separate = quality[quality["layer"] == 2].filter(like="separate").dropna(axis=1)
    of_umap = alone_quality[["trustworthiness", "silhouette_language"]].add_suffix("_separate")
    pd.testing.assert_frame_equal(separate, of_umap, atol=0.1)  # twice as many epochs


def test_rows_stay_where_their_neighbours_stay_and_only_there(aligned: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    by_layer = aligned[1].set_index("layer")
    assert by_layer.loc[2, ["displacement", "displacement_separate"]].isna().all(axis=None)
    assert (by_layer.loc[5, "displacement"] < by_layer.loc[5, "displacement_separate"] / 2).all()
    assert (by_layer.loc[9, "displacement"] > 0.8).all()
    assert (by_layer["trustworthiness"] > 0.95).all()


def test_quality_is_that_of_the_pictures(
    layers: dict[int, dict[str, np.ndarray]], aligned: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    points, quality = aligned
    row = quality[(quality["layer"] == 5) & (quality["seed"] == 3)].iloc[0]
    rows, drawn = np.concatenate([s.reshape(-1, 6) for s in layers[5].values()]), picture(points, 5)
    assert row["trustworthiness"] == pytest.approx(trustworthiness(rows, drawn, n_neighbors=6), abs=1e-6)
    languages = points.loc[points["layer"] == 5, "language"].tolist()
    assert row["silhouette_language"] == pytest.approx(silhouette_score(drawn, languages), abs=1e-5)
    assert row["displacement"] == pytest.approx(mean_displacement(picture(points, 2), drawn))
    assert 0 < row["procrustes_disparity"] < 1


def test_seed_repeats_aligned_layers(
    layers: dict[int, dict[str, np.ndarray]], aligned: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    again, alone = aligned_umap_tables(layers, LANGUAGES, IDS[:10], "mean", seeds=(3,), n_neighbors=6)
    pd.testing.assert_frame_equal(again, aligned[0])
    assert alone["procrustes_disparity"].isna().all()


def test_displacement_is_in_units_of_the_spread() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 20_000, 2))
    assert mean_displacement(before, before) == 0
    assert mean_displacement(before, before + np.array([3, 4])) == pytest.approx(5 / np.sqrt(2), rel=0.02)
    assert mean_displacement(before, after) == pytest.approx(np.sqrt(np.pi / 2), rel=0.02)
    assert mean_displacement(9 * before, 9 * after) == pytest.approx(mean_displacement(before, after))


def test_a_turned_picture_falls_onto_the_first_as_scipy_turns_it() -> None:
    picture, other = np.random.default_rng(0).normal(size=(2, 40, 2))
    np.testing.assert_allclose(turned_onto(picture, 3 * picture @ [[0, 1], [-1, 0]] + 5), picture, atol=1e-12)
    _, best, _ = procrustes(picture, other)
    turned = turned_onto(picture, other) - picture.mean(axis=0)
    np.testing.assert_allclose(turned / np.linalg.norm(turned), best / np.linalg.norm(best), atol=1e-12)
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(picture - picture.mean(axis=0)))


def test_layers_that_cannot_be_aligned_are_refused(layers: dict[int, dict[str, np.ndarray]]) -> None:
    with pytest.raises(DataError, match=r"layers \[0, 2\]: expected 2 or more whose states vary, found 1; choose more"):
        aligned_umap_tables({layer: layers[layer] for layer in (0, 2)}, LANGUAGES, IDS[:10], "mean")
    with pytest.raises(DataError, match="n_neighbors=1: expected at least 2"):
        aligned_umap_tables(layers, LANGUAGES, IDS[:10], "mean", n_neighbors=1)
    with pytest.raises(DataError, match=r"expected the same conditions in {2: \['base', 'aligned'\], 5: \['base'\]"):
        aligned_umap_tables({2: layers[2], 5: {"base": layers[5]["base"]}}, LANGUAGES, IDS[:10], "mean")
