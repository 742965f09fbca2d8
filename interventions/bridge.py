"""A model opened with TransformerLens for a while: its bridge puts hook points around the modules, in place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..activations.past import leading
from ..models import Model
from ..quiet import explaining, quiet_transformers

if TYPE_CHECKING:
    from transformers import Cache


@dataclass
class Bridged:
    """A model whose modules carry TransformerLens's hook points, and the keys and values of what it read last."""

    model: Model
    bridge: Any  # TransformerBridge
    _ids: tuple[int, ...] = ()
    _past: "Cache | None" = field(default=None, repr=False)

    def past(self, ids: Sequence[int]) -> "Cache | None":
        """Keys and values of `ids`, unchanged by any edit; None for no tokens.

        What `ids` begin with in common with the last call is not run again: prompts in a row share demonstrations.
        """
        from transformers import DynamicCache

        ids = tuple(ids)
        if not ids:
            return None
        common = next((n for n, (a, b) in enumerate(zip(ids, self._ids, strict=False)) if a != b), None)
        n = min(len(ids), len(self._ids)) if common is None else common
        # Without the model's configuration, layers with a sliding window keep all tokens too, and can be cut.
        past = leading(self._past, n) if self._past is not None and n else DynamicCache()
        if n < len(ids):
            rest = torch.tensor([ids[n:]], device=self.model.device)
            self.model.body(input_ids=rest, past_key_values=past, use_cache=True)
            self._ids, self._past = ids, past
        return past


@contextmanager
def bridged(model: Model) -> Iterator[Bridged]:
    """Open `model` with TransformerLens; afterwards its own modules are back in their places.

    TransformerLens computes attention `eager`ly, which costs a fifth more time than the model alone. Adapters must be
    attached before, and stay as they are meanwhile.

    Raises:
        ModelError: TransformerLens does not know the architecture.
    """
    from transformer_lens.model_bridge import TransformerBridge

    modules = {module: dict(module._modules) for module in model.net.modules()}
    attention = model.net.config._attn_implementation
    try:
        opening = explaining(f"Model {model.name!r} cannot be opened with TransformerLens")
        with opening, quiet_transformers(), _without_installing():
            bridge = TransformerBridge.boot_transformers(
                str(model.folder),
                hf_model=model.net,
                tokenizer=model.tokenizer,
                dtype=model.dtype,
                device=str(model.device),
            )
        yield Bridged(model, bridge)
    finally:
        for module, children in modules.items():
            module._modules.clear()
            module._modules.update(children)
        model.net.set_attn_implementation(attention)


@contextmanager
def _without_installing() -> Iterator[None]:
    """For models with a vision tower TransformerLens runs `pip install torchvision`, which replaces torch as well."""
    from transformer_lens.model_bridge.sources.transformers import helpers

    install = helpers._ensure_torchvision  # if it is called otherwise one day, opening fails rather than installs
    helpers._ensure_torchvision = lambda: False
    try:
        yield
    finally:
        helpers._ensure_torchvision = install
