"""Open a base model, its tokenizer and an optional adapter, by hub id, folder or packaged name.

Weights are read from safetensors only, and no code from a model's folder is ever run.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..quiet import explaining, quiet_transformers
from .adapters import attach, check_adapter
from .attention import use_products
from .compute import choose_compute, quantiser, require_on_devices
from .families import find_family
from .model import Model
from .packaged import PACKAGED, home

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


log = logging.getLogger(__name__)


def open_model(
    name: str,
    adapter: Path | str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str | None = None,
) -> Model:
    """Open a base model by hub id, local folder or packaged name, with an optional PEFT adapter.

    Args:
        dtype: `auto` (bfloat16 where the hardware multiplies it, else float32), or a row of models.compute.PRECISIONS:
            `float32`, `bfloat16`, and with bitsandbytes `int8` and `nf4`. float16 is refused: the residual stream of
            Gemma 3 leaves its range.
        device: `auto` (this process's GPU, else the CPU), a torch device, or `balanced`: layers divided over all GPUs.
        attention: Hugging Face attention implementation; None takes its default, on a CPU with models.attention's
            products for short texts.

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
    if attention is None and compute.device.type == "cpu":
        use_products(net)
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


def text_config(name: str) -> Any:
    """The Hugging Face configuration of the language model, without opening it."""
    from transformers import AutoConfig

    with explaining(f"The configuration of {name!r} cannot be read"):
        return AutoConfig.from_pretrained(resolve(name, weights=False), trust_remote_code=False).get_text_config()
