"""An opened model: where its parts are, and what they make of states."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..display import Displayed
from ..errors import UsageError
from ..memory import halving
from .compute import Compute, Precision
from .families import Family
from .logits import log_normaliser, softcap_of, softcapped

if TYPE_CHECKING:  # heavy: imported where used, so that `--help` stays quick
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNEMBEDDED = 128  # states whose logits are held at once; 128 x 262k are 67 MB in bfloat16


@dataclass(frozen=True, repr=False)
class Model(Displayed):
    """An opened model. `net` is the Hugging Face model itself; an adapter's layers, if any, sit inside it."""

    name: str
    folder: Path
    net: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    family: Family
    compute: Compute
    adapter: Path | None = None

    def summary(self) -> dict[str, object]:
        return {
            "name": self.name,
            "adapter": self.adapter or "none",
            "family": self.net.config.model_type,
            "parameters": self.net.num_parameters(),
            "layers": self.n_layers,
            "d_model": self.d_model,
            "vocabulary": self.unembedding.out_features,
            "device": self.device,
            "precision": self.precision.name,
            "folder": self.folder,
        }

    @property
    def body(self) -> "nn.Module":
        body: nn.Module = self._part(self.family.body)
        return body

    @property
    def blocks(self) -> "list[nn.Module]":
        return list(self._part(self.family.blocks).children())

    @property
    def final_norm(self) -> "nn.Module":
        norm: nn.Module = self._part(self.family.final_norm)
        return norm

    @property
    def unembedding(self) -> "nn.Linear":
        head: nn.Linear = self._part(self.family.unembedding)
        return head

    def points(self, stream: str) -> "list[tuple[nn.Module, str]]":
        """Where a stream is read, layer by layer: a module, and whether its `input` or its `output` is meant.

        Streams: `states` (the residual stream; layer 0 is what enters the first block), `attention`, `mlp`, `neurons`.

        Raises:
            UsageError: the family has no such stream.
        """
        if stream == "states":
            return [(self.blocks[0], "input"), *((block, "output") for block in self.blocks)]
        path = getattr(self.family, stream, "") if stream in ("attention", "mlp", "neurons") else ""
        if not path:
            raise UsageError(f"Stream {stream!r} cannot be read in {self.name!r}: its family has no module for it.")
        side = "input" if stream == "neurons" else "output"
        return [(block.get_submodule(path), side) for block in self.blocks]

    def shape_of(self, array: str) -> tuple[int, int]:
        """Layers and width of an array such as `states/last`."""
        stream = array.split("/")[0]
        return len(self.points(stream)), self.d_mlp if stream == "neurons" else self.d_model

    @property
    def d_mlp(self) -> int:
        module: Any = self.points("neurons")[0][0]
        while hasattr(module, "get_base_layer"):  # an adapter's layer around it
            module = module.get_base_layer()
        return int(module.in_features if hasattr(module, "in_features") else module.nx)

    def _part(self, path: str) -> Any:
        return self.net.get_submodule(path)

    @property
    def softcap(self) -> float | None:
        return softcap_of(self.family.softcap, self.net.config)

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        return int(self.unembedding.in_features)

    @property
    def context_length(self) -> int | None:
        length: int | None = getattr(self.net.config.get_text_config(), "max_position_embeddings", None)
        return length

    @property
    def device(self) -> "torch.device":
        """Where inputs go. The layers behind, and the unembedding, may lie on other devices."""
        weight: torch.Tensor = self.net.get_input_embeddings().weight
        return weight.device

    @property
    def devices(self) -> "set[torch.device]":
        return {parameter.device for parameter in self.net.parameters()}

    @property
    def precision(self) -> Precision:
        return self.compute.precision

    @property
    def dtype(self) -> "torch.dtype":
        return self.unembedding.weight.dtype

    def unembed(self, states: "torch.Tensor") -> "torch.Tensor":
        """Residual stream [n, d_model], before the final norm -> logits [n, vocabulary], softcap included."""
        return self.logits(self.final_norm(states))

    def logits(self, normed: "torch.Tensor") -> "torch.Tensor":
        """States [n, d_model] after the final norm -> logits [n, vocabulary], softcap included."""
        head = self.unembedding
        return softcapped(head(normed.to(head.weight.device)), self.softcap)

    def token_log_probabilities(
        self, normed: "torch.Tensor", rows: "torch.Tensor", tokens: "torch.Tensor"
    ) -> "torch.Tensor":
        """Natural log-probability of each (row, token), in float32, from states [n, d_model] after the final norm.

        The wanted logits are computed in float32: in bfloat16 they would be multiples of 1/16, and labels would tie.
        """
        import torch

        head = self.unembedding
        distinct, column = torch.unique(tokens, return_inverse=True)
        normed, rows, distinct, column = (tensor.to(head.weight.device) for tensor in (normed, rows, distinct, column))
        wanted = normed.float() @ head.weight[distinct].float().T
        if head.bias is not None:
            wanted += head.bias[distinct].float()
        return softcapped(wanted[rows, column], self.softcap) - self._log_normaliser(normed)[rows]

    def _log_normaliser(self, normed: "torch.Tensor") -> "torch.Tensor":
        """Log of the softmax's denominator of each state; the logits of a part of the states are held at a time."""
        import torch

        def in_parts(size: int) -> "torch.Tensor":
            return torch.cat([log_normaliser(self.logits(part)) for part in torch.split(normed, size)])

        return halving(in_parts, UNEMBEDDED, 2, "the logits of a single token")
