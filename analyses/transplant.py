"""Which layers carry what an adapter changed?"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch

from ..activations.capture import capture
from ..errors import UsageError
from ..interventions.adapter_blocks import adapter_in
from ..interventions.bridge import Bridged
from ..interventions.edits import last_tokens, replacing
from ..interventions.run import label_log_probabilities
from ..models import Model, adapted
from ..probes.transplant import Run, transplant_tables
from ..progress import Progress, Steps
from .conditions import Conditions, Tables
from .opening import adapter_of, open_base
from .parts import Parts, parts
from .questions import Questions, engine_of, identities, questions

N_IDS = 16  # questions per language, unless the settings have a limit
DEPTHS = 6  # into which the blocks are divided, unless the settings name the layers where groups end

INTO_BASE, INTO_ADAPTED = "state_into_base", "state_into_adapted"
UP_TO, ONLY = "adapter_up_to", "adapter_only"


def transplant(conditions: Conditions, on_progress: Progress) -> Tables:
    """Put states of each condition into the base and the reverse, and its adapter into some blocks only.

    Raises:
        UsageError: there is no condition besides the base.
    """
    s = conditions.settings
    others = [name for name in conditions.caches if name != "base"]
    if not others:
        raise UsageError(
            "A transplant needs an adapter's cache beside the base's: `probe transplant base.h5 other.h5`."
        )
    base = open_base(conditions.base, s.device)
    asked = questions(conditions, base, N_IDS)
    ends = _ends(conditions)
    inputs = {"transplant": identities(conditions), "ends": ends, "ids": asked.truth.shape[1]}
    step = Steps(on_progress, 3 * len(others) * len(conditions.languages))
    tables = []

    def in_each_language(kept: Parts, name: str, make: Callable[[int], np.ndarray]) -> np.ndarray:
        found = []
        for i, code in enumerate(conditions.languages):
            found.append(kept.get(f"{name}-{code}", partial(make, i)))
            step()
        return np.stack(found, axis=1)

    with parts(s.scratch, inputs) as kept:
        for condition in others:
            with adapted(base, adapter_of(conditions.caches[condition])) as model:
                blocks = in_each_language(kept, f"{condition}-blocks", partial(_in_blocks, model, asked, ends))
            states = {}
            for receiver, donor in (("base", condition), (condition, "base")):
                with engine_of(base, conditions, receiver) as engine:
                    make = partial(_with_states, engine, asked, _states(conditions, donor, ends), ends)
                    states[receiver] = in_each_language(kept, f"{donor}-into-{receiver}", make)
            runs, references = _runs(blocks, states["base"], states[condition], ends, condition)
            tables.append(
                transplant_tables(runs, references, asked.truth, conditions.languages, condition, s.draws, s.seed)
            )
    values, deltas = zip(*tables, strict=True)
    return {
        "transplant": pd.concat(values, ignore_index=True),
        "transplant_delta": pd.concat(deltas, ignore_index=True),
    }


def _ends(conditions: Conditions) -> list[int]:
    """The last layer of each group of blocks; the groups hold all blocks."""
    n = conditions.base.n_layers
    even = [round(end) for end in np.linspace(0, n, min(DEPTHS, n) + 1)]
    chosen = even if conditions.settings.layers is None else conditions.layers()
    return sorted({layer for layer in chosen if layer > 0} | {n})


def _groups(ends: Sequence[int]) -> list[tuple[int, int]]:
    """Where each group of blocks begins and ends, counted from 0, the end not in it."""
    return list(pairwise([0, *ends]))


def _in_blocks(model: Model, asked: Questions, ends: Sequence[int], language: int) -> np.ndarray:
    """Log-probabilities [way, id, label] with the adapter nowhere, up to each end, and in each group after the first.

    The first group alone is what is up to its end.
    """
    ways = [range(0), *(range(end) for end in ends), *(range(*group) for group in _groups(ends)[1:])]
    scores = []
    for blocks in ways:
        with adapter_in(model, blocks):
            scores.append(capture(model, asked.prompts[language], asked.words[language], keep=()).logprob.numpy())
    return np.stack(scores)


def _states(conditions: Conditions, donor: str, layers: Sequence[int]) -> list[torch.Tensor]:
    """States [language, id, d_model] of each layer at the answer position, from the donor's cache."""
    cache = conditions.caches[donor]
    return [torch.from_numpy(cache.states("last", layer)[conditions.rows]) for layer in layers]


def _with_states(
    engine: Bridged, asked: Questions, states: Sequence[torch.Tensor], layers: Sequence[int], language: int
) -> np.ndarray:
    """Log-probabilities [1 + layer, id, label]: without a transplant, and with the donor's state at each layer."""
    scores = []
    for i, prompt in enumerate(asked.encoded[language]):
        copies = [prompt.ids] * (1 + len(layers))
        edits = [
            replacing(layer, last_tokens(copies, [1 + n]), states[n][language, [i]]) for n, layer in enumerate(layers)
        ]
        scores.append(label_log_probabilities(engine, copies, asked.labels[language], edits).numpy())
    return np.stack(scores, axis=1)


def _runs(
    blocks: np.ndarray, into_base: np.ndarray, into_adapted: np.ndarray, ends: Sequence[int], condition: str
) -> tuple[list[Run], dict[str, dict[str, np.ndarray]]]:
    """What the probe asks for, from log-probabilities [way, language, id, label]; see the functions that made them."""
    n = len(ends)
    names = [f"{begin + 1}-{end}" for begin, end in _groups(ends)]
    only = [blocks[1], *blocks[1 + n :]]
    runs = [Run(UP_TO, end, f"1-{end}", blocks[1 + k]) for k, end in enumerate(ends)]
    runs += [Run(ONLY, end, names[k], only[k]) for k, end in enumerate(ends)]
    runs += [Run(INTO_BASE, end, "", into_base[1 + k]) for k, end in enumerate(ends)]
    runs += [Run(INTO_ADAPTED, end, "", into_adapted[1 + k]) for k, end in enumerate(ends)]
    captured = {"base": blocks[0], condition: blocks[n]}
    bridged = {"base": into_base[0], condition: into_adapted[0]}  # attention is computed in another way there
    return runs, {UP_TO: captured, ONLY: captured, INTO_BASE: bridged, INTO_ADAPTED: bridged}
