"""UMAP of one layer's states: ONE embedding for all conditions, fit from several seeds, and how far to trust it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from sklearn.metrics import pairwise_distances

from ..errors import DataError
from .pca import stack_conditions
from .projection_quality import mean_disparity, silhouettes, trustworthiness

_LEAST_ROWS = 5  # fewer have no neighbourhoods to speak of
_EPOCHS = 200  # UMAP's own choice for 10,000 rows and more
_START = "pca"  # languages often form islands without a link between them, which UMAP's own start puts at random
_SERIAL = Lock()  # functions that divide their work among Numba's threads may not be called from two threads at once


def umap_table(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    languages: Sequence[str],
    ids: Sequence[str],
    layer: int,
    position: str,
    seeds: Sequence[int] = (0, 1, 2),
    n_neighbors: int = 15,
    min_dist: float = 0.1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """UMAP (McInnes et al., arXiv 1802.03426) of all conditions' states together: (points, quality).

    points, of the first seed: language, id, condition, layer, position, umap1, umap2. Only nearness has a meaning, not
    the axes.
    quality, one row per seed: layer, position, trustworthiness [0, 1] (share of neighbourhoods kept, at most half the
    rows), silhouette_language and silhouette_id [-1, 1] (how far languages, and texts with their translations, form
    clusters of their own in the embedding; NaN with one of them or with one row each), procrustes_disparity [0, 1]
    (from the other seeds' embeddings, see `projection_quality.mean_disparity`), n_neighbors, min_dist, seed.
    The layout starts from the principal components, as Kobak and Linderman (2021, doi 10.1038/s41587-020-00809-z)
    advise, so that the places of islands mean something. Neighbours are exact, and found once for all seeds; time and
    memory are quadratic in the rows (4 bytes a pair, 8 for silhouettes). `n_neighbors` is lowered to rows - 1 when
    there are few; the quality row tells the number used. A seed makes the result repeatable on one machine and UMAP
    single-threaded. The first call compiles for about 10 s. States that do not vary at all (layer 0 at the last prompt
    token) give points (0, 0) and NaN measures.

    Raises:
        DataError: malformed or unlike states, fewer than 5 rows, `n_neighbors` below 2, or no seed.
    """
    rows, labels = stack_conditions(states_by_condition, languages, ids)
    neighbors = usable_neighbors(len(rows), n_neighbors, seeds)
    embeddings = [np.zeros((len(rows), 2), np.float32)] * len(seeds)
    trust = [np.nan] * len(seeds)
    if varies(rows):
        states = centred(rows)
        near = neighborhoods(states, neighbors)
        graph = neighbor_graph(states, near)
        embeddings = [umap_layout(states, graph, seed, min_dist) for seed in seeds]
        trust = [near.trustworthiness(embedding) for embedding in embeddings]
    quality = quality_table(embeddings, trust, labels, layer, position)
    labels["layer"], labels["position"] = layer, position
    points = labels.assign(umap1=embeddings[0][:, 0], umap2=embeddings[0][:, 1])
    return points, quality.assign(n_neighbors=neighbors, min_dist=min_dist, seed=list(seeds))


def usable_neighbors(n_rows: int, n_neighbors: int, seeds: Sequence[int]) -> int:
    """`n_neighbors`, or all other rows where there are fewer.

    Raises:
        DataError: fewer than 5 rows, `n_neighbors` below 2, or no seed.
    """
    if n_rows < _LEAST_ROWS:
        raise DataError(f"UMAP of {n_rows} states: expected at least {_LEAST_ROWS}; cache more examples")
    if n_neighbors < 2:
        raise DataError(f"UMAP with n_neighbors={n_neighbors}: expected at least 2")
    if not seeds:
        raise DataError("UMAP without a seed: expected at least one")
    return min(n_neighbors, n_rows - 1)


def varies(rows: Float[np.ndarray, "row d_model"]) -> bool:
    return not (rows == rows[0]).all()


def centred(rows: Float[np.ndarray, "row d_model"]) -> Float[np.ndarray, "row d_model"]:
    """Rows less their mean, in float32, which holds differences of large values only without it."""
    return np.asarray(rows - rows.mean(axis=0), dtype=np.float32)


@dataclass(frozen=True)
class Neighborhoods:
    """Distances between all states of a layer, and the exact nearest ones of each; 8 bytes a pair of states."""

    distances: Float[np.ndarray, "row row"]
    ordered: Float[np.ndarray, "row row"]  # each row of `distances` sorted
    indices: Int[np.ndarray, "row neighbor"]  # in order of distance, the state itself first

    def trustworthiness(self, embedding: Float[np.ndarray, "row axis"]) -> float:
        """Of neighbourhoods of the size that was used, or of half the rows if that is less."""
        fewer = min(self.indices.shape[1], (len(self.distances) - 1) // 2)
        return trustworthiness(self.ordered, self.distances, embedding, fewer)


def neighborhoods(states: Float[np.ndarray, "row d_model"], n_neighbors: int) -> Neighborhoods:
    distances = pairwise_distances(states)
    np.fill_diagonal(distances, -1.0)  # each state before any other that is equal
    ordered = np.sort(distances, axis=1)
    return Neighborhoods(distances, ordered, _nearest(ordered, distances, n_neighbors))


def _nearest(
    ordered: Float[np.ndarray, "row row"], distances: Float[np.ndarray, "row row"], n_neighbors: int
) -> Int[np.ndarray, "row neighbor"]:
    near = np.empty((len(distances), n_neighbors), dtype=np.int64)
    for i, (row, largest) in enumerate(zip(distances, ordered[:, n_neighbors - 1], strict=True)):
        within = np.flatnonzero(row <= largest)  # more than asked for where some tie
        near[i] = within[np.argsort(row[within], kind="stable")[:n_neighbors]]
    return near


def neighbor_graph(states: Float[np.ndarray, "row d_model"], near: Neighborhoods) -> csr_matrix:
    """umap-learn's graph of the states: how surely each two are neighbours, [row, row]. No chance is in it."""
    from umap.umap_ import fuzzy_simplicial_set  # here, because importing it takes seconds

    distances = np.maximum(np.take_along_axis(near.distances, near.indices, axis=1), 0)
    with _SERIAL:
        graph, *_ = fuzzy_simplicial_set(
            states, near.indices.shape[1], None, "euclidean", knn_indices=near.indices, knn_dists=distances
        )
    return graph


def umap_layout(
    states: Float[np.ndarray, "row d_model"], graph: csr_matrix, seed: int, min_dist: float, n_epochs: int = _EPOCHS
) -> Float[np.ndarray, "row 2"]:
    """umap-learn's layout of a graph of the states, from their principal components."""
    from umap import layouts
    from umap.umap_ import find_ab_params, simplicial_set_embedding

    # Numba's code keeps the interpreter from other threads unless it is told, before its first call, to let it go.
    layouts._nb_optimize_layout_euclidean_single_epoch.targetoptions["nogil"] = True
    a, b = find_ab_params(1.0, min_dist)
    picture, _ = simplicial_set_embedding(
        states, graph, n_components=2, initial_alpha=1.0, a=a, b=b, gamma=1.0, negative_sample_rate=5,
        n_epochs=n_epochs, init=_START, random_state=np.random.RandomState(seed), metric="euclidean", metric_kwds={},
        densmap=False, densmap_kwds={}, output_dens=False, parallel=False,
    )  # fmt: skip
    return np.asarray(picture)


def quality_table(
    embeddings: Sequence[Float[np.ndarray, "row 2"]],
    trust: Sequence[float],
    labels: pd.DataFrame,
    layer: int,
    position: str,
) -> pd.DataFrame:
    """How far to trust each of one layer's embeddings: the columns of `umap_table`'s quality up to the disparity."""
    return pd.DataFrame(
        {
            "layer": layer,
            "position": position,
            "trustworthiness": trust,
            **pd.DataFrame([silhouettes(points, labels[["language", "id"]]) for points in embeddings]),
            "procrustes_disparity": mean_disparity(embeddings),
        }
    )
