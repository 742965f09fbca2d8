"""Transplants between a base and its adapter: which layers carry the difference in the answers?

A run is the base (or the adapted model) with something of the other one put in: a state at the answer position (causal
mediation, Vig et al. 2020, arXiv 2004.12265), or the adapter's changes to some blocks. If a gain is all there with the
upper layers' part alone, the lower layers did not carry it; where a state of the base put into the adapted model undoes
the gain, what made it lies below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ..errors import DataError
from .answer_estimates import answer_estimates
from .paired_tables import ALL, records
from .statistics import holm_but_last, paired_delta, percentile_interval

_VALUES = ("value", "ci_low", "ci_high")
_DELTAS = ("reference", "value", "delta", "ci_low", "ci_high", "p_value", "p_holm")


@dataclass(frozen=True)
class Run:
    """Answers of a model with something of the other in it, at one depth.

    layer: layers up to here have it; for states, the layer where they were replaced.
    blocks: which blocks (counted from 1) have the adapter, as `4-6`; empty for states.
    """

    kind: str
    layer: int
    blocks: str
    logprob: Float[np.ndarray, "language id label"]


def transplant_tables(
    runs: Sequence[Run],
    references: Mapping[str, Mapping[str, Float[np.ndarray, "language id label"]]],
    truth: Int[np.ndarray, "language id"],
    languages: Sequence[str],
    condition: str,
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy, AUC (both in [0, 1]) and mean log odds of the right label (nats) of every run, and against both models.

    Args:
        references: kind -> name of a model without transplant (`base`, and the condition's) -> its log-probabilities.

    Returns:
        values: language, condition, kind, layer, blocks, quantity, value, ci_low, ci_high.
        deltas: language, condition, kind, layer, blocks, against, quantity, reference, value, delta, ci_low, ci_high,
            p_value, p_holm. Bootstrap over parallel ids; Holm over languages. The language `all` is their mean.

    Raises:
        DataError: there is no run, or one without references.
    """
    if not runs or any(run.kind not in references for run in runs):
        raise DataError(f"transplant: {len(runs)} runs, references for {list(references)}; every kind needs its own")
    rows = [*languages, ALL]
    against = {
        kind: {name: answer_estimates(logprob, truth, languages, draws, seed) for name, logprob in models.items()}
        for kind, models in references.items()
    }
    values: list[dict[str, object]] = []
    deltas: list[dict[str, object]] = []
    for run in runs:
        own = answer_estimates(run.logprob, truth, languages, draws, seed)
        where: dict[str, object] = {"condition": condition, "kind": run.kind, "layer": run.layer, "blocks": run.blocks}
        for quantity, estimate in own.items():
            low, high = percentile_interval(estimate.samples)
            values += records(rows, where | {"quantity": quantity}, _VALUES, (estimate.value, low, high))
            for name, reference in against[run.kind].items():
                d = paired_delta(reference[quantity], estimate, truth.shape[1])
                adjusted = holm_but_last(d.p_value)
                numbers = (d.base, d.aligned, d.delta, d.ci_low, d.ci_high, d.p_value, adjusted)
                deltas += records(rows, where | {"against": name, "quantity": quantity}, _DELTAS, numbers)
    return pd.DataFrame(values), pd.DataFrame(deltas)
