"""What the model would say if it stopped at a layer."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..activations.token_languages import built_in_texts, token_languages
from ..activations.tokens import vocabulary_texts
from ..models import open_tokenizer
from ..probes.logit_lens import lens_scores, lens_tables, token_energy, token_gram
from ..probes.token_shares import share_table, token_shares
from ..progress import Progress, Steps, Together
from ..tasks import languages
from ..unembedding import open_unembedding
from .conditions import Conditions, Tables, filled
from .lens_examples import example_tokens, token_text
from .lens_packs import BLOCK, Gathered, Pack, PackScores, make_packs, read_states
from .lens_words import LensWords
from .opening import check_same_model
from .threads import in_threads

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUANTITIES = (
    *("english_mass", "target_mass", "entropy_bits", "right_answer_log2_rank", "token_energy", "kl_to_final_bits"),
    *("top_english_share", "top_own_share"),
)


def logit_lens(conditions: Conditions, on_progress: Progress) -> Tables:
    """Words, entropy, rank of the right answer, token energy, distance to the end, language of tokens, by layer.

    Reads the final norm and the unembedding from the model's files; the model itself is not opened.
    """
    name = conditions.base.attributes["model"]
    check_same_model(name, conditions.base)
    head = open_unembedding(name, dtype=conditions.base.attributes["compute_dtype"])
    tokenizer = open_tokenizer(name)
    words = LensWords.of(conditions, vocabulary_texts(tokenizer))
    rows, layers = conditions.rows[:, : conditions.settings.lens_limit], conditions.layers()
    gram = token_gram(head.weight, head.gain)

    def score(pack: Pack) -> PackScores:
        chosen, cache = rows[list(pack.languages)], conditions.caches[pack.condition]
        states = read_states(cache, [*layers, cache.n_layers], chosen, head.weight.dtype)
        asked = words.asked(pack.languages, chosen)
        found = lens_scores(states[:-1], states[-1], head, asked, BLOCK)
        return found, token_energy(states[:-1], gram).numpy()

    packs = make_packs(conditions, rows.shape[1])
    on_progress = Together(on_progress, len(packs) + len(layers))
    scored = list(zip(packs, in_threads(score, packs, on_progress), strict=True))
    by_condition = {
        name: Gathered.of([scores for pack, scores in scored if pack.condition == name], *rows.shape)
        for name in conditions.caches
    }
    return _tables(conditions, layers, by_condition, words, tokenizer, Steps(on_progress, len(layers)))


def _tables(
    conditions: Conditions,
    layers: Sequence[int],
    by_condition: Mapping[str, Gathered],
    words: LensWords,
    tokenizer: "PreTrainedTokenizerBase",
    step: Steps,
) -> Tables:
    codes, s = conditions.languages, conditions.settings
    spoken, shares = _shares(by_condition, tokenizer)
    values, deltas = [], []
    for n, layer in enumerate(layers):
        scores = {
            name: _quantities(found, shares[name], n, words, codes, spoken) for name, found in by_condition.items()
        }
        undefined = np.any([np.isnan(of).any(axis=1) for of in scores.values()], axis=0)
        known = {name: np.where(undefined[:, None], 0.0, of) for name, of in scores.items()}
        value, delta = lens_tables(known, QUANTITIES, codes, layer, s.draws, s.seed)
        absent = {(codes[i], QUANTITIES[q]) for i, q in np.argwhere(undefined)}
        values.append(_without(value, absent))
        deltas.append(_without(delta, absent))
        step()
    found_tokens = [_token_table(found, name, codes, layers, tokenizer) for name, found in by_condition.items()]
    found_shares = [share_table(of, codes, layers, spoken, name, s.draws, s.seed) for name, of in shares.items()]
    told = pd.concat(found_shares, ignore_index=True)
    return filled(
        {
            "logit_lens": pd.concat(values, ignore_index=True),
            "logit_lens_delta": pd.concat(deltas, ignore_index=True),
            "logit_lens_tokens": pd.concat(found_tokens, ignore_index=True),
            "logit_lens_examples": example_tokens(by_condition, codes, conditions.ids, layers, tokenizer),
            "logit_lens_languages": told if set(codes) != {"en"} else told.iloc[:0],  # nothing to tell English from
        }
    )


def _shares(
    by_condition: Mapping[str, Gathered], tokenizer: "PreTrainedTokenizerBase"
) -> tuple[list[str], dict[str, Float[np.ndarray, "language id layer token_language"]]]:
    """The languages that tokens may be of, and what share of each state's top tokens is of each, or of none."""
    texts, scripts = built_in_texts(), {code: row.script for code, row in languages().items()}
    tokens = np.unique(np.concatenate([found.top_tokens.ravel() for found in by_condition.values()]))
    of_token = token_languages(tokenizer, tokens, texts, scripts)
    shares = {
        name: token_shares(of_token[np.searchsorted(tokens, found.top_tokens)], len(texts))
        for name, found in by_condition.items()
    }
    return list(texts), shares


def _without(table: pd.DataFrame, absent: Collection[tuple[str, str]]) -> pd.DataFrame:
    """Without the rows of some pairs of language and quantity."""
    return table[[pair not in absent for pair in zip(table["language"], table["quantity"], strict=True)]]


def _quantities(
    found: Gathered, shares: np.ndarray, n: int, words: LensWords, codes: Sequence[str], spoken: Sequence[str]
) -> Float[np.ndarray, "language id quantity"]:
    """Those of one layer, in the order of `QUANTITIES`; NaN where a language has none."""
    target = np.where(words.without_target[:, None], np.nan, found.mass[:, :, n, 1])
    own = [spoken.index(code) for code in codes]
    of_own = np.stack([of_language[:, n, i] for of_language, i in zip(shares, own, strict=True)])
    of_own[[code == "en" for code in codes]] = np.nan  # English is what it is compared with
    columns = (
        *(found.mass[:, :, n, 0], target, found.entropy_bits[:, :, n], np.log2(found.right_rank[:, :, n])),
        *(found.token_energy[:, :, n], found.kl_to_final_bits[:, :, n], shares[:, :, n, spoken.index("en")], of_own),
    )
    return np.stack(columns, axis=-1)


def _token_table(
    found: Gathered, name: str, codes: Sequence[str], layers: Sequence[int], tokenizer: "PreTrainedTokenizerBase"
) -> pd.DataFrame:
    """Likeliest tokens of the mean distribution of each language, by layer."""
    return pd.DataFrame(
        [
            {
                "language": code,
                "condition": name,
                "layer": layer,
                "rank": rank + 1,
                "token": token_text(tokenizer, int(token)),
                "mean_probability": float(p),
            }
            for n, layer in enumerate(layers)
            for i, code in enumerate(codes)
            for rank, (token, p) in enumerate(
                zip(found.likeliest[i, n], found.likeliest_probability[i, n], strict=True)
            )
        ]
    )
