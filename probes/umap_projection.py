"""UMAP of one layer's states: ONE embedding for all conditions, fit from several seeds, and how far to trust it."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from sklearn.metrics import pairwise_distances

from ..errors import DataError
from .pca import stack_conditions
from .projection_quality import mean_disparity, silhouettes, trustworthiness

_LEAST_ROWS = 5  # fewer have no neighbourhoods to speak of
_EPOCHS = 200  # UMAP's own choice for 10,000 rows and more
_START = "pca"  # languages often form islands without a link between them, which UMAP's own start puts at random


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
    if len(rows) < _LEAST_ROWS:
        raise DataError(f"UMAP of {len(rows)} states: expected at least {_LEAST_ROWS}; cache more examples")
    if n_neighbors < 2:
        raise DataError(f"UMAP with n_neighbors={n_neighbors}: expected at least 2")
    if not seeds:
        raise DataError("UMAP without a seed: expected at least one")
    neighbors = min(n_neighbors, len(rows) - 1)
    embeddings = [np.zeros((len(rows), 2), np.float32)] * len(seeds)
    trust = [np.nan] * len(seeds)
    if not (rows == rows[0]).all():
        states = (rows - rows.mean(axis=0)).astype(np.float32)
        distances = pairwise_distances(states)
        np.fill_diagonal(distances, -1.0)  # each state before any other that is equal
        ordered = np.sort(distances, axis=1)
        knn = _nearest(ordered, distances, neighbors)
        embeddings = [_embed(states, knn, seed, min_dist) for seed in seeds]
        fewer = min(neighbors, (len(rows) - 1) // 2)
        trust = [trustworthiness(ordered, distances, embedding, fewer) for embedding in embeddings]
    quality = pd.DataFrame(
        {
            "layer": layer,
            "position": position,
            "trustworthiness": trust,
            **pd.DataFrame([silhouettes(points, labels[["language", "id"]]) for points in embeddings]),
            "procrustes_disparity": mean_disparity(embeddings),
            "n_neighbors": neighbors,
            "min_dist": min_dist,
            "seed": list(seeds),
        }
    )
    labels["layer"], labels["position"] = layer, position
    return labels.assign(umap1=embeddings[0][:, 0], umap2=embeddings[0][:, 1]), quality


def _nearest(
    ordered: Float[np.ndarray, "row row"], distances: Float[np.ndarray, "row row"], n_neighbors: int
) -> tuple[Int[np.ndarray, "row neighbor"], Float[np.ndarray, "row neighbor"]]:
    """Each row's nearest rows and their distances, in order, itself first; `ordered` are the distances, rows sorted."""
    near = np.empty((len(distances), n_neighbors), dtype=np.int64)
    for i, (row, largest) in enumerate(zip(distances, ordered[:, n_neighbors - 1], strict=True)):
        within = np.flatnonzero(row <= largest)  # more than asked for where some tie
        near[i] = within[np.argsort(row[within], kind="stable")[:n_neighbors]]
    return near, np.maximum(np.take_along_axis(distances, near, axis=1), 0)


def _embed(
    states: Float[np.ndarray, "row d_model"], knn: tuple[np.ndarray, np.ndarray], seed: int, min_dist: float
) -> Float[np.ndarray, "row 2"]:
    import umap  # here, because importing it takes seconds

    model = umap.UMAP(
        n_neighbors=knn[0].shape[1], min_dist=min_dist, n_epochs=_EPOCHS, init=_START, random_state=seed,
        precomputed_knn=knn,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value .* overridden to 1 by setting random_state")
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]")  # only needed to place further states
        return np.asarray(model.fit_transform(states))
