"""Every figure there is, and the tables that each is drawn from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure, the tables it is drawn from, and what it is called."""

    name: str
    caption: str
    tables: tuple[str, ...]
    draw: Callable[..., "Figure"]


def drawings() -> list[Drawing]:
    """In the order in which a reader wants them."""
    from .viz.accuracy import accuracy_figure, predicted_share_figure
    from .viz.alignment import plot_alignment, plot_alignment_delta
    from .viz.attribution import plot_attribution, plot_attribution_heads
    from .viz.grid import grid_figure
    from .viz.logit_lens import plot_logit_lens, plot_logit_lens_delta
    from .viz.projection import plot_projection
    from .viz.repair import plot_repair, plot_repair_delta
    from .viz.subspace import plot_subspace
    from .viz.training import training_figure
    from .viz.transplant import plot_transplant

    return [
        Drawing("grid", "Training sets and languages: difference from the base", ("grid_delta",), grid_figure),
        Drawing(
            "accuracy",
            "Accuracy by language, base to aligned",
            ("accuracy_delta", "accuracy", "predicted_share"),
            _accuracy_above_chance,
        ),
        Drawing(
            "auc",
            "AUC by language: discrimination apart from bias",
            ("accuracy_delta", "accuracy"),
            partial(accuracy_figure, quantity="auc"),
        ),
        Drawing("predicted_share", "How often each answer is given", ("predicted_share",), predicted_share_figure),
        Drawing("training", "Training and validation loss", ("training",), training_figure),
        Drawing("logit_lens", "Logit lens at the answer position", ("logit_lens",), plot_logit_lens),
        Drawing("logit_lens_delta", "Logit lens, aligned minus base", ("logit_lens_delta",), plot_logit_lens_delta),
        Drawing("alignment", "Alignment with English by layer", ("alignment",), plot_alignment),
        Drawing("alignment_delta", "Alignment, aligned minus base", ("alignment_delta",), plot_alignment_delta),
        Drawing("pca", "PCA of mean-pooled states", ("pca", "pca_variance"), partial(plot_projection, position="mean")),
        Drawing(
            "umap",
            "UMAP of mean-pooled states",
            ("umap", "umap_quality"),
            partial(plot_projection, kind="umap", position="mean"),
        ),
        Drawing("repair", "Repair patching: English states in other languages' runs", ("repair",), plot_repair),
        Drawing("repair_delta", "Repair patching, parallel minus same label", ("repair_delta",), plot_repair_delta),
        Drawing("transplant", "Transplants between base and adapter", ("transplant_delta",), plot_transplant),
        Drawing("subspace", "Language subspace removed, and steering to English", ("subspace_delta",), plot_subspace),
        Drawing("attribution", "Direct attribution of the answer's logit", ("attribution",), plot_attribution),
        Drawing(
            "attribution_heads",
            "Direct attribution to heads, mean over languages",
            ("attribution", "attribution_delta"),
            plot_attribution_heads,
        ),
    ]


def _accuracy_above_chance(delta: pd.DataFrame, accuracy: pd.DataFrame, shares: pd.DataFrame) -> "Figure":
    from .viz.accuracy import accuracy_figure

    return accuracy_figure(delta, accuracy, chance=1 / shares["label"].nunique())
