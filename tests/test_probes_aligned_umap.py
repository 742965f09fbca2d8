"""UMAPs laid out together: rows with the same neighbours keep their place, others are free to leave it."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.aligned_umap import aligned_umap_tables
from babelscope.probes.projection_quality import mean_displacement, turned_onto
from babelscope.probes.umap_projection import umap_table
from scipy.spatial import procrustes
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

LANGUAGES = ("en", "de", "sw", "th")
IDS = [f"q{i}" for i in range(10)]
LAYERS = (2, 5, 9)


@pytest.fixture(scope="module")
def states() -> dict[int, dict[str, np.ndarray]]:
    """Languages are clusters, turned anew in each layer; in the last the rows are dealt out to clusters at random."""
    rng = np.random.default_rng(0)
    base = 20 * rng.normal(size=(4, 1, 6)) + rng.normal(size=(4, 10, 6))
    layers = {}
    for layer in LAYERS:
        turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        rows = rng.permutation(base.reshape(40, 6)).reshape(base.shape) if layer == LAYERS[-1] else base
        layers[layer] = {"base": (rows @ turn).astype(np.float32), "aligned": ((rows + 0.01) @ turn).astype(np.float32)}
    # Neither their order nor a layer that holds nothing (embeddings of the last prompt token) matters.
    return {9: layers[9], 0: {name: np.ones((4, 10, 6), np.float32) for name in ("base", "aligned")}, **layers}


@pytest.fixture(scope="module")
def tables(states: dict[int, dict[str, np.ndarray]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return aligned_umap_tables(states, LANGUAGES, IDS, "mean", seeds=(3, 4), n_neighbors=6)


def picture(points: pd.DataFrame, layer: int) -> np.ndarray:
    return points.loc[points["layer"] == layer, ["umap1", "umap2"]].to_numpy()


def test_points_are_labelled_as_those_of_umap(
    states: dict[int, dict[str, np.ndarray]], tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    points, quality = tables
    alone, alone_quality = umap_table(states[2], LANGUAGES, IDS, 2, "mean", seeds=(3, 4), n_neighbors=6)
    labels = ["language", "id", "condition", "layer", "position"]
    pd.testing.assert_frame_equal(points.loc[points["layer"] == 2, labels], alone[labels])
    assert points["layer"].drop_duplicates().tolist() == [2, 5, 9]
    assert list(quality)[: len(alone_quality.columns)] == list(alone_quality)
    assert quality["seed"].tolist() == [3, 4] * 3
    separate = quality.loc[quality["layer"] == 2, "trustworthiness_separate"]
    assert separate.tolist() == alone_quality["trustworthiness"].tolist()


def test_rows_stay_where_their_neighbours_stay_and_only_there(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    by_layer = tables[1].set_index("layer")
    assert by_layer.loc[2, ["displacement", "displacement_separate"]].isna().all(axis=None)
    assert (by_layer.loc[5, "displacement"] < 0.1).all()
    assert (by_layer.loc[5, "displacement"] < by_layer.loc[5, "displacement_separate"] / 2).all()
    assert (by_layer.loc[9, "displacement"] > 0.7).all()
    assert (by_layer["trustworthiness"] > 0.95).all()


def test_quality_is_that_of_the_pictures(
    states: dict[int, dict[str, np.ndarray]], tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    points, quality = tables
    row = quality[(quality["layer"] == 5) & (quality["seed"] == 3)].iloc[0]
    rows, drawn = np.concatenate([s.reshape(-1, 6) for s in states[5].values()]), picture(points, 5)
    assert row["trustworthiness"] == pytest.approx(trustworthiness(rows, drawn, n_neighbors=6), abs=1e-6)
    languages = points.loc[points["layer"] == 5, "language"].tolist()
    assert row["silhouette_language"] == pytest.approx(silhouette_score(drawn, languages), abs=1e-5)
    assert row["displacement"] == pytest.approx(mean_displacement(picture(points, 2), drawn))
    assert 0 < row["procrustes_disparity"] < 1


def test_seed_repeats(states: dict[int, dict[str, np.ndarray]], tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    again, alone = aligned_umap_tables(states, LANGUAGES, IDS, "mean", seeds=(3,), n_neighbors=6)
    pd.testing.assert_frame_equal(again, tables[0])
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


def test_malformed_input_is_refused(states: dict[int, dict[str, np.ndarray]]) -> None:
    with pytest.raises(
        DataError, match=r"layers \[0, 2\]: expected at least 2 whose states vary, found 1; choose more"
    ):
        aligned_umap_tables({layer: states[layer] for layer in (0, 2)}, LANGUAGES, IDS, "mean")
    with pytest.raises(DataError, match="n_neighbors=1: expected at least 2"):
        aligned_umap_tables(states, LANGUAGES, IDS, "mean", n_neighbors=1)
    with pytest.raises(DataError, match=r"expected the same conditions in {2: \['base', 'aligned'\], 5: \['base'\]"):
        aligned_umap_tables({2: states[2], 5: {"base": states[5]["base"]}}, LANGUAGES, IDS, "mean")
