"""What a linear classifier reads off the states: language, label, and the label across languages."""

import numpy as np
import pandas as pd

from ..errors import DataError
from ..probes.linear import linear_probe_tables
from ..progress import Progress
from .conditions import Conditions, Tables, filled
from .threads import in_threads


def linear(conditions: Conditions, on_progress: Progress) -> Tables:
    """Accuracy of linear probes of language and label on held-out ids, by layer and position."""
    s = conditions.settings
    labels = _labels(conditions)
    places = [(position, layer) for position in ("last", "mean") for layer in conditions.layers()]

    def of(place: tuple[str, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
        position, layer = place
        states = conditions.states(position, layer)
        return linear_probe_tables(states, labels, conditions.languages, layer, position, s.pivot, s.draws, s.seed)

    values, deltas = zip(*in_threads(of, places, on_progress), strict=True)
    tables = {"linear_probe": values, "linear_probe_delta": deltas}
    return filled({name: pd.concat(layers, ignore_index=True) for name, layers in tables.items()})


def _labels(conditions: Conditions) -> np.ndarray:
    """The number of each id's label, which all its translations must share."""
    of_rows = conditions.examples["label"].to_numpy(dtype=str)[conditions.rows]
    unlike = (of_rows != of_rows[0]).any(axis=0)
    if unlike.any():
        raise DataError(
            f"{conditions.base.path}: id {conditions.ids[int(unlike.argmax())]!r} has another label in another "
            "language; translations must share their label, correct the data and cache again"
        )
    return np.unique(of_rows[0], return_inverse=True)[1]
