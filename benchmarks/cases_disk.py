"""Bytes on disk: what is left of the same prompts when each way's states are saved as its users save them."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.activations.tokens import encode_prompts
from babelscope.models import Model
from babelscope.tasks import Asking, load_task

from .cases_capture import _padded, bridged
from .subjects import Sizes, open_plain, six_shot
from .table import Outcome, Row


def run(sizes: Sizes) -> Outcome:
    model = open_plain()
    with tempfile.TemporaryDirectory() as scratch:
        taken = {name: way(model, sizes.stored, Path(scratch) / str(i)) for i, (name, way) in enumerate(WAYS.items())}
    ours, *_ = taken.values()
    return Outcome(
        "Bytes on disk",
        [
            Row(
                name,
                {
                    "MB": f"{n_bytes / 1e6:.2f}",
                    "kB per prompt": f"{n_bytes / 1e3 / sizes.stored:,.0f}",
                    "bytes / babelscope's": f"{n_bytes / ours:.2f}",
                },
            )
            for name, n_bytes in taken.items()
        ],
        [
            f"{sizes.stored} six-shot prompts in batches of 16, files as they lie on disk. The two positions are the "
            "answer position and the mean over the question; babelscope's files hold texts, label scores and checksums "
            "too. The others keep every token, of the demonstrations too."
        ],
    )


def _cache(model: Model, number: int, path: Path, **options: object) -> int:
    request = Request(load_task("sentiment"), ("en",), Asking(6), number, **options)  # type: ignore[arg-type]
    write_cache(model, request, path)
    with Cache(path) as cache:
        return cache.n_bytes


def _plain(model: Model, number: int, path: Path) -> int:
    return _cache(model, number, path)


def _compressed(model: Model, number: int, path: Path) -> int:
    return _cache(model, number, path, compress=True)


def _every_token(model: Model, number: int, path: Path) -> int:
    return _cache(model, number, path, keep=("states/all",))


def _hidden_states(model: Model, number: int, path: Path) -> int:
    def save(ids: torch.Tensor, inputs: dict[str, torch.Tensor], file: Path) -> None:
        output = model.net(input_ids=ids, **inputs, output_hidden_states=True, logits_to_keep=1, use_cache=False)
        layers = {f"layer{i}": states.float().numpy() for i, states in enumerate(output.hidden_states)}
        np.savez(file.with_suffix(".npz"), **layers)

    return _saved(model, number, path, save)


def _activation_cache(model: Model, number: int, path: Path) -> int:
    bridge, names = bridged(model)

    def save(ids: torch.Tensor, inputs: dict[str, torch.Tensor], file: Path) -> None:
        _, cache = bridge.run_with_cache(ids, names_filter=names, **inputs, logits_to_keep=1, use_cache=False)
        torch.save(cache.cache_dict, file.with_suffix(".pt"))

    return _saved(model, number, path, save)


@torch.inference_mode()
def _saved(
    model: Model, number: int, folder: Path, save: Callable[[torch.Tensor, dict[str, torch.Tensor], Path], None]
) -> int:
    """Bytes of the files that `save` writes, one for each batch."""
    folder.mkdir()
    encoded = encode_prompts(model.tokenizer, six_shot(number), model.context_length)
    for i, batch in enumerate(_padded(encoded)):
        save(batch.ids, batch.inputs(), folder / str(i))
    return sum(file.stat().st_size for file in folder.iterdir())


# The bridge rewrites the model it is given, so it comes last.
WAYS: dict[str, Callable[[Model, int, Path], int]] = {
    "babelscope, two positions": _plain,
    "the same with `--compress`": _compressed,
    "babelscope, all tokens of the question": _every_token,
    "output_hidden_states, float32, `.npz`": _hidden_states,
    "TransformerLens ActivationCache, residuals, `torch.save`": _activation_cache,
}
