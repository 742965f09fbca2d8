"""In which language a lens speaks: the languages of its likeliest tokens (after Wendler et al., arXiv 2402.10588)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ..errors import DataError
from .statistics import bootstrap_weights, mean_estimate, percentile_interval

UNKNOWN = "unknown"  # digits, punctuation, fragments of many languages, languages that are not among ours


def token_shares(
    language_of: Int[np.ndarray, "*shape top"], n_languages: int
) -> Float[np.ndarray, "*shape token_language"]:
    """Share of each state's top tokens that are of each language; the last one is of none. They sum to 1.

    Args:
        language_of: the index of each top token's language, -1 for none.

    Raises:
        DataError: a language outside -1 .. n_languages - 1.
    """
    if language_of.size and not -1 <= language_of.min() <= language_of.max() < n_languages:
        raise DataError(f"languages {language_of.min()} to {language_of.max()} of {n_languages}; expected -1 for none")
    known = language_of % (n_languages + 1)  # -1 becomes the last
    return np.stack([(known == i).mean(axis=-1) for i in range(n_languages + 1)], axis=-1)


def share_table(
    shares: Float[np.ndarray, "language id layer token_language"],
    languages: Sequence[str],
    layers: Sequence[int],
    token_languages: Sequence[str],
    condition: str,
    draws: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """Columns language, condition, layer, token_language, share, ci_low, ci_high (95%, bootstrap over ids).

    Mean shares of a language and layer, which sum to 1. `token_languages` names all but the last column of `shares`,
    which is `unknown`.
    """
    per_id = np.moveaxis(shares, 1, -1).reshape(-1, shares.shape[1])
    occurs = per_id.any(axis=1)  # of most languages no token does
    estimate = mean_estimate(per_id[occurs], bootstrap_weights(shares.shape[1], draws, seed))
    numbers = np.zeros((3, len(per_id)))
    numbers[:, occurs] = estimate.value, *percentile_interval(estimate.samples)
    index = pd.MultiIndex.from_product(
        [languages, [condition], layers, [*token_languages, UNKNOWN]],
        names=["language", "condition", "layer", "token_language"],
    )
    return pd.DataFrame(numbers.T, index, ["share", "ci_low", "ci_high"]).reset_index()
