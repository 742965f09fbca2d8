"""PCA of one layer's states with ONE basis for all conditions, so that their points can be compared."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.decomposition import PCA

from ..errors import DataError
from .paired_tables import check_parallel
from .projection_quality import silhouettes

_SPLITS = 5  # of the ids into halves


def pca_table(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    languages: Sequence[str],
    ids: Sequence[str],
    layer: int,
    position: str,
    n_components: int = 2,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every state on the first principal components of all conditions' states together: (points, variance).

    points: language, id, condition, layer, position, pc1, pc2 (... up to `n_components`), in the states' own unit.
    variance: layer, position, component (1, 2, ...), explained_variance_ratio [0, 1]; stability [0, 1]: size of the
    cosine between the component as found in two random halves of the ids, mean over 5 such splits (NaN with fewer than
    4 ids); silhouette_language and silhouette_id [-1, 1], of all components together, so the same in each row: how far
    languages, and texts with their translations, form clusters of their own (NaN with one of them or one row each).
    The sign of a component is fixed, by scikit-learn since 1.5: its loading of largest size is positive.
    States that do not vary at all (layer 0 at the last prompt token) give scores and ratios of 0.

    Raises:
        DataError: malformed or unlike states, or more components than rows or dimensions.
    """
    rows, labels = stack_conditions(states_by_condition, languages, ids)
    labels["layer"], labels["position"] = layer, position
    if not 1 <= n_components <= min(rows.shape):
        raise DataError(
            f"{n_components} components of {rows.shape[0]} rows in {rows.shape[1]} dimensions: too many or few"
        )
    if (rows == rows[0]).all():
        scores, ratio, stability = (
            np.zeros((len(rows), n_components)),
            np.zeros(n_components),
            np.full(n_components, np.nan),
        )
    else:
        model = _fit(rows, n_components)
        scores, ratio = model.transform(rows), model.explained_variance_ratio_
        stability = _stability(rows, labels["id"].to_numpy(str), n_components, seed)
    points = pd.concat([labels, pd.DataFrame(scores, columns=[f"pc{c + 1}" for c in range(n_components)])], axis=1)
    variance = pd.DataFrame(
        {
            "layer": layer,
            "position": position,
            "component": np.arange(1, n_components + 1),
            "explained_variance_ratio": ratio,
            "stability": stability,
            **silhouettes(scores, labels[["language", "id"]]),
        }
    )
    return points, variance


def _fit(rows: Float[np.ndarray, "row d_model"], n_components: int) -> PCA:
    # Exact and quick for a few components, where "auto" would take the randomised solver; it cannot give all.
    solver = "arpack" if n_components < min(rows.shape) else "full"
    return PCA(n_components, svd_solver=solver, random_state=0).fit(rows)


def _stability(
    rows: Float[np.ndarray, "row d_model"], ids: np.ndarray, n_components: int, seed: int
) -> Float[np.ndarray, " component"]:
    """Mean size of the cosine between each component's axes in random halves of the ids."""
    rng, names = np.random.default_rng(seed), np.unique(ids)
    half = len(names) // 2
    cosines = np.full((_SPLITS, n_components), np.nan)
    for split in range(_SPLITS):
        order = rng.permutation(names)
        first, second = (rows[np.isin(ids, chosen)] for chosen in (order[:half], order[half:]))
        if half >= 2 and n_components <= min(first.shape) and np.ptp(first, 0).any() and np.ptp(second, 0).any():
            axes = _fit(first, n_components).components_, _fit(second, n_components).components_
            cosines[split] = np.abs((axes[0] * axes[1]).sum(axis=1))
    return np.asarray(cosines.mean(axis=0))


def stack_conditions(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    languages: Sequence[str],
    ids: Sequence[str],
) -> tuple[Float[np.ndarray, "row d_model"], pd.DataFrame]:
    """All conditions' states as float64 rows, and the rows' labels: language, id, condition.

    Raises:
        DataError: malformed or unlike states, or `ids` are not one per state.
    """
    _, n_ids, _ = check_parallel(states_by_condition, languages, "states")
    if len(ids) != n_ids:
        raise DataError(f"{len(ids)} ids were given for states of {n_ids} ids: expected one each")
    rows = np.concatenate([s.reshape(-1, s.shape[-1]) for s in states_by_condition.values()]).astype(np.float64)
    per_condition = [(language, id_) for language in languages for id_ in ids]
    labels = pd.DataFrame(
        [(language, id_, condition) for condition in states_by_condition for language, id_ in per_condition],
        columns=["language", "id", "condition"],
    )
    return rows, labels
