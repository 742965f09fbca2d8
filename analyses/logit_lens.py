"""What the model would say if it stopped at a layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ..activations.tokens import vocabulary_texts, word_tokens
from ..models import open_tokenizer
from ..probes.logit_lens import lens_scores, lens_tables, top_tokens
from ..unembedding import open_unembedding
from .conditions import Conditions, Progress, Tables, filled
from .opening import check_same_model

TOP_TOKENS = 5


def logit_lens(conditions: Conditions, on_progress: Progress) -> Tables:
    """Lens probability of English and of the language's own answer words, entropy, likeliest tokens, by layer.

    Reads the final norm and the unembedding from the model's files; the model itself is not opened.
    """
    name = conditions.base.attributes["model"]
    check_same_model(name, conditions.base)
    unembed = open_unembedding(name, dtype=conditions.base.attributes["compute_dtype"])
    tokenizer = open_tokenizer(name)
    words = _word_sets(conditions, vocabulary_texts(tokenizer))
    quantities = ("english_mass", "target_mass", "entropy_bits")
    chosen = conditions.rows[:, : conditions.settings.lens_limit]
    layers = conditions.layers()
    values, deltas, likeliest = [], [], []
    for n, layer in enumerate(layers):
        scores = {}
        for condition, cache in conditions.caches.items():
            states = torch.from_numpy(cache.states("last", layer)[chosen]).to(unembed.weight.dtype)
            by_language = [
                lens_scores(states[i], unembed, words[code], chunk=128) for i, code in enumerate(conditions.languages)
            ]
            scores[condition] = np.stack([np.column_stack([s.mass, s.entropy_bits]) for s in by_language])
            for code, s in zip(conditions.languages, by_language, strict=True):
                tokens, probabilities = top_tokens(s.mean_probability, TOP_TOKENS)
                likeliest += [
                    {
                        "language": code,
                        "condition": condition,
                        "layer": layer,
                        "rank": rank + 1,
                        "token": tokenizer.decode([int(token)]),
                        "mean_probability": float(p),
                    }
                    for rank, (token, p) in enumerate(zip(tokens, probabilities, strict=True))
                ]
        value, delta = lens_tables(
            scores, quantities, conditions.languages, layer, conditions.settings.draws, conditions.settings.seed
        )
        values.append(_with_words(value, words))
        deltas.append(_with_words(delta, words))
        on_progress(n + 1, len(layers))
    return filled(
        {
            "logit_lens": pd.concat(values, ignore_index=True),
            "logit_lens_delta": pd.concat(deltas, ignore_index=True),
            "logit_lens_tokens": pd.DataFrame(likeliest),
        }
    )


def _word_sets(conditions: Conditions, vocabulary: Mapping[str, Sequence[int]]) -> dict[str, list[torch.Tensor]]:
    """Per language, the tokens that begin an English answer word and those that begin one of its own."""
    own = conditions.base.label_words
    english = conditions.base.labels
    sets = {}
    for code in conditions.languages:
        found = word_tokens(vocabulary, [english, () if code == "en" else tuple(own[code].values())])
        sets[code] = [torch.tensor(tokens, dtype=torch.long) for tokens in found]
    return sets


def _with_words(table: pd.DataFrame, words: Mapping[str, Sequence[torch.Tensor]]) -> pd.DataFrame:
    """Without the target mass of languages that have no token of their own: English, and German with "positiv"."""
    wordless = [code for code, (_, target) in words.items() if len(target) == 0]
    return table[~(table["language"].isin(wordless) & (table["quantity"] == "target_mass"))]
