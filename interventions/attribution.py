"""The difference of two answers' logits as a sum of what the embedding, every head and every MLP write.

Direct logit attribution (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; used by Wang et al.
2022, arXiv 2211.00593): the last state is the sum of all that was written to the residual stream, and behind it come a
norm and a linear map. With the norm's scale held at what it was in the run, the logit is linear in what each of them
writes. A head's own part goes through the attention's output projection and, where a family has one, the norm behind
it, whose scale is held too.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float

from .bridge import Bridged
from .run import Ids, hook_name, run


@dataclass(frozen=True)
class Contributions:
    """To the logit of the right token minus the mean logit of wrong ones, before any softcap; float64, on the CPU.

    `embedding`, `attention`, `mlp` and `bias` sum to `total` up to the rounding of the model's own precision. `heads`
    sum to `attention` but for the bias of the output projection and of a norm behind it.
    """

    embedding: Float[torch.Tensor, "row"]
    attention: Float[torch.Tensor, "row block"]
    heads: Float[torch.Tensor, "row block head"]
    mlp: Float[torch.Tensor, "row block"]
    bias: Float[torch.Tensor, "row"]  # of the final norm and the unembedding
    total: Float[torch.Tensor, "row"]


@torch.inference_mode()
def contributions(
    bridged: Bridged, rows: Sequence[Ids], right: Sequence[int], wrong: Sequence[Sequence[int]]
) -> Contributions:
    """Attribute the logit difference at the last token of each row.

    Args:
        right: one token for each row.
        wrong: at least one token for each row.
    """
    model = bridged.model
    blocks = range(model.n_layers)
    ends = (hook_name(0), hook_name(model.n_layers))
    hooks = [f"blocks.{n}.{name}" for n in blocks for name in ("attn.hook_z", "hook_attn_out", "hook_mlp_out")]
    read = {name: _exact(found) for name, found in run(bridged, rows, read=[*ends, *hooks]).read.items()}

    head = model.unembedding
    wanted = _differences(head.weight, right, wrong)
    norm = _Norm.of(bridged.bridge.ln_final)
    direction = norm.pulled(wanted, read[ends[1]])
    bias = wanted @ norm.shift
    if head.bias is not None:
        bias = bias + _differences(head.bias[:, None], right, wrong)[:, 0]

    attention, heads, mlp = [], [], []
    for n in blocks:
        attention.append(_dot(direction, read[f"blocks.{n}.hook_attn_out"]))
        mlp.append(_dot(direction, read[f"blocks.{n}.hook_mlp_out"]))
        heads.append(_by_head(bridged.bridge.blocks[n], direction, read[f"blocks.{n}.attn.hook_z"]))
    return Contributions(
        _dot(direction, read[ends[0]]),
        torch.stack(attention, dim=1),
        torch.stack(heads, dim=1),
        torch.stack(mlp, dim=1),
        bias,
        _dot(direction, read[ends[1]]) + bias,
    )


@dataclass(frozen=True)
class _Norm:
    """gain * (x, less its mean where it is `centred`) * scale + shift, the scale being the run's."""

    module: Any
    gain: Float[torch.Tensor, "d_model"]
    shift: Float[torch.Tensor, "d_model"]
    centred: bool

    @classmethod
    def of(cls, norm: Any) -> "_Norm":
        """Read off a norm's answers to vectors of known mean and scale, whatever it calls its weights."""
        module = copy.deepcopy(norm.original_component).cpu().double()
        even = torch.ones(len(module.weight), dtype=torch.float64)
        signs = even.clone()
        signs[1::2] = -1  # mean 0, mean square 1: for a centring norm and for one that does not, the same
        up, down = module(signs).double(), module(-signs).double()
        shift, gain = (up + down) / 2, (up - down) / 2 * signs
        left = module(even).double() - shift  # of a constant vector a centring norm leaves nothing
        return cls(module, gain, shift, bool(left.abs().max() < 0.5 * gain.abs().max()))

    def pulled(
        self, wanted: Float[torch.Tensor, "row d_model"], states: Float[torch.Tensor, "row d_model"]
    ) -> Float[torch.Tensor, "row d_model"]:
        """Directions before the norm whose products with `states` are those of `wanted` behind it, less the shift's."""
        scaled = self.gain * (states - states.mean(-1, keepdim=True) if self.centred else states)
        normed: torch.Tensor = self.module(states).double() - self.shift
        scale = (normed * scaled).sum(-1, keepdim=True) / scaled.square().sum(-1, keepdim=True)
        found: torch.Tensor = wanted * self.gain * scale
        return found - found.mean(-1, keepdim=True) if self.centred else found


def _by_head(
    block: Any, direction: Float[torch.Tensor, "row d_model"], z: Float[torch.Tensor, "row head d_head"]
) -> Float[torch.Tensor, "row head"]:
    projection = block.attn.o
    unit = torch.eye(z.shape[1] * z.shape[2]).to(projection.weight)
    bias = _exact(projection(torch.zeros_like(unit[:1])))
    matrix = _exact(projection(unit)) - bias  # of the weights, and of an adapter's layers around them
    if hasattr(block, "ln1_post"):
        direction = _Norm.of(block.ln1_post).pulled(direction, z.flatten(1) @ matrix + bias)
    return _dot((direction @ matrix.T).view(z.shape), z)


def _differences(
    weight: Float[torch.Tensor, "token width"], right: Sequence[int], wrong: Sequence[Sequence[int]]
) -> Float[torch.Tensor, "row width"]:
    rows = zip(right, wrong, strict=True)
    return torch.stack([_exact(weight[one]) - _exact(weight[list(others)]).mean(0) for one, others in rows])


def _dot(
    directions: Float[torch.Tensor, "*row width"], states: Float[torch.Tensor, "*row width"]
) -> Float[torch.Tensor, "*row"]:
    return (directions * states).sum(-1)


def _exact(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().double()
