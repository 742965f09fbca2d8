"""UMAPs of several layers that are laid out together, so that each state can be followed from layer to layer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise, starmap
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA

from ..errors import DataError
from ..progress import Progress, Steps, silent
from .pca import stack_conditions
from .projection_quality import mean_displacement, silhouettes, turned_onto
from .umap_projection import (
    centred,
    neighbor_graph,
    neighborhoods,
    quality_table,
    umap_layout,
    usable_neighbors,
    varies,
)

Picture = Float[np.ndarray, "row 2"]

_EPOCHS = 100  # half of what a single UMAP gets, for twice the speed: the library's layout of several is slow

# The library looks from -_REACH up to, but not at, +_REACH: with 2 both neighbouring layers are within reach.
_REACH = 2
_WIDTH = 10.0  # of the first layer's start, from the centre to the farthest point: the library's own


def aligned_umap_tables(
    states_by_layer: Mapping[int, Mapping[str, Float[np.ndarray, "language id d_model"]]],
    languages: Sequence[str],
    ids: Sequence[str],
    position: str,
    seeds: Sequence[int] = (0, 1, 2),
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    regularisation: float = 0.01,
    on_progress: Progress = silent,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """UMAP of each layer, all conditions together, in which a row is drawn to its own place one layer before and after.

    AlignedUMAP of umap-learn, as described by Dadu et al. (2023, doi 10.1016/j.patter.2023.100741): all layers are laid
    out at once, and in each of UMAP's steps another force acts on a row:
        regularisation * J * (its place in the neighbouring layer - its place),
    J being the Jaccard index of its neighbours in the two layers (edges of UMAP's graphs): a row whose neighbours are
    others is not drawn. The library's layout is called with exact neighbours and a start from principal components,
    each layer's turned onto that of the layer before, both as in `umap_table`.

    points and quality have the columns of `umap_table`. Places can be compared over layers. quality has further
    columns: regularisation; displacement, of rows from the layer before (see `mean_displacement`; NaN in the first
    layer); and, of UMAPs of the same layers, seeds and epochs (100) that were fitted separately, displacement_separate
    (each picture turned onto the one before), trustworthiness_separate and silhouette_language_separate.

    Layers come in ascending order; those whose states do not vary at all (layer 0 at the last prompt token) are left
    out. Time: 123 s on one core for 5 layers of 4,800 rows and three seeds, 75 s of them for the layout. Memory: 8
    bytes a pair of rows, as there.

    Raises:
        DataError: malformed states, or unlike ones between layers; fewer than two layers that vary; else as
            `umap_table`.
    """
    rows, labels = _stack(states_by_layer, languages, ids)
    neighbors = usable_neighbors(len(labels), n_neighbors, seeds)
    step = Steps(on_progress, len(rows) + len(seeds))
    separate = []
    for states in rows.values():
        separate.append(_fit_separately(states, neighbors, seeds, min_dist))
        step()
    layout = _Layout([layer.graph for layer in separate], _starts(rows.values()), min_dist, regularisation)
    by_seed = []
    for seed in seeds:
        by_seed.append(layout.drawn(seed))
        step()

    moved = _displacements(by_seed)
    by_seed_separate = zip(*(layer.pictures for layer in separate), strict=True)
    moved_separate = _displacements([list(accumulate(pictures, turned_onto)) for pictures in by_seed_separate])
    points, quality = [], []
    for n, (layer, states) in enumerate(rows.items()):
        near, pictures = neighborhoods(states, neighbors), [pictures[n] for pictures in by_seed]
        trust = [near.trustworthiness(picture) for picture in pictures]
        quality.append(
            quality_table(pictures, trust, labels, layer, position).assign(
                n_neighbors=neighbors,
                min_dist=min_dist,
                seed=list(seeds),
                regularisation=regularisation,
                displacement=moved[:, n],
                displacement_separate=moved_separate[:, n],
                trustworthiness_separate=separate[n].trust,
                silhouette_language_separate=[
                    silhouettes(picture, labels[["language"]])["silhouette_language"]
                    for picture in separate[n].pictures
                ],
            )
        )
        points.append(labels.assign(layer=layer, position=position, umap1=pictures[0][:, 0], umap2=pictures[0][:, 1]))
    return pd.concat(points, ignore_index=True), pd.concat(quality, ignore_index=True)


def _stack(
    states_by_layer: Mapping[int, Mapping[str, Float[np.ndarray, "language id d_model"]]],
    languages: Sequence[str],
    ids: Sequence[str],
) -> tuple[dict[int, Float[np.ndarray, "row d_model"]], pd.DataFrame]:
    """Centred rows of each layer that varies, in ascending order, and the labels that are the same in all."""
    conditions = {layer: list(states) for layer, states in states_by_layer.items()}
    if len({tuple(names) for names in conditions.values()}) > 1:
        raise DataError(f"AlignedUMAP follows rows from layer to layer: expected the same conditions in {conditions}")
    rows, labels = {}, pd.DataFrame()
    for layer in sorted(states_by_layer):
        stacked, labels = stack_conditions(states_by_layer[layer], languages, ids)
        if varies(stacked):
            rows[layer] = centred(stacked)
    if len(rows) < 2:
        raise DataError(
            f"AlignedUMAP of layers {sorted(states_by_layer)}: expected 2 or more whose states vary, found "
            f"{len(rows)}; choose more layers, or the probe umap for a single one"
        )
    return rows, labels


@dataclass(frozen=True)
class _Separate:
    """UMAPs of one layer by itself, one a seed, and the graph of neighbours that they share."""

    graph: csr_matrix
    pictures: list[Picture]
    trust: list[float]


def _fit_separately(
    states: Float[np.ndarray, "row d_model"], n_neighbors: int, seeds: Sequence[int], min_dist: float
) -> _Separate:
    near = neighborhoods(states, n_neighbors)
    graph = neighbor_graph(states, near)
    pictures = [umap_layout(states, graph, seed, min_dist, _EPOCHS) for seed in seeds]
    return _Separate(graph, pictures, [near.trustworthiness(picture) for picture in pictures])


def _starts(layers: Iterable[Float[np.ndarray, "row d_model"]]) -> list[Picture]:
    """Two principal components of each layer, turned onto those of the layer before."""
    scores = [PCA(2, svd_solver="arpack", random_state=0).fit_transform(states) for states in layers]
    return list(accumulate([scores[0] * (_WIDTH / np.abs(scores[0]).max()), *scores[1:]], turned_onto))


def _displacements(by_seed: Sequence[Sequence[Picture]]) -> Float[np.ndarray, "seed layer"]:
    """From the layer before; NaN in the first."""
    return np.array([[np.nan, *starmap(mean_displacement, pairwise(pictures))] for pictures in by_seed])


@dataclass(frozen=True)
class _Layout:
    """umap-learn's layout of all layers at once.

    The class AlignedUMAP ends in the same function, but it takes neither neighbours nor a start, leaves out `min_dist`,
    and lets no layer before the last be drawn to the last (all in 0.5.12).
    """

    graphs: Sequence[csr_matrix]
    starts: Sequence[Picture]
    min_dist: float
    regularisation: float

    @cached_property
    def relations(self) -> Int[np.ndarray, "layer offset row"]:
        """Which row of the layer that lies `offset - _REACH` further is drawn to a row: its own; -1 for none."""
        n_layers, n_rows = len(self.starts), len(self.starts[0])
        found = np.full((n_layers, 2 * _REACH + 1, n_rows), -1, dtype=np.int32)
        found[1:, _REACH - 1] = found[:-1, _REACH + 1] = np.arange(n_rows)
        return found

    @cached_property
    def weights(self) -> Float[np.ndarray, "layer offset row"]:
        """Jaccard index of a row's neighbours in its layer and in the other."""
        from umap.aligned_umap import build_neighborhood_similarities

        pointers, indices = ([getattr(graph, name) for graph in self.graphs] for name in ("indptr", "indices"))
        return np.asarray(build_neighborhood_similarities(_typed(pointers), _typed(indices), self.relations))

    def drawn(self, seed: int) -> list[Picture]:
        """A picture of each layer."""
        from umap.layouts import optimize_layout_aligned_euclidean
        from umap.umap_ import find_ab_params, make_epochs_per_sample

        edges = [graph.tocoo() for graph in self.graphs]
        rhythm = _typed([make_epochs_per_sample(edge.data, _EPOCHS) for edge in edges])
        places = _typed([np.array(start, np.float32, order="C") for start in self.starts])  # copies: it moves them
        a, b = find_ab_params(1.0, self.min_dist)
        return [
            np.asarray(picture)
            for picture in optimize_layout_aligned_euclidean(
                places, places, _typed([edge.row for edge in edges]), _typed([edge.col for edge in edges]), _EPOCHS,
                rhythm, self.weights, self.relations, np.random.default_rng(seed).integers(2**31, size=3), a=a, b=b,
                lambda_=self.regularisation, parallel=False, move_other=True,
            )
        ]  # fmt: skip


def _typed(arrays: Sequence[np.ndarray]) -> Any:
    from numba.typed import List  # here, because importing it takes seconds

    return List(arrays)
