"""Prompts of the word set as token rows, and how likely a model is to answer with a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from ..activations.tokens import label_beginnings
from ..interventions.bridge import Bridged
from ..interventions.run import hook_name, run
from ..memory import memory_for
from ..models import Model
from ..probes.concept import exclusive
from ..tasks import WordSet, word_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOTS = 4

Pair = tuple[str, str]  # from a language into another


@dataclass(frozen=True)
class EncodedWord:
    """A prompt that asks for a word: the given word's last token is `ids[word]`, the answer position the last one."""

    ids: tuple[int, ...]
    word: int


def encode_word_prompt(
    tokenizer: "PreTrainedTokenizerBase", words: WordSet, pair: Pair, concept: str, avoid: Sequence[str], seed: int
) -> EncodedWord:
    """A translation prompt as tokens, one BOS where the tokenizer has one. See `tasks.word_prompt`."""
    text = word_prompt(words, *pair, concept, SHOTS, seed, avoid)
    given = words.word(concept, pair[0])
    end = text.rindex(f'"{given}"') + 1 + len(given)
    encoding = tokenizer(text, return_offsets_mapping=True)
    word = max(i for i, (low, high) in enumerate(encoding["offset_mapping"]) if low < end and high > low)
    return EncodedWord(tuple(encoding["input_ids"]), word)


def last_states(engine: Bridged, rows: Sequence[Sequence[int]]) -> Float[torch.Tensor, "row layer d_model"]:
    """The residual stream at the last token of each row, in all layers."""
    names = [hook_name(layer) for layer in range(engine.model.n_layers + 1)]
    read = run(engine, rows, read=names).read
    return torch.stack([read[name] for name in names], dim=1)


def word_beginnings(tokenizer: "PreTrainedTokenizerBase", accepted: Sequence[Sequence[str]]) -> list[list[int]]:
    """For each entry of accepted words, the tokens that begin one of them and no word of another entry."""
    sets = [[token for tokens in label_beginnings(tokenizer, words) for token in tokens] for words in accepted]
    return exclusive(sets)


def beginning_probabilities(
    model: Model, normed: Float[torch.Tensor, "row d_model"], sets: Sequence[Sequence[int]]
) -> Float[torch.Tensor, "row set"]:
    """Probability that the next token is in each of the sets, from states after the final norm; on the CPU."""
    flat = torch.tensor([token for tokens in sets for token in tokens], device=normed.device, dtype=torch.long)
    owner = torch.tensor([i for i, tokens in enumerate(sets) for _ in tokens], dtype=torch.long)
    rows = torch.arange(len(normed), device=normed.device).repeat_interleave(len(flat))
    with memory_for(f"the scores of {len(normed)} states"):
        found = model.token_log_probabilities(normed, rows, flat.repeat(len(normed))).exp().cpu()
    sums = torch.zeros(len(normed), len(sets))
    return sums.index_add_(1, owner, found.view(len(normed), len(flat)))
