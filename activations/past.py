"""Keys and values that several rows share, and which rows run together on top of them."""

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import Cache

TOKEN_BUDGET = 1024  # tokens of own text in one batch, padding counted; more means more padding, products gain no more
PREFIX_COPIES = 16  # times the budget: keys and values in one batch, each row counted with its copy of the prefix


def batches(lengths: Sequence[int], n_shared: int, token_budget: int) -> Iterator[list[int]]:
    """Rows of similar length together, at most `token_budget` tokens with padding; prefixes are bounded for memory.

    Args:
        lengths: own tokens of each row, behind the `n_shared` ones that all rows share.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True):
        size, width = len(batch) + 1, lengths[batch[0]] if batch else 0
        if batch and (size * width > token_budget or size * (n_shared + width) > PREFIX_COPIES * token_budget):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def for_batch(prefix: "Cache", size: int) -> "Cache":
    """A cache of its own for one batch: the forward appends to what it is given."""
    cache = copy.copy(prefix)
    cache.layers = [copy.copy(layer) for layer in prefix.layers]
    for layer in cache.layers:
        # Views: the forward's own concatenation makes the only copy.
        layer.keys = layer.keys.expand(size, -1, -1, -1)
        layer.values = layer.values.expand(size, -1, -1, -1)
    return cache


def leading(cache: "Cache", n: int) -> "Cache":
    """The first `n` tokens of a cache that keeps all of them, as views."""
    found = copy.copy(cache)
    found.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in found.layers:
        layer.keys = layer.keys[:, :, :n]
        layer.values = layer.values[:, :, :n]
    return found
