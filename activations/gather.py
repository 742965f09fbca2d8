"""Hooks that read activations as they go by: the wanted positions of every layer; nothing else outlives its layer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int

from ..models import Model

Pool = Callable[[torch.Tensor], torch.Tensor]  # [row, token, width] -> [kept, width]


def at(rows: Int[torch.Tensor, "kept"], tokens: Int[torch.Tensor, "kept"]) -> Pool:
    """Single places: the answer position of every row, or all tokens that are kept, flat."""
    # Layers may lie on several devices.
    return lambda hidden: hidden[rows.to(hidden.device), tokens.to(hidden.device)]


def mean(rows: Int[torch.Tensor, "kept"], weights: Float[torch.Tensor, "kept token"]) -> Pool:
    """A weighted sum over the tokens of each row, in float32, because sums of bfloat16 lose digits."""

    def pool(hidden: torch.Tensor) -> torch.Tensor:
        chosen = hidden if len(rows) == len(hidden) else hidden[rows.to(hidden.device)]
        return torch.bmm(weights.to(hidden.device).unsqueeze(1), chosen.float()).squeeze(1).to(hidden.dtype)

    return pool


@contextmanager
def gathering(model: Model, pools: Mapping[str, Pool], n_rows: int) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Collect what the pools make of every layer while a forward of `n_rows` rows runs.

    Args:
        pools: array name, such as `states/last`, -> what to keep of [row, token, width].
    """
    found: dict[str, list[torch.Tensor]] = {name: [] for name in pools}
    handles = []

    def keep(stream: str, hidden: torch.Tensor) -> None:
        hidden = hidden.reshape(n_rows, -1, hidden.shape[-1])  # OPT's MLP sees all tokens in one row
        for name, pool in pools.items():
            if name.startswith(f"{stream}/"):
                found[name].append(pool(hidden))

    def reading_input(stream: str) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            keep(stream, args[0] if args else kwargs["hidden_states"])

        return hook

    def reading_output(stream: str) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            keep(stream, output[0] if isinstance(output, tuple) else output)

        return hook

    for stream in {name.split("/")[0] for name in pools}:
        for module, side in model.points(stream):
            if side == "input":
                handles.append(module.register_forward_pre_hook(reading_input(stream), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(reading_output(stream)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
