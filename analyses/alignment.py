"""How well languages agree in their states: every measure, for every pair of languages, by layer and position."""

from collections import defaultdict

import numpy as np
import pandas as pd

from ..probes.accuracy import estimates
from ..probes.alignment import matrix_table, mean_tables, pair_tables, pivot_tables
from ..probes.alignment_agreement import agreement_table
from ..probes.alignment_measures import measure
from ..probes.statistics import holm
from ..progress import Progress
from .accuracy import read_answers
from .conditions import Conditions, Tables, filled
from .threads import in_threads

OUTCOMES = ("accuracy", "auc")
LANGUAGE_DRAWS = 1000  # of languages, for correlations over them: their intervals are wide whatever the draws
FEWEST_LANGUAGES = 3  # for a rank correlation


def alignment(conditions: Conditions, on_progress: Progress) -> Tables:
    """Alignment with the pivot, with all other languages, over all pairs; and which measures agree with one another."""
    s = conditions.settings
    languages = conditions.languages
    places = [(position, layer) for position in ("last", "mean") for layer in conditions.layers()]
    items, outcomes = _items(conditions), _outcomes(conditions)

    def of(place: tuple[str, int]) -> Tables:
        position, layer = place
        where: dict[str, int | str] = {"layer": layer, "position": position}
        measured = measure(conditions.states(position, layer), languages, items)
        found = {"alignment_matrix": matrix_table(measured, languages, where)}
        for name, (values, deltas) in {
            "alignment": pivot_tables(measured, languages, where, s.pivot, s.draws, s.seed),
            "alignment_pairs": pair_tables(measured, languages, where, s.draws, s.seed),
            "alignment_mean": mean_tables(measured, where, s.draws, s.seed),
        }.items():
            found |= {name: values, f"{name}_delta": deltas}
        if len(languages) >= FEWEST_LANGUAGES:
            found["alignment_agreement"] = agreement_table(measured, outcomes, where, LANGUAGE_DRAWS, s.seed)
        return found

    by_place = in_threads(of, places, on_progress)
    tables = {name: pd.concat([tables[name] for tables in by_place], ignore_index=True) for name in by_place[0]}
    tables["alignment_mean_delta"] = _holm_over_layers(tables["alignment_mean_delta"])
    return filled(tables)


def _holm_over_layers(deltas: pd.DataFrame) -> pd.DataFrame:
    """Overall differences are one of each layer, and so is their family of tests."""
    families = deltas.groupby(["condition", "position", "quantity"])["p_value"]
    return deltas.assign(p_holm=families.transform(lambda p: holm(p.to_numpy(dtype=float))))


def _items(conditions: Conditions) -> list[list[int]]:
    """Ids that share a premise: questions of several lines of which all but the last are the same in the pivot."""
    rows = conditions.rows[conditions.languages.index(conditions.settings.pivot)]
    premises = conditions.examples["text"].iloc[rows].str.rpartition("\n")[0]
    sharing = defaultdict(list)
    for number, premise in enumerate(premises):
        if premise:
            sharing[premise].append(number)
    return [item for item in sharing.values() if len(item) > 1]


def _outcomes(conditions: Conditions) -> dict[str, dict[str, np.ndarray]]:
    """Accuracy and AUC of every language in every condition."""
    s = conditions.settings
    found = {}
    for name, cache in conditions.caches.items():
        answers = read_answers(name, cache, s.scoring, s.limit)
        at = [answers.languages.index(code) for code in conditions.languages]
        values = estimates(answers, draws=1, seed=s.seed)
        found[name] = {outcome: values[outcome].value[at] for outcome in OUTCOMES}
    return found
