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
    probe: str  # that makes the tables; empty: a study does


def drawings() -> list[Drawing]:
    """In the order in which a reader wants them."""
    from .viz.accuracy import accuracy_figure
    from .viz.alignment import alignment_delta_figure, alignment_figure
    from .viz.alignment_agreement import agreement_figure, outcome_figure
    from .viz.alignment_matrix import alignment_matrix_figure
    from .viz.alignment_mean import alignment_mean_figure
    from .viz.attribution import attribution_figure, attribution_heads_figure
    from .viz.concept import concept_figure
    from .viz.grid import grid_figure
    from .viz.lens_curves import (
        lens_languages_figure,
        lens_summaries_delta_figure,
        lens_summaries_figure,
        tuned_lens_figure,
    )
    from .viz.linear import linear_delta_figure, linear_figure
    from .viz.logit_lens import logit_lens_delta_figure, logit_lens_figure
    from .viz.neurons import neurons_ablation_figure, neurons_figure
    from .viz.patchscopes import patchscopes_figure
    from .viz.predicted_share import predicted_share_figure
    from .viz.projection import projection_figure
    from .viz.projection_kinds import KINDS
    from .viz.repair import repair_delta_figure, repair_figure
    from .viz.subspace import subspace_figure
    from .viz.training import training_figure
    from .viz.transplant import transplant_figure

    return [
        Drawing("grid", "Training sets and languages: difference from the base", ("grid_delta",), grid_figure, ""),
        Drawing(
            "accuracy",
            "Accuracy by language, base to aligned",
            ("accuracy_delta", "accuracy", "predicted_share"),
            _accuracy_above_chance,
            "accuracy",
        ),
        Drawing(
            "auc",
            "AUC by language: discrimination apart from bias",
            ("accuracy_delta", "accuracy"),
            partial(accuracy_figure, quantity="auc"),
            "accuracy",
        ),
        Drawing(
            "predicted_share",
            "How often each answer is given",
            ("predicted_share",),
            predicted_share_figure,
            "accuracy",
        ),
        Drawing("training", "Training and validation loss", ("training",), training_figure, ""),
        Drawing("logit_lens", "Logit lens at the answer position", ("logit_lens",), logit_lens_figure, "logit-lens"),
        Drawing(
            "logit_lens_delta",
            "Logit lens, aligned minus base",
            ("logit_lens_delta",),
            logit_lens_delta_figure,
            "logit-lens",
        ),
        Drawing(
            "lens_summaries",
            "Rank of the right answer, token energy, distance to the end",
            ("logit_lens",),
            lens_summaries_figure,
            "logit-lens",
        ),
        Drawing(
            "lens_summaries_delta",
            "The same, aligned minus base",
            ("logit_lens_delta",),
            lens_summaries_delta_figure,
            "logit-lens",
        ),
        Drawing(
            "lens_languages",
            "Languages of the likeliest tokens",
            ("logit_lens_languages",),
            lens_languages_figure,
            "logit-lens",
        ),
        Drawing("tuned_lens", "Logit lens and tuned lens", ("tuned_lens",), tuned_lens_figure, "tuned-lens"),
        Drawing("alignment", "Alignment with English by layer", ("alignment",), alignment_figure, "alignment"),
        Drawing(
            "alignment_delta",
            "Alignment, aligned minus base",
            ("alignment_delta",),
            alignment_delta_figure,
            "alignment",
        ),
        Drawing(
            "alignment_mean",
            "Alignment over all pairs of languages",
            ("alignment_mean", "alignment_mean_delta"),
            alignment_mean_figure,
            "alignment",
        ),
        Drawing(
            "alignment_pairs_delta",
            "Alignment with all other languages, aligned minus base",
            ("alignment_pairs_delta",),
            partial(alignment_delta_figure, quantities=("retrieval", "cka", "centred_cosine_gap")),
            "alignment",
        ),
        Drawing(
            "alignment_matrix_last",
            "Retrieval between all languages, last token",
            ("alignment_matrix",),
            partial(alignment_matrix_figure, quantity="retrieval", position="last"),
            "alignment",
        ),
        Drawing(
            "alignment_matrix_mean",
            "Retrieval between all languages, mean over tokens",
            ("alignment_matrix",),
            partial(alignment_matrix_figure, quantity="retrieval", position="mean"),
            "alignment",
        ),
        Drawing(
            "alignment_agreement",
            "Which measures of alignment agree",
            ("alignment_agreement",),
            agreement_figure,
            "alignment",
        ),
        *(
            Drawing(
                f"alignment_{outcome}",
                f"Alignment and {name} over languages",
                ("alignment_agreement",),
                partial(outcome_figure, outcome=outcome),
                "alignment",
            )
            for outcome, name in (("auc", "AUC"), ("accuracy", "accuracy"))
        ),
        Drawing("linear_probe", "Linear probes by layer", ("linear_probe",), linear_figure, "linear"),
        Drawing(
            "linear_probe_delta",
            "Linear probes, aligned minus base",
            ("linear_probe_delta",),
            linear_delta_figure,
            "linear",
        ),
        *(
            Drawing(
                kind.points,
                f"{kind.title} of mean-pooled states",
                (kind.points, kind.quality),
                partial(projection_figure, kind=name, position="mean"),
                name,
            )
            for name, kind in KINDS.items()
        ),
        Drawing(
            "repair", "Repair patching: English states in other languages' runs", ("repair",), repair_figure, "repair"
        ),
        Drawing(
            "repair_delta",
            "Repair patching, parallel minus same label",
            ("repair_delta",),
            repair_delta_figure,
            "repair",
        ),
        Drawing(
            "transplant", "Transplants between base and adapter", ("transplant_delta",), transplant_figure, "transplant"
        ),
        Drawing("neurons", "Language neurons by layer", ("neurons_by_layer",), neurons_figure, "neurons"),
        Drawing(
            "neurons_ablation",
            "Bits per byte that texts cost without a language's neurons",
            ("neurons_ablation",),
            neurons_ablation_figure,
            "neurons",
        ),
        Drawing(
            "concept_patching",
            "Concept against language: what a patched translation prompt says",
            ("concept_patching", "concept_unpatched"),
            concept_figure,
            "concept",
        ),
        Drawing(
            "patchscopes",
            "Words read out of states by target prompts",
            ("patchscopes",),
            patchscopes_figure,
            "patchscopes",
        ),
        Drawing(
            "subspace",
            "Language subspace removed, and steering to English",
            ("subspace_delta",),
            subspace_figure,
            "subspace",
        ),
        Drawing(
            "attribution",
            "Direct attribution of the answer's logit",
            ("attribution",),
            attribution_figure,
            "attribution",
        ),
        Drawing(
            "attribution_heads",
            "Direct attribution to heads, mean over languages",
            ("attribution", "attribution_delta"),
            attribution_heads_figure,
            "attribution",
        ),
    ]


def _accuracy_above_chance(delta: pd.DataFrame, accuracy: pd.DataFrame, shares: pd.DataFrame) -> "Figure":
    from .viz.accuracy import accuracy_figure

    return accuracy_figure(delta, accuracy, chance=1 / shares["label"].nunique())
