"""Direct attribution against the model's own logits, and against what a run without a head would say."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from babelscope.interventions.attribution import contributions
from babelscope.interventions.bridge import bridged
from babelscope.models import Model, adapted

ROWS = [(0, 5, 6, 7, 8), (0, 5, 9, 11, 40, 41), (0, 3)]
RIGHT, WRONG = [17, 18, 19], [[20], [21, 22], [17]]


def logit_differences(model: Model) -> list[float]:
    found = []
    for row, right, wrong in zip(ROWS, RIGHT, WRONG, strict=True):
        states = model.body(input_ids=torch.tensor([row])).last_hidden_state[:, -1]
        logits = model.unembedding(states)[0]  # before any softcap
        found.append(float(logits[right] - logits[wrong].mean()))
    return found


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "opt", "bloom", "phi3"])
def test_parts_sum_to_the_logit_difference(tiny: Callable[..., Model], family: str) -> None:
    model = tiny(family)
    expected = torch.tensor(logit_differences(model), dtype=torch.float64)
    with bridged(model) as engine:
        parts = contributions(engine, ROWS, RIGHT, WRONG)
        biases = torch.stack([engine.bridge.blocks[n].attn.o(torch.zeros(1, 32))[0] for n in range(model.n_layers)])
    summed = parts.embedding + parts.attention.sum(1) + parts.mlp.sum(1) + parts.bias
    assert torch.allclose(summed, expected, atol=1e-5)
    assert torch.allclose(parts.total, expected, atol=1e-5)
    assert parts.heads.shape == (3, model.n_layers, 4)
    assert parts.heads.std() > 1e-4
    if not biases.any():
        assert torch.allclose(parts.heads.sum(-1), parts.attention, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_a_heads_part_in_the_last_block_is_what_its_absence_costs(tiny: Callable[..., Model], family: str) -> None:
    """With the last MLP silenced and the final norm's scale held, by hand."""
    model = tiny(family)
    last = f"blocks.{model.n_layers - 1}"
    with bridged(model) as engine:

        def final_state(row: tuple[int, ...], *silenced: tuple[str, object]) -> torch.Tensor:
            found = []
            hooks = [(f"{last}.{name}", partial(silence, at=at)) for name, at in silenced]
            hooks.append((f"{last}.hook_out", lambda out, hook: found.append(out[0, -1].double())))
            with engine.bridge.hooks(fwd_hooks=hooks), torch.inference_mode():
                model.body(input_ids=torch.tensor([row]))
            return found[0]

        parts = contributions(engine, ROWS, RIGHT, WRONG)
        norm = engine.bridge.ln_final.original_component
        centre = torch.eye(32).double() - (1 / 32 if isinstance(norm, torch.nn.LayerNorm) else 0)
        weight = model.unembedding.weight.double()
        for row, right, wrong, found in zip(ROWS, RIGHT, WRONG, parts.heads[:, -1], strict=True):
            direction = (weight[right] - weight[wrong].mean(0)) * norm.weight.double()
            scale = (centre @ final_state(row)).square().mean().sqrt()
            whole = final_state(row, ("hook_mlp_out", ...))
            for head in range(4):
                less = final_state(row, ("hook_mlp_out", ...), ("attn.hook_z", (0, -1, head)))
                cost = direction @ centre @ (whole - less) / scale
                assert float(found[head]) == pytest.approx(float(cost), rel=0.01, abs=1e-5)


def silence(out: torch.Tensor, hook: object, at: object) -> torch.Tensor:
    changed = out.clone()
    changed[at] = 0
    return changed


def test_an_adapter_around_the_output_projection_counts(
    tiny: Callable[..., Model], tiny_adapter: Callable[..., Path]
) -> None:
    model = tiny("llama")
    with adapted(model, tiny_adapter()) as aligned:
        expected = torch.tensor(logit_differences(aligned), dtype=torch.float64)
        with bridged(aligned) as engine:
            parts = contributions(engine, ROWS, RIGHT, WRONG)
    assert torch.allclose(parts.total, expected, atol=1e-5)
    assert torch.allclose(parts.heads.sum(-1), parts.attention, atol=1e-5)
