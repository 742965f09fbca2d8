"""Attention by products equals torch's kernel, forwards and backwards, and leaves to it what it is not for."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from babelscope.models import Model, attention, open_model
from babelscope.models.attention import grouped_products
from transformers.integrations.sdpa_attention import sdpa_attention_forward

WIDTH = 32


def module(groups: int = 3) -> Any:
    return SimpleNamespace(num_key_value_groups=groups, training=False, is_causal=True)


def given(asked: int, held: int, dtype: torch.dtype = torch.bfloat16) -> list[torch.Tensor]:
    """Queries of six heads; keys and values of two."""
    torch.manual_seed(asked + held)
    shapes = [(5, 6, asked, WIDTH), (5, 2, held, WIDTH), (5, 2, held, WIDTH)]
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def masks(kind: str, asked: int, held: int) -> torch.Tensor | None:
    seen = torch.ones(5, 1, asked, held, dtype=torch.bool).tril(held - asked)
    seen[0, :, :, :2] = False  # one row sees less
    seen[0, :, :, 2] = True
    added = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill(~seen, torch.finfo(torch.bfloat16).min)
    return {"none": None, "seen": seen, "added": added}[kind]


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("torch's kernel was called")

    monkeypatch.setattr("transformers.integrations.sdpa_attention.sdpa_attention_forward", refuse)


@pytest.mark.parametrize(("asked", "held"), [(20, 20), (7, 40), (1, 30)])
@pytest.mark.parametrize("mask", ["none", "seen", "added"])
@pytest.mark.parametrize("scaling", [None, 0.5])
def test_products_equal_the_kernel(no_kernel: None, asked: int, held: int, mask: str, scaling: float | None) -> None:
    if mask == "none" and 1 < asked < held:
        pytest.skip("transformers gives a mask there")
    tensors = given(asked, held)
    exact = [tensor.detach().float().requires_grad_() for tensor in tensors]
    seen = masks(mask, asked, held)
    found, _ = grouped_products(module(), *tensors, seen, scaling=scaling)
    precise = seen if seen is None or seen.dtype == torch.bool else seen.float()
    expected, _ = sdpa_attention_forward(module(), *exact, precise, scaling=scaling)
    upstream = torch.randn_like(expected)
    found.backward(upstream.bfloat16())
    expected.backward(upstream.bfloat16().float())
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    for mine, theirs in zip(tensors, exact, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert (mine.grad.float() - theirs.grad).norm() < 0.01 * theirs.grad.norm()
    with torch.inference_mode():
        torch.testing.assert_close(grouped_products(module(), *tensors, seen, scaling=scaling)[0], found)


def test_scores_are_not_rounded(no_kernel: None) -> None:
    """Scores near 20 that differ by less than bfloat16's step there decide what is said."""
    query, key, value = (torch.zeros(1, heads, 1, WIDTH, dtype=torch.bfloat16) for heads in (2, 1, 1))
    key, value = key.repeat(1, 1, 2, 1), value.repeat(1, 1, 2, 1)
    query[..., 0], query[..., 1] = 20, 0.05
    key[..., 0], key[0, 0, 1, 1], value[0, 0, 1] = 1, 1, 1
    said, _ = grouped_products(module(2), query, key, value, torch.ones(1, 1, 1, 2, dtype=torch.bool), scaling=1.0)
    torch.testing.assert_close(said.float(), torch.full((1, 1, 2, WIDTH), 0.05).sigmoid(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("change", ["long", "float32", "not shared", "biased"])
def test_the_rest_is_left_to_torch(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    tensors = given(9, 9, torch.float32 if change == "float32" else torch.bfloat16)
    if change == "long":
        monkeypatch.setattr(attention, "_LONGEST", 0.1)
    if change == "not shared":
        tensors = [tensors[0], tensors[0].detach(), tensors[0].detach()]
    options = {"position_bias": torch.randn(1, 6, 9, 9).to(tensors[0].dtype)} if change == "biased" else {}
    shared = module(1 if change == "not shared" else 3)
    found, _ = grouped_products(shared, *tensors, None, **options)
    expected, _ = sdpa_attention_forward(shared, *tensors, None, **options)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
def test_models_on_a_cpu_use_products_unless_told_otherwise(
    tiny: Callable[..., Model], tiny_folder: Callable[[str], Any], family: str
) -> None:
    assert tiny(family).net.config._attn_implementation == attention.NAME
    assert tiny(family, attention="sdpa").net.config._attn_implementation == "sdpa"
    ids = torch.arange(3, 15).view(2, 6)
    nets = [
        open_model(str(tiny_folder(family)), dtype="bfloat16", device="cpu", attention=way).net
        for way in (None, "sdpa")
    ]
    with torch.inference_mode():
        one, other = (net(input_ids=ids).logits.float() for net in nets)
    assert (one - other).norm() < 0.02 * other.norm()
