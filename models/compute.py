"""Where a model runs, and in which precision its weights are held."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, UsageError
from ..ranks import fsdp, local_gpu, only_process_here

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import BitsAndBytesConfig

BALANCED = "balanced"  # Hugging Face's name for layers that are divided over all GPUs


@dataclass(frozen=True)
class Precision:
    """How weights are held. The unembedding, the embeddings and the norms are never quantised."""

    name: str
    computed: str  # torch's dtype of the computation, and of all weights that are not quantised
    weight_bytes: float  # of one weight of the blocks, with its share of scales
    compared_with: str  # the precision that `models doctor` sets beside it
    quantisation: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # of BitsAndBytesConfig

    @property
    def dtype(self) -> "torch.dtype":
        import torch

        found: torch.dtype = getattr(torch, self.computed)
        return found


PRECISIONS = {
    row.name: row
    for row in (
        Precision("float32", "float32", 4, "bfloat16"),
        Precision("bfloat16", "bfloat16", 2, "float32"),
        # LLM.int8, arXiv 2208.07339
        Precision("int8", "bfloat16", 1, "bfloat16", {"load_in_8bit": True}),
        # 4-bit NormalFloat, arXiv 2305.14314: blocks of 64 weights share a scale of 4 bytes
        Precision(
            "nf4",
            "bfloat16",
            4 / 8 + 4 / 64,
            "bfloat16",
            {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16"},
        ),
    )
}


@dataclass(frozen=True)
class Compute:
    """A model's devices and precision. `device` is the only one, or where the first layers lie."""

    device: "torch.device"
    device_map: "str | dict[str, torch.device]"  # as Hugging Face takes it
    precision: Precision


def choose_compute(device: str, dtype: str) -> Compute:
    """Where and in which precision a model runs.

    Raises:
        UsageError: an unknown device or dtype, or one that this process cannot have.
    """
    import torch

    if device == BALANCED:
        if fsdp() or not only_process_here():
            raise UsageError(
                f"device {BALANCED!r} divides one model over all GPUs of a machine: one process of a run may be on "
                "it, without FSDP. Use --nproc-per-node 1."
            )
        first = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
        return Compute(first, BALANCED, choose_precision(dtype, first))
    place = choose_device(device)
    # Under FSDP the whole model may fit on no device: training moves each process's part there.
    return Compute(place, {"": torch.device("cpu") if fsdp() else place}, choose_precision(dtype, place))


def choose_precision(name: str, device: "torch.device") -> Precision:
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" or _cpu_multiplies_bfloat16() else "float32"
    if name not in PRECISIONS:
        raise UsageError(
            f"dtype {name!r} is unknown. Known: auto, {', '.join(PRECISIONS)}. (float16 overflows in Gemma 3's states.)"
        )
    return PRECISIONS[name]


def quantiser(compute: Compute, unembedding: str) -> "BitsAndBytesConfig | None":
    """What from_pretrained needs to quantise all linear layers but the unembedding; None where nothing is quantised.

    Raises:
        UsageError: there is no GPU, bitsandbytes is missing, or the run is one of FSDP.
    """
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    precision = compute.precision
    if not precision.quantisation:
        return None
    if compute.device.type != "cuda":
        raise UsageError(
            f"dtype {precision.name!r} is computed on CUDA GPUs only, and the model was to run on {compute.device}. "
            "Use bfloat16 or float32."
        )
    if not is_bitsandbytes_available():
        raise UsageError(f"dtype {precision.name!r} needs bitsandbytes: pip install 'babelscope[quantised]'.")
    if fsdp():
        raise UsageError(f"dtype {precision.name!r} cannot be divided by FSDP. Use bfloat16, or torchrun.")
    return BitsAndBytesConfig(llm_int8_skip_modules=[unembedding], **precision.quantisation)


def require_on_devices(net: "nn.Module", name: str) -> None:
    """All weights must lie where they are used: the unembedding is read directly, adapters lie beside their weights.

    Raises:
        ModelError: some were left elsewhere, to be fetched layer by layer.
    """
    away = [key for key, parameter in net.named_parameters() if parameter.is_meta]
    if away:
        raise ModelError(
            f"Model {name!r} does not fit on the devices of this machine: {away[0]} and {len(away) - 1} other tensors "
            "would stay in CPU memory or on disk. Use more GPUs, or --dtype nf4."
        )


def _cpu_multiplies_bfloat16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ""
    return "amx_bf16" in flags or "avx512_bf16" in flags


def choose_device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", local_gpu())
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"Unknown device {name!r}: {error}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' was asked for, but torch finds none. Use cpu, or auto.")
    return device
