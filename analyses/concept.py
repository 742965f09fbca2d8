"""Do states carry a concept apart from the language it is said in?"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from ..interventions.bridge import Bridged
from ..interventions.edits import Edit, Places, replacing
from ..interventions.run import run
from ..models import Model
from ..probes.concept import Trio, patched_tables, trios, unpatched_tables
from ..progress import Progress, Steps
from ..tasks import WordSet, load_words
from .conditions import Conditions, Tables, filled
from .opening import open_base
from .parts import parts
from .questions import engine_of, identities
from .word_prompts import (
    EncodedWord,
    Pair,
    beginning_probabilities,
    encode_word_prompt,
    last_states,
    word_beginnings,
)

N_CONCEPTS = 24  # unless the settings have a limit
DEPTHS = 9  # layers that are patched, spread from the first block to the last, unless the settings name some
WORD, ANSWER = "word", "answer"
POSITIONS = (WORD, ANSWER)

# A prompt that asks for concept B, by the language it asks for. Small models know these pairs best.
TARGETS: dict[str, Pair] = {"zh": ("en", "zh"), "ja": ("en", "ja"), "en": ("ja", "en"), "de": ("en", "de")}
# Prompts that ask for concept A. A target takes those that have nothing of the language it asks for, so that its word
# for A is in none of them.
SOURCES: tuple[Pair, ...] = (("de", "en"), ("ja", "zh"), ("fr", "ja"), ("nl", "en"), ("it", "zh"), ("es", "ja"))

States = Mapping[Pair, Float[torch.Tensor, "trio position layer d_model"]]


def concept(conditions: Conditions, on_progress: Progress) -> Tables:
    """Patch states of one word-translation prompt, or their mean over languages, into another, per condition.

    Positions: `answer`, the last token, patched in one layer; `word`, the last token of the given word, patched in that
    layer and all above, as later tokens read it in all of them. The caches tell the models only.

    Raises:
        DataError: fewer than three concepts (the settings' limit).
    """
    s = conditions.settings
    words, layers = load_words(), conditions.layers(DEPTHS)
    base = open_base(conditions.base, s.device)
    drawn = trios(words.concepts, N_CONCEPTS if s.limit is None else s.limit, s.seed)
    inputs = {"concept": identities(conditions), "layers": layers, "concepts": len(drawn), "seed": s.seed}
    patched, unpatched = {}, {}
    step = Steps(on_progress, len(conditions.caches) * len(TARGETS))
    with parts(s.scratch, inputs) as kept:
        for condition in conditions.caches:
            found = []
            with engine_of(base, conditions, condition) as engine:
                states = {pair: _source_states(engine, words, pair, drawn, s.seed) for pair in SOURCES}
                for target in TARGETS:
                    measure = partial(_measured, engine, words, target, drawn, states, layers, s.seed)
                    found.append(kept.get(f"{condition}-{target}", measure))
                    step()
            both = np.stack(found)  # [target, trio, 1 + way, quantity]
            unpatched[condition] = both[:, :, 0]
            ways = both[:, :, 1:].reshape(*both.shape[:2], len(POSITIONS), 2, len(layers), both.shape[-1])
            patched[condition] = np.moveaxis(ways, (0, 1), (3, 4))
        values, deltas, gains = patched_tables(patched, list(TARGETS), POSITIONS, layers, s.draws, s.seed)
        plain, plain_deltas = unpatched_tables(unpatched, list(TARGETS), s.draws, s.seed)
    tables = {"patching": values, "patching_delta": deltas, "patching_gain": gains}
    tables |= {"unpatched": plain, "unpatched_delta": plain_deltas}
    return filled({f"concept_{name}": table for name, table in tables.items()})


def sources_of(target: str) -> list[Pair]:
    """The source prompts that a target takes, the single one first.

    The single one asks for another language than the target's prompt gives its word in: there, B's word stands already.
    """
    usable = [pair for pair in SOURCES if target not in pair]
    return sorted(usable, key=lambda pair: pair[1] == TARGETS[target][0])


def _source_states(
    engine: Bridged, words: WordSet, pair: Pair, drawn: Sequence[Trio], seed: int
) -> Float[torch.Tensor, "trio position layer d_model"]:
    """States of the source concepts' prompts, which show neither of the other two concepts."""
    found = []
    for trio in drawn:
        avoid = (trio.target, trio.other)
        prompt = encode_word_prompt(engine.model.tokenizer, words, pair, trio.source, avoid, seed)
        ends = (prompt.word + 1, len(prompt.ids))  # what follows a token does not change its states
        found.append(torch.cat([last_states(engine, [prompt.ids[:end]]) for end in ends]))
    return torch.stack(found)


def _measured(
    engine: Bridged,
    words: WordSet,
    target: str,
    drawn: Sequence[Trio],
    states: States,
    layers: Sequence[int],
    seed: int,
) -> Float[np.ndarray, "trio way quantity"]:
    """Probabilities after one target's prompts: unpatched, then by position, source (single, mean) and layer."""
    sources, tokenizer, found = sources_of(target), engine.model.tokenizer, []
    for i, trio in enumerate(drawn):
        avoid = (trio.source, trio.other)
        prompt = encode_word_prompt(tokenizer, words, TARGETS[target], trio.target, avoid, seed)
        each = torch.stack([states[pair][i] for pair in sources])
        normed = patched(engine, prompt, torch.stack([each[0], each.mean(dim=0)]), layers)
        found.append(_probabilities(engine.model, words, normed, trio, target, sources[0][1]))
    return np.stack(found)


def patched(
    engine: Bridged,
    prompt: EncodedWord,
    states: Float[torch.Tensor, "source position layer d_model"],
    layers: Sequence[int],
) -> Float[torch.Tensor, "way d_model"]:
    """Normed final states of the prompt: unpatched, then patched by position, source and layer.

    Args:
        states: of all layers.
    """
    ways = [(source, layer) for source in range(len(states)) for layer in layers]
    found = []
    for p, position in enumerate(POSITIONS):
        token = prompt.word if position == WORD else len(prompt.ids) - 1
        first = 1 if position == WORD else 0  # one row stays as it is
        edits = []
        for layer in range(min(layers), states.shape[2]):
            here = [n for n, (_, start) in enumerate(ways) if start == layer or (position == WORD and start < layer)]
            edits.append(_edit(layer, here, first, token, states[[ways[n][0] for n in here], p, layer]))
        found.append(run(engine, [prompt.ids] * (first + len(ways)), edits).normed)
    return torch.cat(found)


def _edit(layer: int, ways: Sequence[int], first: int, token: int, states: torch.Tensor) -> Edit:
    places = Places(torch.tensor(ways, dtype=torch.long) + first, torch.full((len(ways),), token))
    return replacing(layer, places, states)


def _probabilities(
    model: Model, words: WordSet, normed: torch.Tensor, trio: Trio, target: str, source: str
) -> Float[np.ndarray, "way quantity"]:
    """In the order of `probes.concept.QUANTITIES`."""
    asked = [(trio.source, target), (trio.target, target), (trio.source, source), (trio.target, source)]
    asked.append((trio.other, target))
    sets = word_beginnings(model.tokenizer, [words.accepted[name][code] for name, code in asked])
    return beginning_probabilities(model, normed, sets).numpy()
