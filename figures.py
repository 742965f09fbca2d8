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
    from .viz.alignment_agreement import plot_alignment_agreement, plot_alignment_and_outcome
    from .viz.alignment_matrix import plot_alignment_matrix
    from .viz.alignment_mean import plot_alignment_mean
    from .viz.attribution import plot_attribution, plot_attribution_heads
    from .viz.concept import plot_concept
    from .viz.grid import grid_figure
    from .viz.lens_curves import plot_lens_languages, plot_lens_summaries, plot_lens_summaries_delta, plot_tuned_lens
    from .viz.linear import plot_linear, plot_linear_delta
    from .viz.logit_lens import plot_logit_lens, plot_logit_lens_delta
    from .viz.neurons import plot_neurons, plot_neurons_ablation
    from .viz.patchscopes import plot_patchscopes
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
        Drawing(
            "lens_summaries",
            "Rank of the right answer, token energy, distance to the end",
            ("logit_lens",),
            plot_lens_summaries,
        ),
        Drawing(
            "lens_summaries_delta", "The same, aligned minus base", ("logit_lens_delta",), plot_lens_summaries_delta
        ),
        Drawing("lens_languages", "Languages of the likeliest tokens", ("logit_lens_languages",), plot_lens_languages),
        Drawing("tuned_lens", "Logit lens and tuned lens", ("tuned_lens",), plot_tuned_lens),
        Drawing("alignment", "Alignment with English by layer", ("alignment",), plot_alignment),
        Drawing("alignment_delta", "Alignment, aligned minus base", ("alignment_delta",), plot_alignment_delta),
        Drawing(
            "alignment_mean",
            "Alignment over all pairs of languages",
            ("alignment_mean", "alignment_mean_delta"),
            plot_alignment_mean,
        ),
        Drawing(
            "alignment_pairs_delta",
            "Alignment with all other languages, aligned minus base",
            ("alignment_pairs_delta",),
            partial(plot_alignment_delta, quantities=("retrieval", "cka", "centred_cosine_gap")),
        ),
        Drawing(
            "alignment_matrix_last",
            "Retrieval between all languages, last token",
            ("alignment_matrix",),
            partial(plot_alignment_matrix, quantity="retrieval", position="last"),
        ),
        Drawing(
            "alignment_matrix_mean",
            "Retrieval between all languages, mean over tokens",
            ("alignment_matrix",),
            partial(plot_alignment_matrix, quantity="retrieval", position="mean"),
        ),
        Drawing(
            "alignment_agreement",
            "Which measures of alignment agree",
            ("alignment_agreement",),
            plot_alignment_agreement,
        ),
        Drawing(
            "alignment_auc", "Alignment and AUC over languages", ("alignment_agreement",), plot_alignment_and_outcome
        ),
        Drawing("linear_probe", "Linear probes by layer", ("linear_probe",), plot_linear),
        Drawing("linear_probe_delta", "Linear probes, aligned minus base", ("linear_probe_delta",), plot_linear_delta),
        Drawing("pca", "PCA of mean-pooled states", ("pca", "pca_variance"), partial(plot_projection, position="mean")),
        Drawing(
            "umap",
            "UMAP of mean-pooled states",
            ("umap", "umap_quality"),
            partial(plot_projection, kind="umap", position="mean"),
        ),
        Drawing(
            "aligned_umap",
            "UMAPs of mean-pooled states, aligned over layers",
            ("aligned_umap", "aligned_umap_quality"),
            partial(plot_projection, kind="aligned-umap", position="mean"),
        ),
        Drawing("repair", "Repair patching: English states in other languages' runs", ("repair",), plot_repair),
        Drawing("repair_delta", "Repair patching, parallel minus same label", ("repair_delta",), plot_repair_delta),
        Drawing("transplant", "Transplants between base and adapter", ("transplant_delta",), plot_transplant),
        Drawing("neurons", "Language neurons by layer", ("neurons_by_layer",), plot_neurons),
        Drawing(
            "neurons_ablation",
            "Bits per byte that texts cost without a language's neurons",
            ("neurons_ablation",),
            plot_neurons_ablation,
        ),
        Drawing(
            "concept_patching",
            "Concept against language: what a patched translation prompt says",
            ("concept_patching", "concept_unpatched"),
            plot_concept,
        ),
        Drawing("patchscopes", "Words read out of states by target prompts", ("patchscopes",), plot_patchscopes),
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
