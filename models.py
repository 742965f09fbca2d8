"""Open a base model, its tokenizer and an optional adapter; know where its parts are.

A model family is one row of `FAMILIES`. Weights are read from safetensors only, and no code from a model's folder is
ever run.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compute import Compute, Precision, choose_compute, quantiser, require_on_devices
from .display import Displayed
from .errors import ModelError, UsageError
from .fingerprints import sha256_of_files
from .logits import log_normaliser, softcap_of, softcapped
from .memory import halving
from .packaged import PACKAGED, home
from .quiet import explaining, quiet_transformers

if TYPE_CHECKING:  # heavy: imported where used, so that `--help` stays quick
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Family:
    """Where the parts of a causal language model are, as attribute paths from the model."""

    body: str  # everything below the unembedding
    blocks: str  # the list of residual blocks
    final_norm: str
    unembedding: str = "lm_head"
    softcap: str = ""  # config attribute; logits become cap * tanh(logits / cap)
    query_value: tuple[str, ...] = ("q_proj", "v_proj")  # modules that compute queries and values: LoRA's targets
    # Within a block. Outputs are what is added to the residual stream, so after the norm where there is one behind.
    attention: str = "self_attn"
    mlp: str = "mlp"
    neurons: str = "mlp.down_proj"  # what the neurons say is what enters it: activations, times the other half if gated
    activation: str = "mlp.act_fn"  # the activation function; its outputs are the neurons' activations


UNEMBEDDED = 128  # states whose logits are held at once; 128 x 262k are 67 MB in bfloat16

_LLAMA_LIKE = Family("model", "model.layers", "model.norm")
_GEMMA_LIKE = Family(
    "model",
    "model.layers",
    "model.norm",
    softcap="final_logit_softcapping",
    attention="post_attention_layernorm",
    mlp="post_feedforward_layernorm",
)

# config.model_type -> row
FAMILIES: dict[str, Family] = {
    "llama": _LLAMA_LIKE,
    "mistral": _LLAMA_LIKE,
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE,
    "phi3": Family("model", "model.layers", "model.norm", query_value=("qkv_proj",), activation="mlp.activation_fn"),
    "gemma2": _GEMMA_LIKE,
    "gemma3_text": _GEMMA_LIKE,
    "gemma3": Family(  # 4B and larger: a vision tower stands beside the language model
        "model.language_model",
        "model.language_model.layers",
        "model.language_model.norm",
        softcap="final_logit_softcapping",
        attention="post_attention_layernorm",
        mlp="post_feedforward_layernorm",
    ),
    "gpt2": Family(
        "transformer",
        "transformer.h",
        "transformer.ln_f",
        query_value=("c_attn",),
        attention="attn",
        neurons="mlp.c_proj",
        activation="mlp.act",
    ),
    "bloom": Family(
        "transformer",
        "transformer.h",
        "transformer.ln_f",
        query_value=("query_key_value",),
        attention="",  # its modules add the residual stream themselves
        mlp="",
        neurons="mlp.dense_4h_to_h",
        activation="mlp.gelu_impl",
    ),
    "gpt_neox": Family(
        "gpt_neox",
        "gpt_neox.layers",
        "gpt_neox.final_layer_norm",
        query_value=("query_key_value",),
        attention="attention",
        neurons="mlp.dense_4h_to_h",
        activation="mlp.act",
    ),
    "opt": Family(
        "model.decoder",
        "model.decoder.layers",
        "model.decoder.final_layer_norm",
        mlp="fc2",
        neurons="fc2",
        activation="activation_fn",
    ),
}


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


def open_model(
    name: str,
    adapter: Path | str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str | None = None,
) -> Model:
    """Open a base model by hub id, local folder or packaged name, with an optional PEFT adapter.

    Args:
        dtype: `auto` (bfloat16 where the hardware multiplies it, else float32), or a row of compute.PRECISIONS:
            `float32`, `bfloat16`, and with bitsandbytes `int8` and `nf4`. float16 is refused: the residual stream of
            Gemma 3 leaves its range.
        device: `auto` (this process's GPU, else the CPU), a torch device, or `balanced`: layers divided over all GPUs.
        attention: Hugging Face attention implementation; None takes its default.

    Raises:
        ModelError: nothing by that name, weights that are not safetensors, an unknown family, a foreign adapter, or a
            model that does not fit on the devices.
        UsageError: an unknown dtype or device, or one that this machine does not have.
    """
    from transformers import AutoModelForCausalLM

    compute = choose_compute(device, dtype)
    folder = resolve(name)
    family = find_family(folder)
    if adapter is not None:
        check_adapter(Path(adapter), folder)
    quantisation = quantiser(compute, family.unembedding)
    with explaining(f"Model {name!r} in {folder} cannot be opened"), quiet_transformers():
        net, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            output_loading_info=True,
            dtype=compute.precision.dtype,
            device_map=compute.device_map,
            quantization_config=quantisation,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=attention,
        )
        net = net.eval().requires_grad_(False)
    require_on_devices(net, name)
    lacking = [*loading["missing_keys"], *loading["mismatched_keys"]]
    if lacking:
        raise ModelError(
            f"Model {name!r}: the weights in {folder} do not fill the model. Missing, or of another shape: "
            f"{', '.join(sorted(map(str, lacking))[:3])}. Is the folder complete?"
        )
    tokenizer = open_tokenizer(name)
    if net.get_submodule(family.unembedding).in_features != net.config.get_text_config().hidden_size:
        raise ModelError(f"Model {name!r} projects its embeddings; its residual stream cannot be read by a lens.")
    base = Model(name, folder, net, tokenizer, family, compute)
    log.info("%s: opened from %s on %s in %s", name, folder, base.device, base.precision.name)
    return base if adapter is None else attach(base, adapter)


def open_tokenizer(name: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    folder = resolve(name, weights=False)
    with explaining(f"The tokenizer of {name!r} in {folder} cannot be opened"), quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ModelError(f"Model {name!r} has no fast tokenizer (tokenizer.json); character offsets need one.")
    if tokenizer("a")["input_ids"][-1] in tokenizer.all_special_ids:
        raise ModelError(f"The tokenizer of {name!r} ends texts with a special token; an answer would follow it.")
    return tokenizer


def resolve(name: str, weights: bool = True) -> Path:
    """The local folder of a model. A hub id is downloaded: safetensors, tokenizer and configuration only.

    Args:
        weights: False fetches the tokenizer and the configuration alone, where nothing is at hand.
    """
    if name in PACKAGED:
        folder = home() / "models" / name
        if not (folder / "config.json").is_file():
            raise ModelError(f"Model {name!r} is not imported yet. Run `babelscope models import {name}` first.")
        return folder
    if Path(name).is_dir():
        return Path(name)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"Unknown model {name!r}: no such folder, no hub id (OWNER/NAME) and no packaged model "
            f"({', '.join(PACKAGED)})."
        )
    from huggingface_hub import snapshot_download

    with explaining(f"Model {name!r} cannot be fetched from the hub (is the name right, is the machine online?)"):
        patterns = ["*.json", "*.model", "merges.txt", "vocab.txt", *(["*.safetensors"] if weights else [])]
        return Path(snapshot_download(name, allow_patterns=patterns))


def find_family(folder: Path) -> Family:
    """The row of `FAMILIES` for the model in `folder`; says how to add one where there is none."""
    kind = read_config(folder).get("model_type")
    if kind not in FAMILIES:
        raise ModelError(
            f"{folder}: model family {kind!r} is not known. Known: {', '.join(FAMILIES)}. To add it, give FAMILIES in "
            f"models.py one row: Family(body, blocks, final_norm, unembedding, softcap), each an attribute path."
        )
    return FAMILIES[kind]


def read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} holds no config.json, so it is not a Hugging Face model folder.")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} holds no .safetensors file. Other formats can run code when opened and are refused."
        )
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}.") from error
    return config


def text_config(name: str) -> Any:
    """The Hugging Face configuration of the language model, without opening it."""
    from transformers import AutoConfig

    with explaining(f"The configuration of {name!r} cannot be read"):
        return AutoConfig.from_pretrained(resolve(name, weights=False), trust_remote_code=False).get_text_config()


def fingerprints(folder: Path, adapter: Path | None = None) -> dict[str, str]:
    """sha256 of what decides the states: weights with their config, tokenizer, adapter (empty for none)."""
    weights = ("adapter_model.safetensors", "adapter_config.json")
    return {
        "model_sha256": sha256_of_files(folder, "*.safetensors", "config.json"),
        "tokenizer_sha256": sha256_of_files(folder, "tokenizer*", "*.model", "vocab*", "merges.txt"),
        "adapter_sha256": sha256_of_files(adapter, *weights) if adapter else "",
    }


def adapter_inputs(adapter: Path | None) -> dict[str, Any]:
    """What made an adapter, as training recorded it; empty for none, and for adapters from elsewhere."""
    path = adapter / "inputs.json" if adapter else None
    if path is None or not path.is_file():
        return {}
    inputs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return inputs


def check_adapter(adapter: Path, folder: Path) -> None:
    """An adapter must hold safetensors and must have been trained on a base of the same shape."""
    path = adapter / "adapter_config.json"
    if not path.is_file():
        raise ModelError(f"{adapter} holds no adapter_config.json, so it is not a PEFT adapter.")
    if not (adapter / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"{adapter} holds no adapter_model.safetensors. Pickled adapters can run code and are refused."
        )
    trained_on = adapter_inputs(adapter).get("model_sha256")
    if trained_on and trained_on != fingerprints(folder)["model_sha256"]:
        raise ModelError(f"Adapter {adapter} was trained on another base model than {folder} (model_sha256 differs).")


@contextmanager
def adapted(base: Model, adapter: Path | str | None) -> Iterator[Model]:
    """The base with an adapter for a while; afterwards `base` is as it was. None is the base itself."""
    if adapter is None:
        yield base
        return
    model = attach(base, adapter)
    try:
        yield model
    finally:
        detach(model)


def attach(base: Model, adapter: Path | str) -> Model:
    """Put the adapter's layers into the model. Every weight of the adapter must find its place, and the reverse."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    adapter, family = Path(adapter), base.family
    check_adapter(adapter, base.folder)
    log.info("%s: adapter %s", base.name, adapter)
    with explaining(f"Adapter {adapter} does not fit the base model"), quiet_transformers():
        wrapped = PeftModel.from_pretrained(base.net, str(adapter), is_trainable=False)
        with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
            found = set(file.keys())
    odd = found ^ set(get_peft_model_state_dict(wrapped))
    if odd or not any("lora" in key for key in found):
        raise ModelError(
            f"Adapter {adapter} does not fit the base model: {sorted(odd)[:2] or 'it is not a LoRA adapter'} has no "
            "partner. Was it trained on another model?"
        )
    for part in (family.final_norm, family.unembedding):
        if any(f".{part}." in key for key in found):
            raise ModelError(f"Adapter {adapter} changes {part}; the logit lens would read the base model's.")
    net: PreTrainedModel = wrapped.get_base_model()
    return replace(base, net=net.eval().requires_grad_(False), adapter=adapter)


def detach(model: Model) -> None:
    """Take the adapter's layers out again; the base's own modules go back to their places."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = {name: layer for name, layer in model.net.named_modules() if isinstance(layer, BaseTunerLayer)}
    for name, layer in layers.items():
        model.net.set_submodule(name, layer.get_base_layer())
    vars(model.net).pop("peft_config", None)
