"""Logit lens: what the model would say if it stopped at a layer (Wendler et al., arXiv 2402.10588).

Summaries per state instead of probabilities over the vocabulary, which would fill a disk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import DataError
from .paired_tables import Where, check_parallel, delta_table, require_base, value_table
from .statistics import bootstrap_weights, mean_estimate

# A few rows of float32 logits fit the processor's cache, so the reductions over them cost little beside the
# unembedding; over a whole chunk they would run at the speed of main memory and cost twice as much as it.
_BLOCK = 4

# exp of anything below is 0 in float32, exactly. Logits of -inf (masked words) end here too: 0 * -inf would be NaN.
_ZERO = -200.0


@dataclass(frozen=True)
class LensScores:
    """Lens probabilities of n states, summarised; all float32.

    `mass` [n, word_set]: probability in [0, 1] of each set of tokens. `entropy_bits` [n]: entropy in bits, from 0 to
    log2(vocab). `mean_probability` [vocab]: mean over the n states, sums to 1.
    """

    mass: Float[np.ndarray, "n word_set"]
    entropy_bits: Float[np.ndarray, " n"]
    mean_probability: Float[np.ndarray, " vocab"]


def lens_scores(
    states: Float[Tensor, "n d_model"],
    unembed: Callable[[Tensor], Tensor],
    word_tokens: Sequence[Int[Tensor, " _"]],
    chunk: int = 64,
) -> LensScores:
    """Lens distribution of each state, summarised over sets of tokens and over the vocabulary.

    `unembed` maps states [m, d_model] to logits [m, vocab] (final norm, unembedding and softcap applied); it gets
    contiguous rows, at most `chunk` at a time, which bounds memory to chunk x vocab. `word_tokens` are sets: a token
    named twice counts once. Sums run in float32: entropy is within 1e-4 of its
    float64 value or within 1e-6 bits, never negative, never NaN.

    Raises:
        DataError: no states, a token outside the vocabulary, or logits that are not numbers.
    """
    if states.ndim != 2 or 0 in states.shape or chunk < 1:
        raise DataError(
            f"lens of states {tuple(states.shape)} in chunks of {chunk}: expected [n, d_model], all at least 1"
        )
    masses: list[Tensor] = []
    entropies: list[Tensor] = []
    total: Tensor | None = None
    with torch.inference_mode():
        for rows in torch.split(states.contiguous(), chunk):
            logits = unembed(rows)
            if total is None:
                total = torch.zeros(logits.shape[1], device=logits.device)
                # Reused: fresh megabytes for every block would cost more in page faults than the arithmetic.
                buffers = torch.empty(2, _BLOCK, logits.shape[1], device=logits.device)
                tokens, member = _membership(word_tokens, logits)
            for block in torch.split(logits, _BLOCK):
                mass, entropy = _summarise(block, tokens, member, total, buffers)
                masses.append(mass)
                entropies.append(entropy)
    assert total is not None  # there is at least one chunk
    entropy_nats = torch.cat(entropies).cpu().numpy()
    bad = np.flatnonzero(~np.isfinite(entropy_nats))
    if len(bad):
        raise DataError(
            f"lens of state {bad[0]}: its logits hold NaN or +inf, or only -inf; were the states read whole?"
        )
    return LensScores(
        torch.cat(masses).cpu().numpy(),
        (entropy_nats / np.log(2)).astype(np.float32),
        (total / len(states)).cpu().numpy(),
    )


def lens_tables(
    scores: Mapping[str, Float[np.ndarray, "language id quantity"]],
    quantities: Sequence[str],
    languages: Sequence[str],
    layer: int,
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means over ids of lens scores per condition, language and quantity: (values, deltas).

    values: language, condition, layer, quantity, value, ci_low, ci_high.
    deltas: language, condition, layer, quantity, base, aligned, delta, ci_low, ci_high, p_value, p_holm.
    Units are those of the scores. Paired bootstrap over ids, Holm over languages.

    Raises:
        DataError: malformed or unlike scores, no condition `base`, or other than one name per quantity.
    """
    _, ids, features = check_parallel(scores, languages, "lens scores")
    require_base(scores)
    if len(quantities) != features:
        raise DataError(f"{len(quantities)} quantities {list(quantities)} were named for {features} scores per state")
    weights = bootstrap_weights(ids, draws, seed)
    estimates = {c: mean_estimate(np.swapaxes(array, 1, 2), weights) for c, array in scores.items()}
    where: Where = {"layer": layer}
    values = value_table(estimates, languages, quantities, where)
    return values, delta_table(estimates, languages, quantities, where, ids)


def top_tokens(
    mean_probability: Float[np.ndarray, " vocab"], k: int
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The k likeliest tokens and their probabilities, likeliest first; equal ones by token id.

    Raises:
        DataError: `k` is below 1 or above the size of the vocabulary.
    """
    if not 1 <= k <= len(mean_probability):
        raise DataError(f"top {k} tokens of a vocabulary of {len(mean_probability)}: expected 1 <= k <= vocabulary")
    order = np.argsort(-mean_probability, kind="stable")[:k]
    return order, mean_probability[order]


def _membership(word_tokens: Sequence[Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    """All tokens that any set names, and which of the sets hold them, float32 [token, word_set]: one gather for all."""
    vocab = logits.shape[1]
    sets = [tokens.to(logits.device, torch.int64) for tokens in word_tokens]
    for i, tokens in enumerate(sets):
        outside = tokens[(tokens < 0) | (tokens >= vocab)]
        if len(outside):
            raise DataError(f"word set {i} names token {int(outside[0])}, outside the vocabulary of {vocab}")
    named = torch.unique(torch.cat(sets)) if sets else torch.zeros(0, dtype=torch.int64, device=logits.device)
    member = torch.zeros(len(named), len(sets), device=logits.device)
    for i, tokens in enumerate(sets):
        member[:, i] = torch.isin(named, tokens).float()
    return named, member


def _summarise(
    logits: Float[Tensor, "m vocab"],
    tokens: Int[Tensor, " token"],
    member: Float[Tensor, "token word_set"],
    total: Float[Tensor, " vocab"],
    buffers: Float[Tensor, "2 block vocab"],
) -> tuple[Float[Tensor, "m word_set"], Float[Tensor, " m"]]:
    """Mass of each word set and entropy in nats of a few rows; adds their probabilities to `total` in place.

    With z = logit - max, S = sum e^z: p = e^z / S and entropy = log S - sum(e^z z) / S. Both terms are >= 0.
    """
    z, e = buffers[:, : len(logits)]
    z.copy_(logits)
    z.sub_(z.amax(dim=1, keepdim=True)).clamp_min_(_ZERO)
    torch.exp(z, out=e)
    size = e.sum(dim=1)
    total.addmv_(e.T, 1 / size)
    mass = e[:, tokens] @ member / size[:, None]
    return mass, size.log() - z.mul_(e).sum(dim=1) / size
