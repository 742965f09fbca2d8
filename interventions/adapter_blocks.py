"""An adapter that acts in some blocks only."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from ..models import Model


@contextmanager
def adapter_in(model: Model, blocks: Collection[int]) -> Iterator[None]:
    """For a while, the adapter's layers outside the `blocks` (counted from 0) add nothing.

    Layers outside all blocks, such as one at the embedding, count as the first block's.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    block_of = {module: n for n, block in enumerate(model.blocks) for module in block.modules()}
    silent = [
        layer
        for layer in model.net.modules()
        if isinstance(layer, BaseTunerLayer) and block_of.get(layer, 0) not in blocks
    ]
    scalings = [dict(layer.scaling) for layer in silent]
    for layer in silent:
        layer.scaling.update(dict.fromkeys(layer.scaling, 0.0))
    try:
        yield
    finally:
        for layer, scaling in zip(silent, scalings, strict=True):
            layer.scaling.update(scaling)
