"""Translators of a tuned lens, trained on the states of a cache; and how they are kept."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from ..files import write_whole
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


def save_translators(
    translators: Mapping[int, Translator], conditions: Conditions, rows: Int[np.ndarray, "language id"], folder: Path
) -> None:
    """`tuned_lens.safetensors` with `matrix.LAYER` and `bias.LAYER`, and beside it what they were trained on."""
    from safetensors.torch import save

    tensors = {f"matrix.{layer}": of.matrix for layer, of in translators.items()}
    tensors |= {f"bias.{layer}": of.bias for layer, of in translators.items()}
    known = conditions.base.attributes
    record = {name: known[name] for name in ("model", "model_sha256", "prompts_sha256", "task", "shots")}
    record |= {
        "position": "last",
        "layers": list(translators),
        "ids": [str(i) for i in conditions.examples["id"].to_numpy()[_trained_on(rows)[0]]],
        "maps": "x + x @ matrix + bias of states x at root mean square 1, to be read by the final norm",
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "tuned_lens.safetensors", save(tensors))
    write_whole(folder / "tuned_lens.json", json.dumps(record, indent=2).encode())
