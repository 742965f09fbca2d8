"""Translators against scikit-learn's definition and planted maps."""

import numpy as np
import torch
from babelscope.probes.tuned_lens import Translator, Tuning, ridge_translator, tune, unit_size, words_that_matter
from torch import Tensor

D, VOCAB = 16, 400


def planted(n: int = 600, seed: int = 0) -> tuple[Tensor, Tensor, Translator]:
    """States of a layer, and final states that a known translator makes of them."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(n, D, generator=generator) * 1000
    true = Translator(torch.randn(D, D, generator=generator) * 0.3, torch.randn(D, generator=generator))
    return states, true.apply(states), true


def divergence(translator: Translator, states: Tensor, final: Tensor, weight: Tensor) -> float:
    p = (unit_size(final) @ weight.T).log_softmax(1)
    q = (unit_size(translator.apply(states)) @ weight.T).log_softmax(1)
    return float((p.exp() * (p - q)).sum(1).mean())


def test_ridge_and_training_recover_a_planted_map() -> None:
    states, final, _ = planted()
    weight = torch.randn(VOCAB, D, generator=torch.Generator().manual_seed(1))
    start = ridge_translator(states[:400], final[:400])
    tokens, stands_for = words_that_matter([(unit_size(final[:50]) @ weight.T).softmax(1).mean(0)], 100, 100)
    p = (unit_size(final) @ weight.T).softmax(1)[:, tokens] * stands_for

    def lens(x: Tensor) -> Tensor:
        return unit_size(x) @ weight[tokens].T + stands_for.log()

    tuned = tune(start, states[:500], p[:500], lens, np.arange(400, 500), Tuning(steps=100, rate=3e-3))
    identity = Translator(torch.zeros(D, D), torch.zeros(D))
    untuned, ridge, found = (divergence(t, states[500:], final[500:], weight) for t in (identity, start, tuned))
    assert untuned > 1
    assert ridge < 0.2 * untuned
    assert found < 0.05 * untuned
    assert found < ridge


def test_what_is_best_on_the_validation_states_is_kept() -> None:
    states, final, true = planted()
    weight = torch.randn(VOCAB, D, generator=torch.Generator().manual_seed(1))
    p = (unit_size(final) @ weight.T).softmax(1)
    kept = tune(true, states, p, lambda x: unit_size(x) @ weight.T, np.arange(100), Tuning(steps=10, rate=10.0))
    torch.testing.assert_close(kept.matrix, true.matrix)  # it cannot be bettered, least of all by such strides
    torch.testing.assert_close(kept.bias, true.bias)


def test_size_of_states_means_nothing() -> None:
    states, _, true = planted()
    torch.testing.assert_close(true.apply(states), true.apply(states * 7), rtol=1e-4, atol=1e-4)


def test_the_sample_estimates_sums_over_the_vocabulary() -> None:
    values = torch.rand(VOCAB, generator=torch.Generator().manual_seed(0))
    p = torch.linspace(1, 0, VOCAB)
    estimates = []
    for seed in range(300):
        tokens, stands_for = words_that_matter([p], 50, 40, seed)
        assert len(tokens) == len(set(tokens.tolist())) == 90
        assert set(range(50)) <= set(tokens.tolist())
        estimates.append(float((values[tokens] * stands_for).sum()))
    assert abs(np.mean(estimates) - float(values.sum())) < 3 * np.std(estimates) / np.sqrt(len(estimates))
