"""How well languages agree in their states."""

import pandas as pd

from ..errors import UsageError
from ..probes.alignment import alignment_tables
from ..tasks import language
from .conditions import Conditions, Progress, Tables, filled


def alignment(conditions: Conditions, on_progress: Progress) -> Tables:
    """PC1 correlation and translation retrieval with the pivot language, by layer and position."""
    s = conditions.settings
    if s.pivot not in conditions.languages:
        raise UsageError(
            f"Pivot {s.pivot!r} ({language(s.pivot).name}) is not in the cache: {' '.join(conditions.languages)}."
        )
    if len(conditions.languages) < 2:
        raise UsageError(f"Alignment needs a language besides the pivot {s.pivot!r}; {conditions.base.path} has none.")
    todo = [(position, layer) for position in ("last", "mean") for layer in conditions.layers()]
    values, deltas = [], []
    for n, (position, layer) in enumerate(todo):
        value, delta = alignment_tables(
            conditions.states(position, layer), conditions.languages, layer, position, s.pivot, s.draws, s.seed
        )
        values.append(value)
        deltas.append(delta)
        on_progress(n + 1, len(todo))
    return filled(
        {"alignment": pd.concat(values, ignore_index=True), "alignment_delta": pd.concat(deltas, ignore_index=True)}
    )
