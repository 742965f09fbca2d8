"""In which language a lens speaks: the languages of its likeliest tokens (after Wendler et al., arXiv 2402.10588)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ..errors import DataError

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
    shares: Float[np.ndarray, "language layer token_language"],
    languages: Sequence[str],
    layers: Sequence[int],
    token_languages: Sequence[str],
    condition: str,
) -> pd.DataFrame:
    """Columns language, condition, layer, token_language, share; shares of one language and layer sum to 1.

    `token_languages` names all but the last column of `shares`, which is `unknown`.
    """
    index = pd.MultiIndex.from_product(
        [languages, [condition], layers, [*token_languages, UNKNOWN]],
        names=["language", "condition", "layer", "token_language"],
    )
    return pd.DataFrame({"share": shares.ravel()}, index).reset_index()
