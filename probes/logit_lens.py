"""Logit lens: what the model would say if it stopped at a layer (Wendler et al., arXiv 2402.10588).

Summaries per state instead of probabilities over the vocabulary, which would fill a disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import DataError
from .paired_tables import Where, check_parallel, delta_table, require_base, value_table
from .statistics import bootstrap_weights, mean_estimate
from .vocabulary import Distributions, Head


@dataclass(frozen=True)
class Asked:
    """What is asked of the lens at each of n states. Sets of tokens are padded with -1 (see `padded`).

    `words`: sets whose probability is wanted. `right`: the tokens that begin the right answer. `groups`: states that
    follow one another and whose mean distribution is wanted.
    """

    words: Int[Tensor, "n word_set token"]
    right: Int[Tensor, "n right_token"]
    groups: Sequence[slice] = ()
    top: int = 10  # likeliest tokens of each state
    likeliest: int = 5  # tokens of each group's mean distribution


@dataclass(frozen=True)
class LensScores:
    """Lens distributions of n states at several layers, summarised.

    `mass`: probability in [0, 1] of each set of tokens. `entropy_bits`: 0 to log2(vocabulary). `kl_to_final_bits`: KL
    divergence of the lens distribution from the model's own, D(final || layer), at least 0. `right_rank`: rank of the
    likeliest token that begins the right answer, 1 being the top; equal ones share their mean rank; NaN where there is
    no such token. `top_tokens`: likeliest first, with their probability. `likeliest`: of the mean distribution of each
    group.
    """

    mass: Float[np.ndarray, "layer n word_set"]
    entropy_bits: Float[np.ndarray, "layer n"]
    kl_to_final_bits: Float[np.ndarray, "layer n"]
    right_rank: Float[np.ndarray, "layer n"]
    top_tokens: Int[np.ndarray, "layer n top"]
    top_probability: Float[np.ndarray, "layer n top"]
    likeliest: Int[np.ndarray, "layer group rank"]
    likeliest_probability: Float[np.ndarray, "layer group rank"]


def lens_scores(
    states: Float[Tensor, "layer n d_model"],
    final: Float[Tensor, "n d_model"],
    head: Head,
    asked: Asked,
    block: int = 128,
) -> LensScores:
    """Lens distributions of the same n states at several layers, against those of the last layer, `final`.

    Memory is bounded by `block` rows of the vocabulary: their final distribution is held in float32 while all layers
    are compared with it, and the logits of one layer at a time. Sums run in float32.

    Raises:
        DataError: no states, a token outside the vocabulary, or logits that are not numbers.
    """
    if 0 in states.shape or block < 1:
        raise DataError(
            f"lens of states {tuple(states.shape)} in blocks of {block}: expected [layer, n, d_model], all at least 1"
        )
    _check_tokens(asked, head.vocabulary)
    # The last layer comes first: where its states are `final`, they have just been read.
    last, *others = order = range(len(states))[::-1]
    totals: dict[int, Tensor] = {}
    parts: list[list[tuple[Tensor, ...]]] = []
    likeliest: list[tuple[Tensor, Tensor]] = []
    with torch.inference_mode():
        for begin in range(0, states.shape[1], block):
            rows = slice(begin, min(begin + block, states.shape[1]))
            groups = [slice(max(g.start - begin, 0), max(min(g.stop, rows.stop) - begin, 0)) for g in asked.groups]
            found = Distributions(rows.stop - begin, head)
            _read(found, final[rows], begin)
            reference = _Reference(found.probabilities(), found.sums(torch.zeros(rows.stop - begin), (), ())[0])
            parts.append([])
            for layer in order:
                if layer in others or not torch.equal(states[last, rows], final[rows]):
                    _read(found, states[layer, rows], begin)
                scores, summed = _block_scores(found, asked, rows, reference, groups)
                parts[-1].append(scores)
                totals[layer] = totals[layer].add_(summed) if layer in totals else summed
                if rows.stop == states.shape[1]:
                    likeliest.append(_likeliest(totals.pop(layer), asked))
    by_layer = [
        [torch.cat(column) for column in zip(*of_blocks, strict=True)]
        for of_blocks in [*zip(*parts, strict=True)][::-1]
    ]
    mass, entropy, kl, rank, top, top_p = (torch.stack(column).numpy() for column in zip(*by_layer, strict=True))
    tokens, probabilities = (torch.stack(column).numpy() for column in zip(*likeliest[::-1], strict=True))
    return LensScores(mass, entropy, kl, rank, top, top_p, tokens, probabilities)


def padded(sets: Sequence[Sequence[int]]) -> Int[Tensor, "token_set token"]:
    """Sets of tokens as one tensor; each names a token once, and shorter ones end in -1."""
    distinct = [sorted(set(tokens)) for tokens in sets]
    width = max(1, *(len(tokens) for tokens in distinct)) if distinct else 1
    return torch.tensor([tokens + [-1] * (width - len(tokens)) for tokens in distinct], dtype=torch.int64).view(
        len(distinct), width
    )


def token_gram(
    weight: Float[Tensor, "vocabulary d_model"], gain: Float[Tensor, " d_model"]
) -> Float[Tensor, "d_model d_model"]:
    """Mean over the vocabulary of u u^T, u being a token's unembedding times the final norm's gain, at length 1."""
    total = torch.zeros(weight.shape[1], weight.shape[1])
    for rows in torch.split(weight, 16384):
        unit = torch.nn.functional.normalize(rows.float() * gain, dim=1)
        total.addmm_(unit.T, unit)
    return total / len(weight)


def token_energy(
    states: Float[Tensor, "*shape d_model"], gram: Float[Tensor, "d_model d_model"]
) -> Float[Tensor, "*shape"]:
    """How much of a state lies where tokens do (Wendler et al., arXiv 2402.10588, section 5).

    Root mean square cosine between the state and the tokens' unembeddings, relative to that between the tokens
    themselves: about 1 for a state that is like a token, 0 for one in a direction that no token reads. `gram` is
    `token_gram`'s: mean cosine^2 = h^T G h for a state of length 1, and the tokens' own is the squared norm of G.
    """
    unit = torch.nn.functional.normalize(states.float(), dim=-1)
    squared: Tensor = ((unit @ gram) * unit).sum(-1)  # mean over the vocabulary
    energy: Tensor = squared.clamp_min(0).sqrt() / torch.linalg.vector_norm(gram)
    return energy


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


@dataclass(frozen=True)
class _Reference:
    """The model's own distributions of a block of states."""

    probabilities: list[Tensor]  # [m, token] of each tile
    entropy: Float[Tensor, " m"]  # in nats


def _read(found: Distributions, states: Tensor, begin: int) -> None:
    found.read(states)
    bad = torch.nonzero(~found.sound).flatten().tolist()
    if bad:
        raise DataError(
            f"lens of state {begin + bad[0]}: its logits hold NaN or +inf, or only -inf; were the states read whole?"
        )


def _block_scores(
    found: Distributions,
    asked: Asked,
    rows: slice,
    reference: _Reference,
    groups: Sequence[slice],
) -> tuple[tuple[Tensor, ...], Float[Tensor, "group vocabulary"]]:
    """The fields of `LensScores` that states have each, of some rows at one layer; sums of their probabilities."""
    right = found.log_p(asked.right[rows]).amax(1)
    known = torch.isfinite(right)
    entropy, cross, above, summed = found.sums(torch.where(known, right, 0.0), reference.probabilities, groups)
    mass = found.log_p(asked.words[rows]).exp().sum(-1)
    kl = (cross - reference.entropy).clamp_min_(0)
    rank = torch.where(known, above + 0.5, torch.nan)
    bits = 1 / np.log(2)
    top = found.top_tokens(asked.top)
    return (mass, entropy.clamp_min_(0) * bits, kl * bits, rank, top, found.log_p(top).exp()), summed


def _likeliest(summed: Float[Tensor, "group vocabulary"], asked: Asked) -> tuple[Tensor, Tensor]:
    sizes = torch.tensor([group.stop - group.start for group in asked.groups], dtype=torch.float32)
    found = (summed / sizes[:, None]).topk(asked.likeliest, dim=1)
    return found.indices, found.values


def _check_tokens(asked: Asked, vocabulary: int) -> None:
    for what, tokens in (("word sets", asked.words), ("right answers", asked.right)):
        outside = tokens[(tokens < -1) | (tokens >= vocabulary)]
        if len(outside):
            raise DataError(f"{what} name token {int(outside[0])}, outside the vocabulary of {vocabulary}")
    if not 1 <= max(asked.top, asked.likeliest) <= vocabulary:
        raise DataError(f"top {max(asked.top, asked.likeliest)} tokens of a vocabulary of {vocabulary}")
