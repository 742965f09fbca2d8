"""Right answers: accuracy, AUC, and how often each answer is given."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ..activations.store import Cache
from ..probes.accuracy import (
    Answers,
    accuracy_delta_table,
    accuracy_group_table,
    accuracy_table,
    label_prior,
    predicted_share_table,
)
from ..progress import Progress, Steps
from .conditions import Conditions, Tables

SCORINGS = {"full": "full", "paper": "prefix"}  # setting -> field of activations.layout.Scores


def accuracy(conditions: Conditions, on_progress: Progress) -> Tables:
    """Accuracy, AUC and predicted labels by language; paired differences; means over groups of languages."""
    s = conditions.settings
    answers = {name: read_answers(name, cache, s.scoring, s.limit) for name, cache in conditions.caches.items()}
    base, others = answers["base"], [name for name in answers if name != "base"]
    draws, seed = conditions.settings.draws, conditions.settings.seed
    marked = {name: conditions.trained(name) for name in others}
    marked["base"] = sorted({code for codes in marked.values() for code in codes or ()})

    step = Steps(on_progress, len(answers) + 2 * len(others))

    def concat(make: Callable[[str, list[str]], pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
        tables = []
        for name in names:
            table = make(name, marked[name] or [])
            if marked[name] is None and "trained" in table:
                table["trained"] = None
            tables.append(table)
            step()
        return pd.concat(tables, ignore_index=True)

    tables = {
        "accuracy": concat(lambda name, codes: accuracy_table([answers[name]], codes, draws, seed), list(answers)),
        "predicted_share": predicted_share_table(list(answers.values())),
    }
    if others:
        tables["accuracy_delta"] = concat(
            lambda name, codes: accuracy_delta_table(base, [answers[name]], codes, draws, seed), others
        )
        groups = concat(lambda name, codes: accuracy_group_table(base, [answers[name]], codes, draws, seed), others)
        unknown = [name for name in others if marked[name] is None]
        tables["accuracy_groups"] = groups[~groups["condition"].isin(unknown) | (groups["group"] == "all")]
    return tables


def read_answers(name: str, cache: Cache, scoring: str, limit: int | None = None) -> Answers:
    """All rows of a cache, whether or not other languages have their ids, with the prior of their language."""
    examples = cache.examples()
    if limit is not None:
        examples = examples.groupby("language", sort=False).head(limit)
    field = SCORINGS[scoring]
    spoken, blank = cache.content_free()
    priors = {
        code: label_prior(getattr(blank, field)[[language == code for language in spoken]])
        for code in dict.fromkeys(spoken)
    }
    return Answers(
        condition=name,
        labels=cache.labels,
        language=examples["language"].to_numpy(dtype=str),
        id=examples["id"].to_numpy(dtype=str),
        truth=np.array([cache.labels.index(label) for label in examples["label"]]),
        logprob=getattr(cache.scores(), field)[examples.index],
        prior=np.stack([priors[code] for code in examples["language"]]),
    )
