"""Which layers and heads speak for the right answer?"""

from functools import partial

import numpy as np

from ..interventions.attribution import contributions
from ..interventions.bridge import Bridged
from ..probes.attribution import attribution_tables, components, label_pairs
from ..progress import Progress, Steps
from .conditions import Conditions, Tables, filled
from .opening import open_base
from .parts import parts
from .questions import Questions, engine_of, identities, questions

N_IDS = 40  # questions per language, unless the settings have a limit


def attribution(conditions: Conditions, on_progress: Progress) -> Tables:
    """Attribute the logit of the right label minus the mean one of wrong labels, per language and condition.

    Raises:
        DataError: all questions have the same label.
    """
    s = conditions.settings
    base = open_base(conditions.base, s.device)
    asked = questions(conditions, base, N_IDS)
    pairs = label_pairs(asked.truth[0])  # labels are the same in all languages
    chosen = pairs.ravel()
    inputs = {"attribution": identities(conditions), "ids": chosen.tolist()}
    step, found = Steps(on_progress, len(conditions.caches) * len(conditions.languages)), {}
    with parts(s.scratch, inputs) as kept:
        for condition in conditions.caches:
            by_language = []
            with engine_of(base, conditions, condition) as engine:
                for i, code in enumerate(conditions.languages):
                    by_language.append(kept.get(f"{condition}-{code}", partial(_attributed, engine, asked, i, chosen)))
                    step()
            found[condition] = np.stack(by_language).reshape(len(by_language), -1, *pairs.shape).mean(-1)
        n_blocks = base.n_layers
        n_heads = (found["base"].shape[1] - 4) // n_blocks - 2
        values, deltas = attribution_tables(found, components(n_blocks, n_heads), conditions.languages, s.draws, s.seed)
    return filled({"attribution": values, "attribution_delta": deltas})


def _attributed(engine: Bridged, asked: Questions, language: int, chosen: np.ndarray) -> np.ndarray:
    """Contributions [component, id] at the first token that tells the labels apart, in the order of `components`."""
    labels = asked.labels[language]
    shared = next(n for n in range(min(map(len, labels))) if len({label[n] for label in labels}) > 1)
    tokens = [label[shared] for label in labels]
    rows = [(*asked.encoded[language][i].ids, *labels[0][:shared]) for i in chosen]
    right = [tokens[asked.truth[language, i]] for i in chosen]
    wrong = [[token for token in tokens if token != one] for one in right]
    found = contributions(engine, rows, right, wrong)
    summed = found.embedding + found.attention.sum(1) + found.mlp.sum(1) + found.bias
    columns = (found.embedding, found.attention, found.heads, found.mlp, found.bias, found.total - summed, found.total)
    return np.concatenate([column.reshape(len(rows), -1).numpy() for column in columns], axis=1).T
