"""One pass over the vocabulary against float64 numpy and scipy."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from babelscope.errors import DataError
from babelscope.probes import vocabulary
from babelscope.probes.logit_lens import Asked, LensScores, lens_scores, padded, token_energy, token_gram
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax
from scipy.stats import entropy, rankdata
from torch import Tensor

VOCAB, N = 3000, 11


@dataclass(frozen=True)
class Identity:
    """States are logits."""

    vocabulary: int = VOCAB

    def normed(self, states: Tensor) -> Tensor:
        return states

    def logits(self, normed: Tensor, tokens: slice) -> Tensor:
        return normed[:, tokens]


def logits(n: int = N, scale: float = 4.0, seed: int = 0) -> Tensor:
    return torch.randn(n, VOCAB, generator=torch.Generator().manual_seed(seed)) * scale


def scores_of(states: Tensor, final: Tensor, words=((3, 7, 2999), (7,)), right=(5, 9), block: int = 64, **options):
    n = states.shape[1]
    asked = Asked(padded(words).expand(n, -1, -1), padded([right]).expand(n, -1), [slice(0, 4), slice(4, n)], **options)
    return lens_scores(states, final, Identity(states.shape[2]), asked, block)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 1000.0])  # from uniform to certain
@pytest.mark.parametrize(("block", "tile"), [(1, 16384), (5, 1024), (64, 512)])
def test_equals_float64(monkeypatch: pytest.MonkeyPatch, scale: float, block: int, tile: int) -> None:
    monkeypatch.setattr(vocabulary, "TILE", tile)
    states, final = torch.stack([logits(scale=scale), logits(scale=1, seed=1)]), logits(scale=1, seed=1)
    found = scores_of(states, final, block=block)
    p, q = softmax(states.double().numpy(), axis=2), softmax(final.double().numpy(), axis=1)
    np.testing.assert_allclose(found.entropy_bits, entropy(p, base=2, axis=2), rtol=1e-4, atol=1e-5)
    mass = np.stack([p[..., [3, 7, 2999]].sum(2), p[..., [7]].sum(2)], 2)
    np.testing.assert_allclose(found.mass, mass, rtol=1e-3, atol=1e-37)
    ranks = rankdata(-states.numpy(), axis=2)
    np.testing.assert_array_equal(found.right_rank, ranks[..., [5, 9]].min(axis=2))
    np.testing.assert_allclose(found.kl_to_final_bits[1], 0, atol=1e-5)
    log_p = log_softmax(states[0].double().numpy(), axis=1)
    kl = (q * (np.log(q) - log_p)).sum(axis=1) / np.log(2)
    np.testing.assert_allclose(found.kl_to_final_bits[0], kl, rtol=1e-4, atol=1e-5)
    for i, rows in enumerate((slice(0, 4), slice(4, None))):
        mean = p[:, rows].mean(axis=1)
        np.testing.assert_allclose(
            found.likeliest_probability[:, i], -np.sort(-mean, axis=1)[:, :5], rtol=1e-4, atol=1e-30
        )


@pytest.mark.parametrize("tile", [16384, 512])
def test_top_tokens_are_those_of_a_sort(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(vocabulary, "TILE", tile)
    states = logits()
    found = scores_of(states[None], states, top=40)
    np.testing.assert_array_equal(found.top_tokens[0], np.argsort(-states.numpy(), axis=1)[:, :40])
    by_size = -np.sort(-softmax(states.double().numpy(), axis=1), axis=1)
    np.testing.assert_allclose(found.top_probability[0], by_size[:, :40], rtol=1e-4)
    mean = softmax(states.double().numpy(), axis=1)[4:].mean(axis=0)
    np.testing.assert_array_equal(found.likeliest[0, 1], np.argsort(-mean)[:5])


def test_bfloat16_logits_are_summed_in_float32_and_ties_share_their_rank() -> None:
    states = logits().bfloat16()
    found = scores_of(states[None], states)
    p = softmax(states.double().numpy(), axis=1)
    np.testing.assert_allclose(found.entropy_bits[0], entropy(p, base=2, axis=1), rtol=1e-4)
    np.testing.assert_array_equal(found.right_rank[0], rankdata(-states.float().numpy(), axis=1)[:, [5, 9]].min(axis=1))
    np.testing.assert_array_equal(found.kl_to_final_bits, 0)


def test_masked_words_and_certain_distributions() -> None:
    certain = torch.full((5, VOCAB), -torch.inf)
    certain[:, 5] = 0
    found = scores_of(torch.stack([certain, torch.zeros(5, VOCAB)]), certain, words=((5,), (6,)))
    np.testing.assert_array_equal(found.entropy_bits[0], 0)
    np.testing.assert_array_equal(found.mass[0], [[1, 0]] * 5)
    np.testing.assert_array_equal(found.right_rank[0], 1)
    np.testing.assert_allclose(found.entropy_bits[1], np.log2(VOCAB), rtol=1e-4)
    np.testing.assert_allclose(found.kl_to_final_bits, [[0] * 5, [np.log2(VOCAB)] * 5], rtol=1e-4)
    np.testing.assert_array_equal(found.right_rank[1], (VOCAB + 1) / 2)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (3, 7), elements=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(-np.inf)))
def test_no_distribution_gives_nan_or_less_than_nothing(array: np.ndarray) -> None:
    array[:, 0] = 1.0  # a row of -inf alone is no distribution
    states = torch.from_numpy(array)
    asked = Asked(torch.arange(7).expand(3, 1, -1), torch.zeros(3, 1, dtype=torch.int64), [slice(0, 3)], 3, 2)
    found: LensScores = lens_scores(states[None], states, Identity(7), asked)
    assert ((found.entropy_bits >= 0) & (found.entropy_bits <= np.log2(7) + 1e-5)).all()
    assert (found.kl_to_final_bits >= 0).all()
    np.testing.assert_allclose(found.mass, 1, atol=1e-6)


def test_sets_are_sets_and_an_answer_without_tokens_has_no_rank() -> None:
    states = logits()
    found = scores_of(states[None], states, words=((4, 4, 9), (9, 4), ()), right=())
    np.testing.assert_array_equal(found.mass[..., 0], found.mass[..., 1])
    np.testing.assert_array_equal(found.mass[..., 2], 0)
    assert np.isnan(found.right_rank).all()


def test_malformed_input_is_refused() -> None:
    states = logits()
    with pytest.raises(DataError, match="word sets name token 3000, outside the vocabulary of 3000"):
        scores_of(states[None], states, words=((1, 3000),))
    with pytest.raises(DataError, match="top 3001 tokens of a vocabulary of 3000"):
        scores_of(states[None], states, top=3001)
    with pytest.raises(DataError, match=r"states \(0, 11, 3000\) in blocks of 64"):
        scores_of(states[None][:0], states)
    for broken in (torch.nan, torch.inf):
        spoilt = states.clone()
        spoilt[6, 4] = broken
        with pytest.raises(DataError, match="lens of state 6"):
            scores_of(spoilt[None], states, block=4)


def test_token_energy_is_the_relative_root_mean_square_cosine() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, gain = torch.randn(500, 16, generator=generator), torch.rand(16, generator=generator)
    states = torch.randn(4, 16, generator=generator)
    unit = (weight * gain).double().numpy()
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    of_states = unit @ (states.double().numpy() / np.linalg.norm(states.double().numpy(), axis=1, keepdims=True)).T
    expected = np.sqrt((of_states**2).mean(axis=0)) / np.sqrt(((unit @ unit.T) ** 2).mean())
    np.testing.assert_allclose(token_energy(states, token_gram(weight, gain)), expected, rtol=1e-4)
