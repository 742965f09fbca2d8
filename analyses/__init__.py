"""Each analysis once: which arrays of the caches a probe needs, and the tidy tables that come out.

Probes know arrays, not files; this is where caches meet them. `ANALYSES` is the list that the CLI and studies offer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..activations.store import Cache
from ..errors import UsageError, did_you_mean
from ..progress import Progress, silent
from .accuracy import accuracy
from .alignment import alignment
from .attribution import attribution
from .concept import concept
from .conditions import Conditions, Settings, Tables
from .linear import linear
from .logit_lens import logit_lens
from .neurons import neurons
from .patchscopes import patchscopes
from .projections import aligned_umap, pca, umap
from .repair import repair
from .subspace import subspace
from .transplant import transplant
from .tuned_lens import tuned_lens

__all__ = ["ANALYSES", "Analysis", "Conditions", "Settings", "Tables", "analyse"]


@dataclass(frozen=True)
class Analysis:
    """A probe as the command line and studies know it."""

    question: str  # that it answers, in a few words
    run: Callable[[Conditions, Progress], Tables]
    reads: tuple[str, ...] = ()  # positions whose residual stream it needs
    pivot: bool = False  # whether it compares a pivot language with others
    unit: str = "parts"  # that its progress counts


# name -> row
ANALYSES: dict[str, Analysis] = {
    "accuracy": Analysis("Are more answers right?", accuracy),
    "logit-lens": Analysis("Which words does each layer lean to?", logit_lens, ("last",)),
    "tuned-lens": Analysis("What does each layer already know?", tuned_lens, ("last",)),
    "pca": Analysis("Where do languages lie, in the directions of most variance?", pca, ("mean",), unit="layers"),
    "umap": Analysis("Which states are neighbours?", umap, ("mean",), unit="layers"),
    "aligned-umap": Analysis("How do neighbourhoods change from layer to layer?", aligned_umap, ("mean",)),
    "alignment": Analysis("Do translations have like states?", alignment, ("last", "mean"), pivot=True, unit="layers"),
    "linear": Analysis(
        "What can a linear classifier read, also across languages?", linear, ("last", "mean"), pivot=True, unit="layers"
    ),
    "repair": Analysis(
        "Does the parallel English state mend another language's answer?", repair, pivot=True, unit="languages"
    ),
    "transplant": Analysis("Which layers carry what the adapter changed?", transplant, ("last",), unit="languages"),
    "neurons": Analysis("Which neurons serve which languages, and what do languages lose without them?", neurons),
    "concept": Analysis("Do states carry a concept apart from its language?", concept, unit="languages"),
    "patchscopes": Analysis("Which word does the model read out of a word's state?", patchscopes, unit="languages"),
    "subspace": Analysis(
        "Do the directions of language carry answers and output?",
        subspace,
        ("last", "mean"),
        pivot=True,
        unit="languages",
    ),
    "attribution": Analysis("Which layers and heads speak for the right answer?", attribution, unit="languages"),
}


def analyse(
    name: str,
    caches: Mapping[str, Cache],
    settings: Settings | None = None,
    on_progress: Progress = silent,
) -> Tables:
    """Run one of `ANALYSES` on the caches of one experiment. Returns tidy tables by name.

    Args:
        caches: condition -> opened cache; the one called `base` is what others are compared with.

    Raises:
        UsageError: no such analysis, no base, or a layer or pivot that the caches do not have.
        CacheError: caches of different models, tasks or prompts, or without the positions that it reads.
    """
    if name not in ANALYSES:
        raise UsageError(f"Unknown probe {name!r}.{did_you_mean(name, ANALYSES)} Known: {', '.join(ANALYSES)}.")
    analysis, conditions = ANALYSES[name], Conditions(caches, settings or Settings())
    conditions.require(analysis.reads, analysis.pivot)
    return analysis.run(conditions, on_progress)
