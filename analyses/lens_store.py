"""Trained translators on disk, with what they were trained on in the same file: they are used again for the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CacheError
from ..files import write_whole
from ..probes.tuned_lens import Translator

FILE = "tuned_lens.safetensors"
_MATRIX, _BIAS, _RECORD = "matrix.", "bias.", "trained_on"


def save_translators(path: Path, translators: Mapping[int, Translator], record: Mapping[str, Any]) -> None:
    """`matrix.LAYER` and `bias.LAYER` of each layer; the record as JSON in the file's metadata, under `trained_on`."""
    from safetensors.torch import save

    tensors = {f"{_MATRIX}{layer}": of.matrix for layer, of in translators.items()}
    tensors |= {f"{_BIAS}{layer}": of.bias for layer, of in translators.items()}
    write_whole(path, save(tensors, {_RECORD: json.dumps(record)}))


def load_translators(path: Path) -> tuple[dict[int, Translator], dict[str, Any]]:
    """The translators of each layer, and the record of what they were trained on.

    Raises:
        CacheError: there is no such file, or it is damaged or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()[_RECORD])
            get, names = file.get_tensor, list(file.keys())
            layers = sorted(int(name.removeprefix(_MATRIX)) for name in names if name.startswith(_MATRIX))
            return {n: Translator(get(f"{_MATRIX}{n}"), get(f"{_BIAS}{n}")) for n in layers}, record
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CacheError(
            f"{path} cannot be read as translators of a tuned lens: {error}. Remove it; `probe tuned-lens` trains them "
            "again."
        ) from error
