"""Which word does the model read out of a word's state, and in which language?"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from ..interventions.bridge import Bridged
from ..interventions.edits import Places, replacing
from ..interventions.run import run
from ..probes.patchscopes import patchscopes_tables
from ..progress import Progress, Steps
from ..tasks import WordSet, load_words
from .conditions import Conditions, Tables, filled
from .opening import open_base
from .parts import parts
from .questions import engine_of, identities
from .word_prompts import beginning_probabilities, last_states, word_beginnings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

N_CONCEPTS = 24  # unless the settings have a limit
DEPTHS = 9  # layers that are read, spread from the first block to the last, unless the settings name some
ENGLISH, OWN = "english", "own"  # which word of the concept is looked for: in English, or in the state's own language
PLACE = "?"  # the token whose state is replaced

# name -> target prompt: what stands before the arrow is repeated, or said in English
PROMPTS = {
    "identity": "cat -> cat\n1135 -> 1135\nhello -> hello\n? ->",
    "translation": "Wasser -> water\nlibro -> book\nдерево -> tree\n月 -> moon\n? ->",
}


def patchscopes(conditions: Conditions, on_progress: Progress) -> Tables:
    """Read the states of words of every language of the caches, layer by layer, with the `PROMPTS`, per condition.

    The state is that of a word's last token when the model reads nothing but the word, and is put in at the layer that
    it comes from. The caches tell the models and the languages only.

    Raises:
        DataError: fewer than two concepts (the settings' limit).
    """
    s = conditions.settings
    words, layers = load_words(), conditions.layers(DEPTHS)
    base = open_base(conditions.base, s.device)
    concepts = _concepts(words, N_CONCEPTS if s.limit is None else s.limit, s.seed)
    inputs = {"patchscopes": identities(conditions), "layers": layers, "concepts": concepts, "prompts": PROMPTS}
    measured: dict[str, np.ndarray] = {}
    step = Steps(on_progress, len(conditions.caches) * len(conditions.languages))
    with parts(s.scratch, inputs) as kept:
        for condition in conditions.caches:
            found = []
            with engine_of(base, conditions, condition) as engine:
                for code in conditions.languages:
                    make = partial(_measured, engine, words, concepts, code, layers)
                    found.append(kept.get(f"{condition}-{code}", make))
                    step()
            measured[condition] = np.stack(found, axis=3)  # [word, prompt, layer, language, state, concept]
        tables = [_tables(conditions, measured, word, layers) for word in (ENGLISH, OWN)]
    values, deltas = (pd.concat(parts_, ignore_index=True) for parts_ in zip(*tables, strict=True))
    return filled({"patchscopes": values, "patchscopes_delta": deltas})


def _concepts(words: WordSet, n: int, seed: int) -> list[str]:
    """Up to n concepts, none of which a target prompt shows."""
    shown = {word for prompt in PROMPTS.values() for word in re.findall(r"\w+", prompt)}
    hidden = [one for one, by in words.accepted.items() if not any(shown & set(said) for said in by.values())]
    return random.Random(seed).sample(hidden, min(n, len(hidden)))


def _measured(
    engine: Bridged, words: WordSet, concepts: Sequence[str], code: str, layers: Sequence[int]
) -> Float[np.ndarray, "word prompt layer state concept"]:
    """Probability of the English and the own word of every concept, under every concept's state."""
    tokenizer = engine.model.tokenizer
    states = last_states(engine, [tokenizer(words.word(concept, code))["input_ids"] for concept in concepts])
    sets = _beginnings(tokenizer, words, concepts, code)
    found = []
    for prompt in PROMPTS.values():
        normed = read(engine, prompt, states, layers)
        said = beginning_probabilities(engine.model, normed, sets).numpy()
        found.append(said.reshape(len(layers), len(concepts), 2, len(concepts)))
    return np.moveaxis(np.stack(found), 3, 0)


def _beginnings(
    tokenizer: "PreTrainedTokenizerBase", words: WordSet, concepts: Sequence[str], code: str
) -> list[list[int]]:
    """Tokens that begin the English words of all concepts, then their own words; those that begin both are in none."""
    languages = ["en"] if code == "en" else ["en", code]
    pairs = [word_beginnings(tokenizer, [words.accepted[concept][one] for one in languages]) for concept in concepts]
    return [pair[0] for pair in pairs] + [pair[-1] for pair in pairs]


def read(
    engine: Bridged, prompt: str, states: Float[torch.Tensor, "state layer d_model"], layers: Sequence[int]
) -> Float[torch.Tensor, "row d_model"]:
    """Normed final states of a target prompt, one row per layer and state, with that state in its `PLACE`.

    Args:
        states: of all layers.
    """
    encoding = engine.model.tokenizer(prompt, return_offsets_mapping=True)
    at = prompt.index(PLACE)
    token = max(i for i, (low, high) in enumerate(encoding["offset_mapping"]) if low <= at < high)
    n = len(states)
    edits = [
        replacing(layer, Places(torch.arange(n) + i * n, torch.full((n,), token)), states[:, layer])
        for i, layer in enumerate(layers)
    ]
    return run(engine, [encoding["input_ids"]] * (n * len(layers)), edits).normed


def _tables(
    conditions: Conditions, measured: Mapping[str, np.ndarray], word: str, layers: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Own words for all languages, English ones for all but English, where they are one."""
    s, which = conditions.settings, (ENGLISH, OWN).index(word)
    languages = [code for code in conditions.languages if word == OWN or code != "en"]
    if not languages:
        return pd.DataFrame(), pd.DataFrame()
    rows = [conditions.languages.index(code) for code in languages]
    arrays = {condition: array[which][:, :, rows] for condition, array in measured.items()}
    return patchscopes_tables(arrays, languages, list(PROMPTS), layers, word, s.draws, s.seed)
