"""What edits of the residual stream do, beside the same run without them and beside random edits of the same size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from .answer_estimates import with_mean
from .paired_tables import ALL, BASE, records
from .statistics import (
    Estimate,
    bootstrap_weights,
    difference,
    holm_but_last,
    mean_estimate,
    paired_delta,
    percentile_interval,
)

RANDOM = " random"  # the control of an edit is called so: `steer random`
_VALUES = ("value", "ci_low", "ci_high")
_DELTAS = ("reference", "value", "delta", "ci_low", "ci_high", "p_value", "p_holm")
_CHANGES = ("base", "aligned", "delta", "ci_low", "ci_high", "p_value", "p_holm")

Measured = Mapping[str, Estimate]  # quantity -> estimate of every language and, last, of their mean


@dataclass(frozen=True)
class Edited:
    """What was measured with one edit; `plain` is the same condition and position without any."""

    condition: str
    position: str
    layer: int
    edit: str
    measured: Measured
    plain: Measured


def share_estimates(said: Mapping[str, Bool[np.ndarray, "language id"]], draws: int, seed: int) -> dict[str, Estimate]:
    """Share of the ids of which something is true, by language and in mean; paired as `answer_estimates` are."""
    return {
        name: with_mean(mean_estimate(found.astype(np.float64), bootstrap_weights(found.shape[1], draws, seed)))
        for name, found in said.items()
    }


def steering_tables(
    runs: Sequence[Edited], languages: Sequence[str], n_ids: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Every run, its difference from no edit and from the random edit, and how its effect differs from the base's.

    Returns:
        values: language, condition, position, layer, edit, quantity, value, ci_low, ci_high.
        deltas: ..., edit, against (`none` or `random`), quantity, reference, value, delta, ci_low, ci_high, p_value,
            p_holm.
        changes: ..., edit, quantity, base, aligned (both effects: edited - none), delta, ci_low, ci_high, p_value,
            p_holm. Empty for the base alone.

    Bootstrap over parallel ids, Holm over languages; the language `all` is their mean and not among them.
    """
    rows = [*languages, ALL]
    found = {(run.condition, run.position, run.layer, run.edit): run for run in runs}
    values: list[dict[str, object]] = []
    deltas: list[dict[str, object]] = []
    changes: list[dict[str, object]] = []
    for (condition, position, layer, edit), run in found.items():
        where: dict[str, object] = {"condition": condition, "position": position, "layer": layer, "edit": edit}
        random = found.get((condition, position, layer, f"{edit}{RANDOM}"))
        base = found.get((BASE, position, layer, edit))
        for quantity, estimate in run.measured.items():
            low, high = percentile_interval(estimate.samples)
            values += records(rows, where | {"quantity": quantity}, _VALUES, (estimate.value, low, high))
            references = {"none": run.plain} | ({"random": random.measured} if random else {})
            for against, reference in references.items():
                numbers = _paired(reference[quantity], estimate, n_ids)
                deltas += records(rows, where | {"against": against, "quantity": quantity}, _DELTAS, numbers)
            if base and condition != BASE:
                numbers = _paired(_effect(base, quantity), _effect(run, quantity), n_ids)
                changes += records(rows, where | {"quantity": quantity}, _CHANGES, numbers)
    return pd.DataFrame(values), pd.DataFrame(deltas), pd.DataFrame(changes)


def _effect(run: Edited, quantity: str) -> Estimate:
    plain, edited = run.plain[quantity], run.measured[quantity]
    return Estimate(difference(plain.value, edited.value), difference(plain.samples, edited.samples))


def _paired(reference: Estimate, estimate: Estimate, n_ids: int) -> tuple[Float[np.ndarray, "row"], ...]:
    d = paired_delta(reference, estimate, n_ids)
    adjusted = holm_but_last(d.p_value)
    return d.base, d.aligned, d.delta, d.ci_low, d.ci_high, d.p_value, adjusted
