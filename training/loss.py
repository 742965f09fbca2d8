"""Cross-entropy through a frozen unembedding that never holds all logits.

Chunks of states are unembedded, scored and differentiated at once, in the forward pass: what is kept for backward is
the gradient with respect to the states, [prediction, d_model], not the logits, [prediction, vocabulary].
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..exponential import exponential_

CHUNK = 256  # predictions unembedded at once; 256 x 262k bfloat16 logits are 134 MB
# Tokens whose probability is below this, times the precision's own step, in a whole chunk are left out of the product
# that makes the gradient (arXiv 2411.09009 does so by blocks). In bfloat16 that is 2^-18: it leaves out five in six
# tokens, at an error below that of rounding.
NEGLIGIBLE = 2**-11
_ROWS = 4  # whose logits are turned into a softmax at once


def answer_loss(
    states: Float[Tensor, "prediction d_model"],
    weight: Float[Tensor, "vocabulary d_model"],
    targets: Int[Tensor, "prediction"],
    softcap: float | None = None,
    bias: Float[Tensor, "vocabulary"] | None = None,
) -> Float[Tensor, ""]:
    """Sum over predictions of -log softmax(logits)[target], in nats; differentiable in `states` only.

    Args:
        states: after the final norm.
        softcap: logits become cap * tanh(logits / cap) before the softmax (Gemma 2).
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(states, weight, targets, softcap, bias)  # type: ignore[no-untyped-call]
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, bias: Tensor | None
    ) -> Tensor:
        gradient = torch.empty_like(states)
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        held = states.new_empty(min(CHUNK, len(states)), len(weight))  # used again: fresh memory takes time
        for begin in range(0, len(states), CHUNK):
            chunk = slice(begin, begin + CHUNK)
            logits = torch.mm(states[chunk], weight.T, out=held[: len(states[chunk])])
            if bias is not None:
                logits += bias
            loss, gradient[chunk] = _loss_and_gradient(logits, weight, targets[chunk], softcap)
            total += loss
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0].to(gradient.dtype), None, None, None, None


def _loss_and_gradient(logits: Tensor, weight: Tensor, targets: Tensor, softcap: float | None) -> tuple[Tensor, Tensor]:
    """Loss of one chunk, and its gradient: (softmax - one-hot) @ weight, without the tokens that are negligible.

    The softmax is written over the logits; in float32, a few rows at a time, which stay in a processor's cache
    meanwhile.
    """
    on_cpu = logits.device.type == "cpu"
    n_rows = _ROWS if on_cpu else len(logits)
    held = torch.empty(n_rows, len(weight), dtype=torch.float32, device=logits.device)
    highest = torch.zeros(len(weight), dtype=logits.dtype, device=logits.device)  # probability of each token in any row
    losses, pulls = [], []
    for rows, wanted in zip(torch.split(logits, n_rows), torch.split(targets[:, None], n_rows), strict=True):
        wide = held[: len(rows)].copy_(rows)
        slope = None
        if softcap is not None:
            wide.div_(softcap).tanh_()
            slope = 1 - wide**2  # of cap * tanh(x / cap)
            wide.mul_(softcap)
        said = wide.gather(1, wanted)
        largest = wide.amax(-1, keepdim=True)
        odds = exponential_(wide.sub_(largest))
        normaliser = odds.sum(-1, keepdim=True)
        losses.append(normaliser.log() + largest - said)
        pulls.append(torch.ones_like(said) if slope is None else slope.gather(1, wanted))
        rows.copy_((odds if slope is None else odds.mul_(slope)).div_(normaliser))
        torch.maximum(highest, rows.amax(0), out=highest)
    # A GPU would wait for their number longer than the product takes.
    tokens = (highest > NEGLIGIBLE * torch.finfo(weight.dtype).eps).nonzero().squeeze(1) if on_cpu else slice(None)
    pull = weight[targets].float() * torch.cat(pulls)
    gradient = (logits[:, tokens].to(weight.dtype) @ weight[tokens]).float() - pull
    return torch.cat(losses).sum(), gradient.to(weight.dtype)
