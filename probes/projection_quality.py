"""How far to trust a picture of states: what of the neighbourhoods it keeps, what it groups, whether it would recur."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors


def silhouettes(points: Float[np.ndarray, "row axis"], labels: pd.DataFrame) -> dict[str, float]:
    """How far the values of each column form clusters of their own among `points`, in [-1, 1] (Rousseeuw 1987).

    By `silhouette_` and the column's name. NaN where it is undefined: one value, another in each row, or points that
    are all equal.
    """
    distances = cdist(points, points) if np.ptp(points, axis=0).any() else None
    found = {}
    for name, column in labels.items():
        defined = distances is not None and 2 <= column.nunique() < len(column)
        score = silhouette_score(distances, column.to_numpy(str), metric="precomputed") if defined else np.nan
        found[f"silhouette_{name}"] = float(score)
    return found


def trustworthiness(
    sorted_distances: Float[np.ndarray, "row row"],
    distances: Float[np.ndarray, "row row"],
    embedding: Float[np.ndarray, "row axis"],
    n_neighbors: int,
) -> float:
    """Share in [0, 1] of the embedding's neighbourhoods that are neighbourhoods of the states (Venna and Kaski 2001).

    As scikit-learn's function of this name, with the states' distances sorted once for any number of embeddings.

    Args:
        sorted_distances: `distances`, each row sorted.
        distances: Between the states.
        embedding: Their points.
        n_neighbors: Size of a neighbourhood, at most half the rows.
    """
    n, k = len(embedding), n_neighbors
    near = NearestNeighbors(n_neighbors=k).fit(embedding).kneighbors(return_distance=False)
    to_near = np.take_along_axis(distances, near, axis=1)
    # States nearer than each neighbour, the state itself among them: the neighbour's rank.
    rank = np.stack([np.searchsorted(row, own) for row, own in zip(sorted_distances, to_near, strict=True)])
    return float(1 - np.maximum(rank - k, 0).sum() * 2 / (n * k * (2 * n - 3 * k - 1)))


def mean_disparity(embeddings: Sequence[Float[np.ndarray, "row axis"]]) -> Float[np.ndarray, " embedding"]:
    """Of each embedding, the mean Procrustes disparity in [0, 1] from the others (Gower 1975).

    What remains of the squared distances between two pictures when one is moved, scaled and turned onto the other: 0
    for the same picture, near 1 for unlike ones. NaN for a single one, and where points are all equal.
    """
    n = len(embeddings)
    between = np.full((n, n), np.nan)
    if all(np.ptp(points, axis=0).any() for points in embeddings):
        for i in range(n):
            for j in range(i):
                between[i, j] = between[j, i] = procrustes(embeddings[i], embeddings[j])[2]
    others = ~np.eye(n, dtype=bool)
    return np.array([between[i, others[i]].mean() if n > 1 else np.nan for i in range(n)])


def turned_onto(
    target: Float[np.ndarray, "row axis"], points: Float[np.ndarray, "row axis"]
) -> Float[np.ndarray, "row axis"]:
    """`points` moved, turned and scaled onto `target`, whose centre and spread they then have (Gower 1975)."""
    centre = target.mean(axis=0)
    aim, own = target - centre, points - points.mean(axis=0)
    turned = own @ orthogonal_procrustes(own, aim)[0]
    return np.asarray(turned * np.sqrt((aim**2).sum() / (own**2).sum()) + centre)


def mean_displacement(before: Float[np.ndarray, "row axis"], after: Float[np.ndarray, "row axis"]) -> float:
    """Mean distance of rows between two pictures, as a share of the pictures' spread.

    The spread is the root mean square distance of the rows from the centre of their picture, over both. 0: every row
    stays where it was; about 1.3: pictures without relation.
    """
    spread = np.sqrt(np.mean([points.var(axis=0).sum() for points in (before, after)]))
    return float(np.linalg.norm(after - before, axis=1).mean() / spread)
