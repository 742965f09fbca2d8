"""Distributions over a whole vocabulary, of a few states at a time: what a lens sums up, without ever keeping them.

The logits of a block of states are made in tiles of the vocabulary, as the unembedding computes them, and reduced a few
rows at a time in buffers that stay in a processor's cache: the reductions then cost less than the matrix product.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..exponential import exponential_

TILE = 16384  # words unembedded at once
_ROWS = 4  # whose float32 logits over a tile are reduced together: a quarter of a megabyte
_GROUPS = 256  # of the words of a tile, whose largest logits lead to the largest of all

_LEAST = torch.finfo(torch.float32).min  # in place of -inf, the logit of masked words: 0 * -inf would be NaN


@runtime_checkable
class Head(Protocol):
    """The last two parts of a model."""

    @property
    def vocabulary(self) -> int: ...

    def normed(self, states: Tensor) -> Tensor:
        """Residual stream [n, d_model] -> what the unembedding is multiplied with."""

    def logits(self, normed: Tensor, tokens: slice) -> Tensor:
        """Normed states [n, d_model] -> logits [n, token] of some of the vocabulary, softcap included."""


class Distributions:
    """The distributions over the vocabulary of one block of states. Holds their logits, as precise as they come.

    Made once for blocks of n states and filled again and again (`read`): fresh memory would cost more than the sums.
    """

    def __init__(self, n: int, head: Head) -> None:
        self.head = head
        self.vocabulary = head.vocabulary
        self.tiles = [slice(begin, min(begin + TILE, self.vocabulary)) for begin in range(0, self.vocabulary, TILE)]
        self._n = n
        self._width = min(TILE, -(-head.vocabulary // _GROUPS) * _GROUPS)
        self._buffers = torch.empty(3, _ROWS, self._width)
        self._logits: Tensor | None = None

    def read(self, states: Float[Tensor, "n d_model"]) -> None:
        """Unembed n states."""
        normed = self.head.normed(states).contiguous()
        largest, sums = [], []
        for i, tile in enumerate(self.tiles):
            found = self.head.logits(normed, tile)
            if self._logits is None:  # tile-major; the last tile ends in words that cannot be said
                shape = (len(self.tiles), self._n, self._width)
                self._logits = torch.full(shape, -torch.inf, dtype=found.dtype)
            self._logits[i, :, : found.shape[1]] = found
            top, total = _group_maxima_and_sums(self._logits[i], self._buffers[0])
            largest.append(top)
            sums.append(total)
        self._group_maxima = torch.stack(largest, 1)  # [n, tile, group]
        tops = self._group_maxima.amax(2)
        # log p = (logit - highest) - log_total: subtracted one by one, large logits lose no digits
        self._highest = tops.amax(1, keepdim=True)
        self._log_total = (torch.stack(sums, 1) * (tops - self._highest).exp()).sum(1, keepdim=True).log()

    @property
    def sound(self) -> Bool[Tensor, " n"]:
        """Whether the logits of each state make a distribution: no NaN, no +inf, and not -inf alone."""
        return torch.isfinite(self._log_total + self._highest)[:, 0]

    def log_p(self, tokens: Int[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        """Natural log-probability of some words of each state, in float32; -inf for token -1."""
        flat = tokens.reshape(len(tokens), -1)
        known = flat.clamp_min(0)
        rows = torch.arange(len(flat))[:, None]
        assert self._logits is not None, "read states first"
        found = self._logits[known // self._width, rows, known % self._width].float()
        found = found.sub_(self._highest).sub_(self._log_total)
        return found.masked_fill(flat < 0, -torch.inf).reshape(tokens.shape)

    def probabilities(self) -> list[Float[Tensor, "n _"]]:
        """Of every word, in float32, a tensor per tile."""
        return [
            exponential_(self._rows_log_p(i, slice(None), torch.empty(self._n, tile.stop - tile.start)))
            for i, tile in enumerate(self.tiles)
        ]

    def top_tokens(self, k: int) -> Int[Tensor, "n k"]:
        """The k likeliest words of each state, likeliest first; k at most the vocabulary."""
        n, tiles, groups = self._group_maxima.shape
        # The k largest lie in the k groups with the largest maxima.
        chosen = self._group_maxima.reshape(n, -1).topk(min(k, tiles * groups), dim=1).indices
        tile, group = chosen // groups, chosen % groups
        offsets = torch.arange(0, self._width, groups)  # a group is every groups-th word of a tile
        tokens = (tile * self._width + group)[:, :, None] + offsets
        candidates = tokens.reshape(n, -1)
        inside = torch.where(candidates < self.vocabulary, candidates, -1)
        best = self.log_p(inside).topk(k, dim=1).indices
        return candidates.gather(1, best)

    def sums(
        self, threshold: Float[Tensor, " n"], reference: Sequence[Float[Tensor, "n _"]], groups: Sequence[slice]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, "group vocabulary"]]:
        """What takes a sweep over all words: entropy, cross-entropy, rank, and summed probabilities.

        Args:
            threshold: a log-probability, finite.
            reference: probabilities of another distribution, a tensor per tile (see `probabilities`); none for none.
            groups: rows whose probabilities are summed; they follow one another.

        Returns:
            entropy [n] in nats; -sum reference * log p [n] in nats (0 without a reference); the number of words that
            are likelier than the threshold, ties by half, [n]; summed probabilities [group, vocabulary].
        """
        n = self._n
        entropy, cross, excess = torch.zeros(n), torch.zeros(n), torch.zeros(n)
        summed = torch.zeros(len(groups), self.vocabulary)
        member = torch.zeros(len(groups), n)
        for i, group in enumerate(groups):
            member[i, group] = 1
        for i, tile in enumerate(self.tiles):
            width = tile.stop - tile.start
            for begin in range(0, n, _ROWS):
                rows = slice(begin, min(begin + _ROWS, n))
                log_p, p, product = self._buffers[:, : rows.stop - begin, :width]
                self._rows_log_p(i, rows, log_p)
                torch.sub(log_p, threshold[rows, None], out=product)
                excess[rows] += product.sign_().sum(1)
                log_p.clamp_min_(_LEAST)
                exponential_(p.copy_(log_p))
                entropy[rows] -= torch.mul(p, log_p, out=product).sum(1)
                if reference:
                    cross[rows] -= torch.mul(reference[i][rows], log_p, out=product).sum(1)
                touched = [g for g, group in enumerate(groups) if group.start < rows.stop and group.stop > begin]
                if touched:
                    of = slice(touched[0], touched[-1] + 1)
                    summed[of, tile].addmm_(member[of, rows], p)
        return entropy, cross, (self.vocabulary + excess) / 2, summed

    def _rows_log_p(self, tile: int, rows: slice, out: Float[Tensor, "m token"]) -> Float[Tensor, "m token"]:
        assert self._logits is not None, "read states first"
        found = out.copy_(self._logits[tile, rows, : out.shape[1]])
        return found.sub_(self._highest[rows]).sub_(self._log_total[rows])


def _group_maxima_and_sums(
    logits: Float[Tensor, "n token"], buffer: Float[Tensor, "rows token"]
) -> tuple[Float[Tensor, "n group"], Float[Tensor, " n"]]:
    """Largest logits of groups of words, and the sum of exp(logit - the row's largest), both in float32."""
    maxima, sums = [], []
    for rows in torch.split(logits, len(buffer)):
        wide = buffer[: len(rows)].copy_(rows)
        largest = wide.view(len(rows), -1, _GROUPS).amax(1)
        maxima.append(largest)
        # A tile of masked words alone has no largest: it counts for nothing, whatever its sum.
        wide.sub_(largest.amax(1, keepdim=True).clamp_min_(_LEAST))
        sums.append(exponential_(wide).sum(1))
    return torch.cat(maxima), torch.cat(sums)
