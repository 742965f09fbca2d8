"""Adapters: are they safe and made for this base, and how they come into a model and out of it again."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..fingerprints import sha256_of_files
from ..quiet import explaining, quiet_transformers
from .model import Model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


log = logging.getLogger(__name__)


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
