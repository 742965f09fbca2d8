"""Translators of a tuned lens, trained on the states of a cache."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int

from ..activations.layout import IDENTITY
from ..models.unembedding import Unembedding
from ..probes.tuned_lens import Translator, Tuning, ridge_translator, tune, words_that_matter
from ..progress import Progress
from .conditions import Conditions
from .lens_packs import BLOCK, read_states
from .threads import in_threads

TRAINED_ON = 1200  # states at the answer position, more of which would cost time and gain little
TRAINED_ON_TOKENS = 4800  # states of all positions, which are less alike
VALIDATION = 0.15  # of the ids; translations of one id are on one side
LIKELY, SAMPLED = 4096, 4096  # words that are likely at the end, or in the lens; words of all others
LOOK = 64  # states whose whole distribution tells what is likely in the lens


@dataclass(frozen=True)
class Sample:
    """The states of the base that translators are trained on."""

    position: str  # of the cache: `all` where it has been kept, else `last`
    rows: Int[np.ndarray, " state"]  # of the cache at that position
    ids: Int[np.ndarray, " state"]  # number of the id that a state is of

    @classmethod
    def of(cls, conditions: Conditions, rows: Int[np.ndarray, "language id"]) -> Self:
        """Of the questions in `rows`: tokens by chance, or the answer positions of the first ids."""
        if "all" not in conditions.base.positions:
            some = rows[:, : max(2, TRAINED_ON // len(rows))]
            return cls("last", some.ravel(), np.tile(np.arange(some.shape[1]), len(some)))
        ends = conditions.examples["n_kept"].to_numpy().cumsum()
        begins = np.concatenate([[0], ends[:-1]])
        tokens = np.concatenate([np.arange(begins[row], ends[row]) for row in rows.ravel()])
        lengths = (ends - begins)[rows.ravel()]
        ids = np.tile(np.arange(rows.shape[1]), len(rows)).repeat(lengths)
        rng = np.random.default_rng(conditions.settings.seed)
        chosen = np.sort(rng.choice(len(tokens), min(TRAINED_ON_TOKENS, len(tokens)), replace=False))
        return cls("all", tokens[chosen], ids[chosen])

    def states(self, conditions: Conditions, layer: int) -> Float[torch.Tensor, "state d_model"]:
        return read_states(conditions.base, [layer], self.rows, torch.float32, self.position)[0]


def train_translators(
    conditions: Conditions,
    layers: Sequence[int],
    rows: Int[np.ndarray, "language id"],
    head: Unembedding,
    on_progress: Progress,
) -> dict[int, Translator]:
    """A translator for each layer, from the base's states of the questions in `rows`, see `Sample`."""
    seed, tuning = conditions.settings.seed, Tuning()
    sample = Sample.of(conditions, rows)
    of_validation = sample.ids < max(1, round(VALIDATION * (sample.ids.max() + 1)))
    validation = np.flatnonzero(of_validation)
    look = np.random.default_rng(seed).choice(len(sample.rows), min(LOOK, len(sample.rows)), replace=False)
    final = sample.states(conditions, conditions.base.n_layers)
    with torch.inference_mode():
        totals = torch.cat([head(part).float().logsumexp(1) for part in torch.split(final, BLOCK)])
        likely_at_the_end = head(final[look]).float().softmax(1).mean(0)

    def train(layer: int) -> Translator:
        states = sample.states(conditions, layer)
        start = ridge_translator(states[~of_validation], final[~of_validation])
        with torch.inference_mode():
            likely = head(start.apply(states[look])).float().softmax(1).mean(0)
        tokens, weight = words_that_matter([likely_at_the_end, likely], LIKELY, SAMPLED, seed)
        some = head.restricted(tokens)
        with torch.no_grad():
            target = (some(final) - totals[:, None]).exp_().mul_(weight)
        return tune(start, states, target, lambda x: some(x) + weight.log(), validation, tuning, seed)

    return dict(zip(layers, in_threads(train, layers, on_progress), strict=True))


def training_record(
    conditions: Conditions, layers: Sequence[int], rows: Int[np.ndarray, "language id"]
) -> dict[str, Any]:
    """All that decides what `train_translators` returns: the base, its states, the choices; as JSON has it."""
    known, sample = conditions.base.attributes, Sample.of(conditions, rows)
    ids = conditions.examples["id"].to_numpy()[rows[0, : sample.ids.max() + 1]]
    record = {name: known[name] for name in ("model", *IDENTITY)} | {
        "maps": "x + x @ matrix + bias of states x at root mean square 1, to be read by the final norm",
        "position": sample.position,
        "states": len(sample.rows),
        "layers": list(layers),
        "languages": conditions.languages,
        "ids": [str(i) for i in ids],
        "validation": VALIDATION,
        "words": [LIKELY, SAMPLED, LOOK],
        "tuning": asdict(Tuning()),
        "seed": conditions.settings.seed,
    }
    return dict(json.loads(json.dumps(record)))
