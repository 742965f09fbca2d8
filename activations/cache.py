"""Fill a cache: every prompt of a task in the chosen languages through one model condition."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UsageError
from ..fingerprints import sha256_of
from ..models import Model, adapter_inputs, fingerprints
from ..tasks import Prompt, Task, few_shot_prompts
from .capture import Captured, capture
from .store import EXAMPLE_COLUMNS, Shape, reusable, writing


@dataclass(frozen=True)
class Request:
    """What is to be cached."""

    task: Task
    languages: tuple[str, ...]
    shots: int = 2  # demonstrations before each question
    limit: int | None = None  # examples per language; None for all
    dtype: str = "bfloat16"  # of the states on disk; float32 keeps what a float32 model computes
    seed: int = 0  # recorded only: capture itself draws nothing

    def label_words(self) -> dict[str, Mapping[str, str]]:
        return {code: self.task.wordings[code].label_words for code in self.languages}

    def prompts(self) -> dict[str, list[Prompt]]:
        return {code: few_shot_prompts(self.task, code, self.shots, self.limit) for code in self.languages}


def write_cache(
    model: Model,
    request: Request,
    path: Path | str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> bool:
    """Capture `request` with `model` into `path`, or find it there already. Returns whether work was done.

    Of states and tokens, memory holds one window of one language's prompts at a time; texts are held (1 kB a prompt).

    Raises:
        CacheError: `path` is another cache (the differing field is named), or cannot be written.
        DataError, UsageError: see `capture`.
    """
    path = Path(path)
    prompts = request.prompts()
    everything = [prompt for group in prompts.values() for prompt in group]
    identity = cache_identity(model.folder, model.adapter, model.dtype, request)
    if reusable(path, identity):
        return False
    shape = Shape(len(everything), model.n_layers + 1, model.d_model, request.task.labels)
    attributes = identity | _provenance(model, request)
    with writing(path, shape, request.dtype, _columns(everything), attributes) as writer:
        done = 0
        for group in prompts.values():
            for captured in capture(model, group, request.task.labels):
                writer.append(_encoded(captured, request.dtype), captured.logprob.numpy(), captured.n_tokens)
                done += len(captured.n_tokens)
                on_progress(done, len(everything))
    return True


def cache_identity(folder: Path, adapter: Path | None, dtype: torch.dtype, request: Request) -> dict[str, Any]:
    """What a cache of `request` says of itself (store.IDENTITY); known without opening the model in `folder`."""
    if request.dtype not in ("bfloat16", "float32"):
        raise UsageError(f"States are stored as bfloat16 or float32, not {request.dtype!r}.")
    return {
        **fingerprints(folder, adapter),
        "prompts_sha256": prompts_fingerprint([p for group in request.prompts().values() for p in group]),
        "task": request.task.name,
        "shots": request.shots,
        "labels": list(request.task.labels),
        "dtype": request.dtype,
        "compute_dtype": str(dtype).removeprefix("torch."),
    }


def prompts_fingerprint(prompts: Sequence[Prompt]) -> str:
    """sha256 over ids, languages, labels and full texts, in order."""
    return sha256_of([(p.example.id, p.example.language, p.example.label, p.full) for p in prompts])


def _columns(prompts: Sequence[Prompt]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {name: [] for name in EXAMPLE_COLUMNS}
    for prompt in prompts:
        row = {**prompt.example.__dict__, "prompt": prompt.full}
        for name in EXAMPLE_COLUMNS:
            columns[name].append(row[name])
    return columns


def _encoded(captured: Captured, dtype: str) -> dict[str, np.ndarray]:
    states = {"last": captured.last, "mean": captured.mean}
    if dtype == "float32":
        return {position: tensor.float().numpy() for position, tensor in states.items()}
    return {position: tensor.bfloat16().view(torch.uint16).numpy() for position, tensor in states.items()}


def _provenance(model: Model, request: Request) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "model": model.name,
        "adapter": str(model.adapter or ""),
        "trained_languages": adapter_inputs(model.adapter).get("trained_languages", []),
        "languages": list(request.languages),
        "label_words": json.dumps({code: dict(words) for code, words in request.label_words().items()}),
        "seed": request.seed,
        "command": " ".join(sys.argv),
        **{f"{name}_version": version(name) for name in ("babelscope", "torch", "transformers")},
    }
