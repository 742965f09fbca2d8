"""Does the parallel English state mend another language's answer?"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from ..activations.tokens import EncodedPrompt
from ..interventions.bridge import Bridged
from ..interventions.edits import last_tokens, replacing
from ..interventions.run import hook_name, label_log_probabilities, run
from ..probes.repair import donors, repair_changes, repair_tables
from ..progress import Progress, Steps
from .conditions import Conditions, Tables, filled
from .opening import open_base
from .parts import parts
from .questions import Questions, engine_of, identities, questions

N_IDS = 16  # questions per language, unless the settings have a limit
DEPTHS = 6  # layers that are patched, spread from the first block to the last, unless the settings name some
# name -> number of a prompt's tokens up to and with the patched one
POSITIONS: dict[str, Callable[[EncodedPrompt], int]] = {
    "last": lambda prompt: len(prompt.ids),
    "question": lambda prompt: prompt.end,
}


def repair(conditions: Conditions, on_progress: Progress) -> Tables:
    """Patch the pivot's states into every other language's runs, layer by layer, at two positions, per condition.

    Positions: `last` (the answer position) and `question` (the question's last token).

    Raises:
        DataError: too few questions, see `probes.repair.donors`.
    """
    s = conditions.settings
    layers = conditions.layers(DEPTHS)
    base = open_base(conditions.base, s.device)
    asked = questions(conditions, base, N_IDS)
    pivot = conditions.languages.index(s.pivot)
    others = [i for i in range(len(conditions.languages)) if i != pivot]
    sources = donors(asked.truth[pivot], s.seed)
    ids = asked.truth.shape[1]
    inputs = {"repair": identities(conditions), "layers": layers, "ids": ids, "seed": s.seed, "from": s.pivot}
    scores: dict[str, np.ndarray] = {}
    step = Steps(on_progress, len(conditions.caches) * len(others))
    with parts(s.scratch, inputs) as kept:
        for condition in conditions.caches:
            found = []
            with engine_of(base, conditions, condition) as engine:
                states = {name: _states(engine, asked.encoded[pivot], name, layers) for name in POSITIONS}
                for i in others:
                    patched = partial(_patched, engine, asked, i, states, sources, layers)
                    found.append(kept.get(f"{condition}-{conditions.languages[i]}", patched))
                    step()
            scores[condition] = np.stack(found, axis=2)
        tables = _tables(conditions, scores, asked.truth[others], list(sources), layers)
    return filled(tables)


def _states(
    engine: Bridged, encoded: Sequence[EncodedPrompt], position: str, layers: Sequence[int]
) -> dict[int, torch.Tensor]:
    """The states [id, d_model] of each layer at a position: what follows it cannot change them."""
    rows = [prompt.ids[: POSITIONS[position](prompt)] for prompt in encoded]
    read = run(engine, rows, read=[hook_name(layer) for layer in layers]).read
    return {layer: read[hook_name(layer)] for layer in layers}


def _patched(
    engine: Bridged,
    asked: Questions,
    language: int,
    states: Mapping[str, Mapping[int, torch.Tensor]],
    sources: Mapping[str, np.ndarray],
    layers: Sequence[int],
) -> np.ndarray:
    """Log-probabilities [position, 1 + source x layer, id, label]; the first of the second axis without a patch.

    All patches of a prompt and position are rows of one call, which runs what comes before that position once.
    """
    ways = [(source, layer) for source in sources for layer in layers]
    scores = np.zeros((len(POSITIONS), 1 + len(ways), len(asked.encoded[language]), len(asked.labels[language])))
    for i, prompt in enumerate(asked.encoded[language]):
        copies = [prompt.ids] * (1 + len(ways))
        # The earliest position first: what it has run serves the later one.
        for p, position in sorted(enumerate(POSITIONS), key=lambda one: POSITIONS[one[1]](prompt)):
            ends = [prompt.ids[: POSITIONS[position](prompt)]] * len(copies)
            edits = [
                replacing(layer, last_tokens(ends, [n + 1]), states[position][layer][[int(sources[source][i])]])
                for n, (source, layer) in enumerate(ways)
            ]
            scores[p, :, i] = label_log_probabilities(engine, copies, asked.labels[language], edits).numpy()
    return scores


def _tables(
    conditions: Conditions,
    scores: Mapping[str, np.ndarray],
    truth: np.ndarray,
    sources: Sequence[str],
    layers: Sequence[int],
) -> Tables:
    """From scores [position, way, language, id, label] of each condition."""
    s = conditions.settings
    others = [code for code in conditions.languages if code != s.pivot]
    found: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    changes: list[pd.DataFrame] = []
    for p, position in enumerate(POSITIONS):
        plain = {condition: of[p, 0] for condition, of in scores.items()}
        patched = {
            condition: dict(zip(sources, of[p, 1:].reshape(len(sources), len(layers), *of.shape[2:]), strict=True))
            for condition, of in scores.items()
        }
        for condition in scores:
            here = {"condition": condition, "position": position}
            one = (plain[condition], patched[condition], truth, others, layers, here, s.draws, s.seed)
            found.append(repair_tables(*one))
        changes.append(repair_changes(plain, patched, truth, others, layers, {"position": position}, s.draws, s.seed))
    values, deltas = (pd.concat(column, ignore_index=True) for column in zip(*found, strict=True))
    return {"repair": values, "repair_delta": deltas, "repair_change": pd.concat(changes, ignore_index=True)}
