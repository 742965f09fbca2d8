"""Translators of a tuned lens, trained on the states of a cache."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from ..activations.layout import IDENTITY
from ..probes.tuned_lens import Translator, Tuning, ridge_translator, tune, words_that_matter
from ..progress import Progress
from ..unembedding import Unembedding
from .conditions import Conditions
from .lens_packs import BLOCK, read_states
from .threads import in_threads

TRAINED_ON = 1200  # states, more of which would cost time and gain little
VALIDATION = 0.15  # of the ids; translations of one id are on one side
LIKELY, SAMPLED = 4096, 4096  # words that are likely at the end, or in the lens; words of all others
LOOK = 64  # states whose whole distribution tells what is likely in the lens


def train_translators(
    conditions: Conditions,
    layers: Sequence[int],
    rows: Int[np.ndarray, "language id"],
    head: Unembedding,
    on_progress: Progress,
) -> dict[int, Translator]:
    """A translator for each layer, from the base's states of `rows` at the answer position."""
    cache, seed, tuning = conditions.base, conditions.settings.seed, Tuning()
    rows = _trained_on(rows)
    of_validation = np.arange(rows.size) % rows.shape[1] < max(1, round(VALIDATION * rows.shape[1]))
    validation = np.flatnonzero(of_validation)
    look = np.random.default_rng(seed).choice(rows.size, min(LOOK, rows.size), replace=False)
    final = final_states(conditions, rows)
    with torch.inference_mode():
        totals = torch.cat([head(part).float().logsumexp(1) for part in torch.split(final, BLOCK)])
        likely_at_the_end = head(final[look]).float().softmax(1).mean(0)

    def train(layer: int) -> Translator:
        (states,) = read_states(cache, [layer], rows, torch.float32)
        start = ridge_translator(states[~of_validation], final[~of_validation])
        with torch.inference_mode():
            likely = head(start.apply(states[look])).float().softmax(1).mean(0)
        tokens, weight = words_that_matter([likely_at_the_end, likely], LIKELY, SAMPLED, seed)
        some = head.restricted(tokens)
        with torch.no_grad():
            target = (some(final) - totals[:, None]).exp_().mul_(weight)
        return tune(start, states, target, lambda x: some(x) + weight.log(), validation, tuning, seed)

    return dict(zip(layers, in_threads(train, layers, on_progress), strict=True))


def final_states(conditions: Conditions, rows: Int[np.ndarray, "language id"]) -> Float[torch.Tensor, "state d_model"]:
    """The base's states after the last block, of those `rows` that are trained on."""
    return read_states(conditions.base, [conditions.base.n_layers], _trained_on(rows), torch.float32)[0]


def _trained_on(rows: Int[np.ndarray, "language id"]) -> Int[np.ndarray, "language id"]:
    return rows[:, : max(2, TRAINED_ON // len(rows))]


def training_record(
    conditions: Conditions, layers: Sequence[int], rows: Int[np.ndarray, "language id"]
) -> dict[str, Any]:
    """All that decides what `train_translators` returns: the base, its states, the choices; as JSON has it."""
    known, ids = conditions.base.attributes, conditions.examples["id"].to_numpy()
    record = {name: known[name] for name in ("model", *IDENTITY)} | {
        "maps": "x + x @ matrix + bias of states x at root mean square 1, to be read by the final norm",
        "position": "last",
        "layers": list(layers),
        "languages": conditions.languages,
        "ids": [str(i) for i in ids[_trained_on(rows)[0]]],
        "validation": VALIDATION,
        "words": [LIKELY, SAMPLED, LOOK],
        "tuning": asdict(Tuning()),
        "seed": conditions.settings.seed,
    }
    return dict(json.loads(json.dumps(record)))
