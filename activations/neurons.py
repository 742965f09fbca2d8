"""The neurons of a running model: counted when active, or silenced. Nothing of what goes by is kept.

A neuron's activation is what its activation function puts out, as in Tang et al. 2024 (arXiv 2402.16438): in a gated
MLP act(gate), not its product with the other half, whose sign is another thing. A cache's `neurons/...` is the product.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from ..memory import halving
from ..models import Model

Ids = Sequence[int]
TOKEN_BUDGET = 2048  # tokens in one batch, padding counted


@torch.inference_mode()
def count_active(
    model: Model, rows: Sequence[Ids], token_budget: int = TOKEN_BUDGET
) -> Int[np.ndarray, "layer neuron"]:
    """Over how many tokens of the rows each neuron's activation is above 0. A leading BOS is not counted.

    Memory holds the counts and one batch.

    Raises:
        NoMemoryError: there is none for a single row.
    """

    def whole(budget: int) -> np.ndarray:
        counts = [torch.zeros(model.d_mlp, dtype=torch.int32, device=model.device) for _ in model.blocks]
        for _, ids, real in batches(rows, budget):
            counted = real & (torch.arange(ids.shape[1]) >= n_special(model, rows))

            def count(layer: int, activation: torch.Tensor, counted: torch.Tensor = counted) -> None:
                seen = activation.reshape(-1, activation.shape[-1])[counted.reshape(-1).to(activation.device)]
                counts[layer] += (seen > 0).sum(0).to(counts[layer])

            with _watching(model, count):
                model.body(input_ids=ids.to(model.device), use_cache=False)
        return torch.stack(counts).cpu().numpy()

    return halving(whole, token_budget, max(map(len, rows)), "a single text")


def n_special(model: Model, rows: Sequence[Ids]) -> int:
    """1 where rows begin with the tokenizer's BOS, else 0."""
    return int(rows[0][0] == model.tokenizer.bos_token_id)


@contextmanager
def silenced(model: Model, neurons: Bool[np.ndarray, "layer neuron"]) -> Iterator[None]:
    """While it lasts, the activations of the chosen neurons are 0 at every token."""
    masks = [torch.from_numpy(chosen).to(model.device) for chosen in neurons]

    def silence(layer: int, activation: torch.Tensor) -> torch.Tensor | None:
        mask = masks[layer].to(activation.device)
        return activation.masked_fill(mask, 0) if neurons[layer].any() else None

    with _watching(model, silence):
        yield


@contextmanager
def _watching(model: Model, see: Callable[[int, torch.Tensor], torch.Tensor | None]) -> Iterator[None]:
    """Call `see(layer, activation)` for every block, counted from 0; what it returns, if anything, takes the place."""

    def hook(layer: int) -> Callable[..., torch.Tensor | None]:
        def seen(module: Any, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
            return see(layer, output)

        return seen

    functions = [block.get_submodule(model.family.activation) for block in model.blocks]
    handles = [function.register_forward_hook(hook(layer)) for layer, function in enumerate(functions)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def batches(rows: Sequence[Ids], token_budget: int) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Rows of similar length together: their numbers, their ids [row, token] padded on the right, what is no padding.

    Causal attention keeps a row from seeing what is behind it, so padding needs no mask.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
    while order:
        size = max(1, token_budget // len(rows[order[0]]))
        numbers, order = order[:size], order[size:]
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(rows[i]) for i in numbers], batch_first=True)
        lengths = torch.tensor([len(rows[i]) for i in numbers])
        yield numbers, ids, torch.arange(ids.shape[1]) < lengths[:, None]
