"""How many bits a model needs for running text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from ..errors import DataError
from ..memory import halving
from ..models import Model
from .neurons import TOKEN_BUDGET, Ids, batches

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_TOKENS = 512  # of a text; what follows is left out


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as token rows, and how many UTF-8 bytes the tokens behind the first one of each stand for."""

    rows: list[tuple[int, ...]]
    n_bytes: Float[np.ndarray, "row"]


def encode_texts(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], max_tokens: int = MAX_TOKENS
) -> EncodedTexts:
    """Tokenise texts, one BOS each where the tokenizer has one; at most `max_tokens` of each.

    Raises:
        DataError: a text has no second token, so that nothing of it can be predicted.
    """
    encoding = tokenizer(list(texts), return_offsets_mapping=True)
    rows, n_bytes = [], []
    for text, ids, offsets in zip(texts, encoding["input_ids"], encoding["offset_mapping"], strict=True):
        predicted = offsets[1:max_tokens]
        if not predicted:
            raise DataError(f"Text {text!r} is too short: expected at least two tokens, BOS counted. Leave it out.")
        rows.append(tuple(ids[:max_tokens]))
        n_bytes.append(len(text[predicted[0][0] : predicted[-1][1]].encode()))
    return EncodedTexts(rows, np.array(n_bytes, dtype=np.float64))


@torch.inference_mode()
def bits(model: Model, rows: Sequence[Ids], token_budget: int = TOKEN_BUDGET) -> Float[np.ndarray, "row"]:
    """-log2 of the probability of each row's tokens behind the first, given that one.

    Raises:
        NoMemoryError: there is none for a single row.
    """

    def whole(budget: int) -> np.ndarray:
        total = torch.zeros(len(rows))
        for numbers, ids, real in batches(rows, budget):
            states = model.body(input_ids=ids.to(model.device), use_cache=False).last_hidden_state
            row, token = real[:, 1:].nonzero(as_tuple=True)
            before, targets = states[row, token], ids[row, token + 1]
            found = model.token_log_probabilities(before, torch.arange(len(row)), targets)
            total.index_add_(0, torch.tensor(numbers)[row], -found.cpu() / math.log(2))
        return total.numpy()

    return halving(whole, token_budget, max(map(len, rows)), "a single text")
