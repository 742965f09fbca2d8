"""The last two parts of a model, read without opening it: all that a lens needs."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..quiet import explaining, quiet_transformers
from .compute import choose_precision
from .families import Family, find_family
from .logits import softcap_of, softcapped
from .opening import open_model, resolve

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Unembedding:
    """Final norm and unembedding of a model, without the model: all that a lens needs."""

    norm: "nn.Module"
    weight: "torch.Tensor"
    bias: "torch.Tensor | None"
    softcap: float | None

    def __call__(self, states: "torch.Tensor") -> "torch.Tensor":
        """Residual stream [n, d_model], before the final norm -> logits [n, vocabulary]."""
        return self.logits(self.normed(states))

    @property
    def vocabulary(self) -> int:
        return len(self.weight)

    @property
    def gain(self) -> "torch.Tensor":
        """What the final norm multiplies each dimension with, [d_model] in float32.

        Families keep it as it is or less 1, so it is measured: at states of mean 0 and size 1 a norm does nothing else.
        """
        import torch

        signs = torch.ones(self.weight.shape[1])
        signs[1::2] = -1
        both = self.normed(torch.stack([signs, -signs])).float()
        gain: torch.Tensor = (both[0] - both[1]) / 2 * signs
        return gain

    def normed(self, states: "torch.Tensor") -> "torch.Tensor":
        """Residual stream [n, d_model] -> what the unembedding is multiplied with, in its precision."""
        normed: torch.Tensor = self.norm(states.to(self.weight.dtype))
        return normed

    def restricted(self, tokens: "torch.Tensor") -> "Unembedding":
        """The same for some of the vocabulary, in float32: what a lens is trained with."""
        bias = None if self.bias is None else self.bias[tokens].float()
        return Unembedding(deepcopy(self.norm).float(), self.weight[tokens].float(), bias, self.softcap)

    def logits(self, normed: "torch.Tensor", tokens: slice = slice(None)) -> "torch.Tensor":
        """States [n, d_model] after the final norm -> logits [n, token] of some of the vocabulary, or of all of it."""
        from torch.nn import functional

        bias = None if self.bias is None else self.bias[tokens]
        return softcapped(functional.linear(normed, self.weight[tokens], bias), self.softcap)


def open_unembedding(name: str, dtype: str = "auto") -> Unembedding:
    """Read the final norm and the unembedding from safetensors; the other weights stay on disk."""
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    precision = choose_precision(dtype, torch.device("cpu"))  # what quantises leaves these two parts as they are
    folder = resolve(name)
    family = find_family(folder)
    with explaining(f"The unembedding of {name!r} cannot be read"), quiet_transformers():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config)
        wanted = _unembedding_tensors(skeleton, family)
        found: dict[str, torch.Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                for key in wanted.keys() & set(file.keys()):
                    found[wanted[key]] = file.get_tensor(key)
        missing = set(wanted.values()) - found.keys()
    if missing:  # checkpoints of other releases name their tensors otherwise; opening the model renames them
        model = open_model(name, dtype=precision.computed, device="cpu")
        return Unembedding(model.final_norm, model.unembedding.weight, model.unembedding.bias, model.softcap)
    norm = skeleton.get_submodule(family.final_norm)
    norm.load_state_dict({k.removeprefix("norm."): v for k, v in found.items() if k.startswith("norm.")}, assign=True)
    bias = found.get("bias")
    return Unembedding(
        norm.to(precision.dtype).requires_grad_(False),
        found["weight"].to(precision.dtype),
        None if bias is None else bias.to(precision.dtype),
        softcap_of(family.softcap, config),
    )


def _unembedding_tensors(skeleton: "PreTrainedModel", family: Family) -> dict[str, str]:
    """Name on disk -> role. A tied unembedding is stored under the name of the input embedding."""
    norm = skeleton.get_submodule(family.final_norm)
    wanted = {f"{family.final_norm}.{key}": f"norm.{key}" for key in norm.state_dict()}
    head: Any = skeleton.get_submodule(family.unembedding)
    embedding = skeleton.get_input_embeddings()
    tied = skeleton.config.get_text_config().tie_word_embeddings
    owner = next(key for key, module in skeleton.named_modules() if module is (embedding if tied else head))
    wanted[f"{owner}.weight"] = "weight"
    if head.bias is not None:
        wanted[f"{family.unembedding}.bias"] = "bias"
    return wanted
