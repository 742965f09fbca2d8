"""Where the parts of a model are: a model family is one row of `FAMILIES`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError


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


def find_family(folder: Path) -> Family:
    """The row of `FAMILIES` for the model in `folder`; says how to add one where there is none."""
    kind = read_config(folder).get("model_type")
    if kind not in FAMILIES:
        raise ModelError(
            f"{folder}: model family {kind!r} is not known. Known: {', '.join(FAMILIES)}. To add it, give FAMILIES in "
            f"models/families.py one row: Family(body, blocks, final_norm, unembedding, softcap), attribute paths."
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
