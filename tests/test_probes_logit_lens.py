"""Lens summaries against float64 scipy, and their tables."""

import numpy as np
import pytest
import torch
from babelscope.errors import DataError
from babelscope.probes.logit_lens import lens_scores, lens_tables, top_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor

VOCAB = 3000


def identity(logits: Tensor) -> Tensor:
    return logits


def logits(n: int = 11, scale: float = 4.0, seed: int = 0) -> Tensor:
    return torch.randn(n, VOCAB, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 1000.0])  # from uniform to certain
@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_equals_float64(scale: float, chunk: int) -> None:
    words = [[3, 7, 2999], [7]]
    given_logits = logits(scale=scale)
    scores = lens_scores(given_logits, identity, [torch.tensor(w) for w in words], chunk)
    p = softmax(given_logits.double().numpy(), axis=1)
    np.testing.assert_allclose(scores.entropy_bits, entropy(p, base=2, axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores.mass, np.stack([p[:, w].sum(1) for w in words], 1), rtol=1e-4, atol=1e-38)
    np.testing.assert_allclose(scores.mean_probability, p.mean(axis=0), rtol=1e-4, atol=1e-38)
    assert scores.mass.dtype == scores.entropy_bits.dtype == scores.mean_probability.dtype == np.float32


def test_bfloat16_logits_are_summed_in_float32() -> None:
    weight = torch.randn(VOCAB, 16, generator=torch.Generator().manual_seed(1)).bfloat16()
    states = logits()[:, :16].bfloat16()
    scores = lens_scores(states, lambda x: x @ weight.T, [])
    p = softmax((states @ weight.T).double().numpy(), axis=1)
    np.testing.assert_allclose(scores.entropy_bits, entropy(p, base=2, axis=1), rtol=1e-4, atol=1e-6)
    assert scores.mean_probability.sum() == pytest.approx(1, abs=1e-5)
    assert scores.mass.shape == (11, 0)


def test_chunks_are_contiguous_bounded_and_left_alone() -> None:
    seen = []

    def watch(x: Tensor) -> Tensor:
        seen.append((len(x), x.is_contiguous()))
        return x

    wide = logits(10).repeat(1, 2)
    before = wide.clone()
    lens_scores(wide[:, ::2], watch, [], chunk=4)  # a strided view: F.linear would copy the whole weight for it
    assert seen == [(4, True), (4, True), (2, True)]
    torch.testing.assert_close(wide, before, rtol=0, atol=0)


def test_uniform_and_certain_distributions() -> None:
    certain = torch.full((1, VOCAB), -torch.inf)
    certain[0, 5] = 0
    scores = lens_scores(torch.cat([torch.zeros(1, VOCAB), certain]), identity, [torch.tensor([5]), torch.tensor([6])])
    assert scores.entropy_bits[0] == pytest.approx(np.log2(VOCAB), rel=1e-6)
    assert scores.entropy_bits[1] == 0
    assert scores.mass[1].tolist() == [1, 0]


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float32,
        (3, 7),
        elements=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(-np.inf) | st.floats(-5, 5, width=32),
    )
)
def test_entropy_is_never_negative_or_nan(array: np.ndarray) -> None:
    array[:, 0] = 1.0  # a row of -inf alone is no distribution
    scores = lens_scores(torch.from_numpy(array), identity, [torch.arange(7)])
    assert (scores.entropy_bits >= 0).all()
    assert (scores.entropy_bits <= np.log2(7) + 1e-5).all()
    np.testing.assert_allclose(scores.mass, 1, atol=1e-6)


def test_word_sets_are_sets() -> None:
    scores = lens_scores(
        logits(), identity, [torch.tensor([4, 4, 9]), torch.tensor([9, 4]), torch.tensor([], dtype=torch.int64)]
    )
    np.testing.assert_array_equal(scores.mass[:, 0], scores.mass[:, 1])
    assert (scores.mass[:, 2] == 0).all()


def test_rows_do_not_depend_on_their_company() -> None:
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    words = [torch.tensor([1, 2])]
    first, second = lens_scores(logits(), identity, words), lens_scores(logits()[order], identity, words, chunk=3)
    np.testing.assert_allclose(second.mass, first.mass[order], rtol=1e-5)
    np.testing.assert_allclose(second.entropy_bits, first.entropy_bits[order], rtol=1e-5)
    np.testing.assert_allclose(second.mean_probability, first.mean_probability, rtol=1e-5)


def test_malformed_input_is_refused() -> None:
    with pytest.raises(DataError, match="word set 1 names token 3000, outside the vocabulary of 3000"):
        lens_scores(logits(), identity, [torch.tensor([0]), torch.tensor([1, 3000])])
    with pytest.raises(DataError, match="names token -1"):
        lens_scores(logits(), identity, [torch.tensor([-1])])
    with pytest.raises(DataError, match=r"states \(0, 3000\)"):
        lens_scores(logits(0), identity, [])
    for broken in (torch.nan, torch.inf):
        spoilt = logits()
        spoilt[6, 4] = broken
        with pytest.raises(DataError, match="lens of state 6"):
            lens_scores(spoilt, identity, [], chunk=4)


# ---- tables


def test_tables() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(size=(2, 25, 3)).astype(np.float32)
    aligned = base + np.float32([0.5, 0, 0]) * rng.uniform(size=(2, 25, 3)).astype(np.float32)
    names = ("english", "target", "entropy_bits")
    values, deltas = lens_tables({"base": base, "aligned": aligned}, names, ("en", "de"), 4, draws=300, seed=1)
    assert list(values) == ["language", "condition", "layer", "quantity", "value", "ci_low", "ci_high"]
    assert list(deltas) == [
        "language",
        "condition",
        "layer",
        "quantity",
        "base",
        "aligned",
        "delta",
        "ci_low",
        "ci_high",
        "p_value",
        "p_holm",
    ]
    assert len(values) == 12
    assert len(deltas) == 6
    assert values["layer"].eq(4).all()
    found = values.set_index(["condition", "quantity", "language"])["value"]
    assert found["aligned", "target", "de"] == pytest.approx(aligned[1, :, 1].mean())
    assert (values["ci_low"] < values["value"]).all()
    assert (values["value"] < values["ci_high"]).all()
    changed = deltas["quantity"] == "english"
    np.testing.assert_allclose(deltas.loc[changed, "p_value"], 2 / 301)
    np.testing.assert_allclose(deltas.loc[changed, "p_holm"], 4 / 301)  # two languages
    assert deltas.loc[~changed, ["delta", "ci_low", "ci_high"]].eq(0).all(axis=None)
    assert deltas.loc[~changed, "p_value"].eq(1).all()


def test_single_id_is_no_evidence() -> None:
    _, deltas = lens_tables(
        {"base": np.zeros((1, 1, 1)), "other": np.ones((1, 1, 1)), "third": np.ones((1, 1, 1))}, ["mass"], ["en"], 0
    )
    assert deltas["condition"].tolist() == ["other", "third"]
    assert deltas[["delta", "ci_low", "ci_high", "p_value"]].eq(1).all(axis=None)


def test_tables_refuse_unnamed_quantities_and_a_missing_base() -> None:
    array = np.zeros((1, 5, 2))
    with pytest.raises(DataError, match=r"1 quantities \['mass'\] were named for 2 scores"):
        lens_tables({"base": array}, ["mass"], ["en"], 0)
    with pytest.raises(DataError, match="no condition is called 'base' among \\['before'\\]"):
        lens_tables({"before": array}, ["a", "b"], ["en"], 0)


def test_top_tokens() -> None:
    ids, p = top_tokens(np.float32([0.1, 0.4, 0.1, 0.4]), 3)
    assert ids.tolist() == [1, 3, 0]
    np.testing.assert_array_equal(p, np.float32([0.4, 0.4, 0.1]))
    for k in (0, 5):
        with pytest.raises(DataError, match=f"top {k} tokens of a vocabulary of 4"):
            top_tokens(np.float32([0.1, 0.4, 0.1, 0.4]), k)
