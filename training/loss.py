"""Cross-entropy through a frozen unembedding that never holds all logits.

Chunks of states are unembedded, scored and differentiated at once, in the forward pass: what is kept for backward is
the gradient with respect to the states, [prediction, d_model], not the logits, [prediction, vocabulary].
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

CHUNK = 128  # predictions unembedded at once; 128 x 262k float32 logits are 134 MB


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
    loss: Tensor = _ChunkedCrossEntropy.apply(states, weight, targets, softcap, bias)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, bias: Tensor | None
    ) -> Tensor:
        gradient = torch.empty_like(states)
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        for begin in range(0, len(states), CHUNK):
            chunk = slice(begin, begin + CHUNK)
            loss, gradient[chunk] = _loss_and_gradient(states[chunk], weight, targets[chunk], softcap, bias)
            total += loss
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0].to(gradient.dtype), None, None, None, None


def _loss_and_gradient(
    states: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Loss of one chunk, and its gradient: (softmax - one-hot) @ weight, in few passes over the logits."""
    logits = functional.linear(states, weight, bias).float()
    slope = None
    if softcap is not None:
        logits.div_(softcap).tanh_()
        slope = 1 - logits**2  # of cap * tanh(x / cap)
        logits.mul_(softcap)
    rows = torch.arange(len(targets), device=targets.device)
    wanted = logits[rows, targets]
    largest = logits.amax(-1, keepdim=True)
    odds = logits.sub_(largest).exp_()  # the softmax up to its normaliser, written over the logits
    normaliser = odds.sum(-1, keepdim=True)
    loss = (normaliser.log() + largest).sum() - wanted.sum()
    pull = weight[targets].float()
    if slope is not None:
        odds.mul_(slope)
        pull *= slope[rows, targets].unsqueeze(-1)
    gradient = (odds.to(weight.dtype) @ weight).float() / normaliser - pull
    return loss, gradient.to(states.dtype)
