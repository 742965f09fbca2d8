"""What a lens reads in single examples: the likeliest tokens of their states, for a reader who wants to see one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .lens_packs import Gathered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IDS = 20  # the first ones: enough to look at, and a file of a few megabytes
RANKS = 5
# A CSV file with a bare carriage return in it is read as one with another row.
_PICTURES = {code: 0x2400 + code for code in range(32)}


def token_text(tokenizer: "PreTrainedTokenizerBase", token: int) -> str:
    """What a token says, control characters as their pictures (␊ for a line's end)."""
    text: str = tokenizer.decode([token])
    return text.translate(_PICTURES)


def example_tokens(
    by_condition: Mapping[str, Gathered],
    languages: Sequence[str],
    ids: Sequence[str],
    layers: Sequence[int],
    tokenizer: "PreTrainedTokenizerBase",
) -> pd.DataFrame:
    """A row per language, id, condition, layer and rank (1 to 5): token, and its probability to five decimals."""
    parts = []
    for condition, found in by_condition.items():
        tokens = found.top_tokens[:, :IDS, :, :RANKS]
        axes = (languages, ids[: tokens.shape[1]], [condition], layers, range(1, tokens.shape[3] + 1))
        index = pd.MultiIndex.from_product(axes, names=["language", "id", "condition", "layer", "rank"])
        table = index.to_frame(index=False)
        different, place = np.unique(tokens.ravel(), return_inverse=True)
        texts = np.array([token_text(tokenizer, int(token)) for token in different], dtype=object)
        table["token"] = texts[place]
        probability = found.top_probability[:, :IDS, :, :RANKS].astype(np.float64)
        table["probability"] = probability.ravel().round(5)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)
