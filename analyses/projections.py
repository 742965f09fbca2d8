"""Pictures of states in two dimensions."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..probes.aligned_umap import aligned_umap_tables
from ..probes.pca import pca_table
from ..probes.umap_projection import umap_table
from ..progress import Progress
from .conditions import Conditions, Tables
from .threads import in_threads

SEEDS = 3  # embeddings of each layer; the first is drawn


def pca(conditions: Conditions, on_progress: Progress) -> Tables:
    """Two principal components of each chosen layer, in one basis for all conditions."""

    def fit(states: dict[str, np.ndarray], layer: int, position: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        return pca_table(states, conditions.languages, conditions.ids, layer, position, seed=conditions.settings.seed)

    points, variance = _project(conditions, fit, on_progress)
    return {"pca": points, "pca_variance": variance}


def umap(conditions: Conditions, on_progress: Progress) -> Tables:
    """UMAP of each chosen layer, one embedding for all conditions, with measures of how far to trust it over seeds."""

    def fit(states: dict[str, np.ndarray], layer: int, position: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        return umap_table(states, conditions.languages, conditions.ids, layer, position, _seeds(conditions))

    points, quality = _project(conditions, fit, on_progress)
    return {"umap": points, "umap_quality": quality}


def aligned_umap(conditions: Conditions, on_progress: Progress) -> Tables:
    """UMAPs of the chosen layers, laid out together so that each state can be followed from layer to layer."""
    states = {layer: conditions.states("mean", layer) for layer in conditions.layers(conditions.settings.panels)}
    points, quality = aligned_umap_tables(
        states, conditions.languages, conditions.ids, "mean", _seeds(conditions), on_progress=on_progress
    )
    return {"aligned_umap": points, "aligned_umap_quality": quality}


def _seeds(conditions: Conditions) -> range:
    return range(conditions.settings.seed, conditions.settings.seed + SEEDS)


def _project(
    conditions: Conditions,
    fit: Callable[[dict[str, np.ndarray], int, str], tuple[pd.DataFrame, pd.DataFrame]],
    on_progress: Progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean-pooled states of a spread of layers, as in arXiv 2405.13816."""

    def of_layer(layer: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        return fit(conditions.states("mean", layer), layer, "mean")

    layers = conditions.layers(conditions.settings.panels)
    points, quality = zip(*in_threads(of_layer, layers, on_progress), strict=True)
    return pd.concat(points, ignore_index=True), pd.concat(quality, ignore_index=True)
