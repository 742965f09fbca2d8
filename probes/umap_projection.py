"""UMAP of one layer's states: ONE embedding for all conditions, with measures of how far to trust it."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

from ..errors import DataError
from .pca import stack_conditions

_LEAST_ROWS = 5  # fewer have no neighbourhoods to speak of, and UMAP's spectral start fails on them


def umap_table(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    languages: Sequence[str],
    ids: Sequence[str],
    layer: int,
    position: str,
    seed: int = 0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """UMAP (McInnes et al., arXiv 1802.03426) of all conditions' states together: (points, quality).

    points: language, id, condition, layer, position, umap1, umap2. Only nearness has a meaning, not the axes.
    quality (one row): layer, position, trustworthiness [0, 1] (share of neighbourhoods kept, at most half the rows),
    silhouette_language [-1, 1] (how far languages form clusters of their own in the embedding; NaN with one language or
    with one row each), n_neighbors, min_dist, seed.
    `n_neighbors` is lowered to rows - 1 when there are few; the quality row tells the number used. The seed makes the
    result repeatable on one machine and UMAP single-threaded. The first call compiles for about 10 s. States that do
    not vary at all (layer 0 at the last prompt token) give points (0, 0) and NaN measures.

    Raises:
        DataError: malformed or unlike states, fewer than 5 rows, or `n_neighbors` below 2.
    """
    rows, labels = stack_conditions(states_by_condition, languages, ids)
    if len(rows) < _LEAST_ROWS:
        raise DataError(f"UMAP of {len(rows)} states: expected at least {_LEAST_ROWS}; cache more examples")
    if n_neighbors < 2:
        raise DataError(f"UMAP with n_neighbors={n_neighbors}: expected at least 2")
    neighbors = min(n_neighbors, len(rows) - 1)
    embedding, trust, silhouette = np.zeros((len(rows), 2)), np.nan, np.nan
    if not (rows == rows[0]).all():
        embedding = _embed(rows, seed, neighbors, min_dist)
        trust = float(trustworthiness(rows, embedding, n_neighbors=min(neighbors, (len(rows) - 1) // 2)))
        if 2 <= len(languages) < len(rows):
            silhouette = float(silhouette_score(embedding, labels["language"].to_numpy(dtype=str)))
    labels["layer"], labels["position"] = layer, position
    points = labels.assign(umap1=embedding[:, 0], umap2=embedding[:, 1])
    quality = {
        "layer": layer,
        "position": position,
        "trustworthiness": trust,
        "silhouette_language": silhouette,
        "n_neighbors": neighbors,
        "min_dist": min_dist,
        "seed": seed,
    }
    return points, pd.DataFrame([quality])


def _embed(
    rows: Float[np.ndarray, "row d_model"], seed: int, n_neighbors: int, min_dist: float
) -> Float[np.ndarray, "row 2"]:
    import umap  # here, because importing it takes seconds

    model = umap.UMAP(n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value .* overridden to 1 by setting random_state")
        # Languages often form islands; the layout then starts from random places, which the seed fixes too.
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        return np.asarray(model.fit_transform(rows))
