"""Fill a cache: every prompt of a task in the chosen languages through one model condition."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UsageError
from ..fingerprints import sha256_of
from ..models import Model, adapter_inputs, fingerprints
from ..tasks import Asking, Prompt, Task, answer_words, content_free_prompts, few_shot_prompts
from .capture import Captured, capture
from .store import EXAMPLE_COLUMNS, POSITIONS, Scores, Shape, reusable, writing


@dataclass(frozen=True)
class Request:
    """What is to be cached."""

    task: Task
    languages: tuple[str, ...]
    asking: Asking = field(default_factory=Asking)  # shots, words, instruction, demonstrations
    limit: int | None = None  # examples per language; None for all
    dtype: str = "bfloat16"  # of the states on disk; float32 keeps what a float32 model computes
    seed: int = 0  # recorded only: capture itself draws nothing
    positions: tuple[str, ...] = POSITIONS  # whose states are kept; none keeps the scores alone

    def label_words(self) -> dict[str, Mapping[str, str]]:
        """The words of each language itself, which a lens looks for."""
        return {code: self.task.wordings[code].label_words for code in self.languages}

    def answer_words(self, code: str) -> tuple[str, ...]:
        """The words that are scored, in the order of the task's labels."""
        return tuple(answer_words(self.task, code, self.asking.words).values())

    def prompts(self) -> dict[str, list[Prompt]]:
        return {code: few_shot_prompts(self.task, code, self.asking, self.limit) for code in self.languages}


def stored_dtype(dtype: str) -> str:
    """How states are stored when the computation runs in `dtype`: float32 keeps all, bfloat16 is half the size."""
    return "float32" if dtype == "float32" else "bfloat16"


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
    shape = Shape(len(everything), model.n_layers + 1, model.d_model, request.task.labels, request.positions)
    attributes = identity | _provenance(model, request)
    with writing(path, shape, request.dtype, _columns(everything), attributes) as writer:
        done = 0
        for code, group in prompts.items():
            for captured in capture(model, group, request.answer_words(code)):
                writer.append(_encoded(captured, request), _scores([captured]), captured.n_tokens)
                done += len(captured.n_tokens)
                on_progress(done, len(everything))
        writer.content_free(*_content_free(model, request))
    return True


def _content_free(model: Model, request: Request) -> tuple[list[str], Scores]:
    languages: list[str] = []
    captured: list[Captured] = []
    for code in request.languages:
        prompts = content_free_prompts(request.task, code, request.asking)
        captured += capture(model, prompts, request.answer_words(code))
        languages += [code] * len(prompts)
    return languages, _scores(captured)


def _scores(captured: Sequence[Captured]) -> Scores:
    return Scores(
        torch.cat([c.logprob for c in captured]).numpy(), torch.cat([c.prefix_logprob for c in captured]).numpy()
    )


def cache_identity(folder: Path, adapter: Path | None, dtype: torch.dtype, request: Request) -> dict[str, Any]:
    """What a cache of `request` says of itself (store.IDENTITY); known without opening the model in `folder`."""
    if request.dtype not in ("bfloat16", "float32"):
        raise UsageError(f"States are stored as bfloat16 or float32, not {request.dtype!r}.")
    return {
        **fingerprints(folder, adapter),
        "prompts_sha256": _prompts_fingerprint(request),
        "task": request.task.name,
        "shots": request.asking.shots,
        "labels": list(request.task.labels),
        "dtype": request.dtype,
        "compute_dtype": str(dtype).removeprefix("torch."),
        "positions": list(request.positions),
    }


def _prompts_fingerprint(request: Request) -> str:
    """sha256 over ids, languages, labels, full texts and answer words, in order."""
    return sha256_of(
        [
            (request.answer_words(code), [(p.example.id, p.example.language, p.example.label, p.full) for p in group])
            for code, group in request.prompts().items()
        ]
    )


def _columns(prompts: Sequence[Prompt]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {name: [] for name in EXAMPLE_COLUMNS}
    for prompt in prompts:
        row = {**prompt.example.__dict__, "prompt": prompt.full}
        for name in EXAMPLE_COLUMNS:
            columns[name].append(row[name])
    return columns


def _encoded(captured: Captured, request: Request) -> dict[str, np.ndarray]:
    states = {position: getattr(captured, position) for position in request.positions}
    if request.dtype == "float32":
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
        "answer_words": json.dumps({code: request.answer_words(code) for code in request.languages}),
        "asking": json.dumps(asdict(request.asking)),
        "seed": request.seed,
        "command": " ".join(sys.argv),
        **{f"{name}_version": version(name) for name in ("babelscope", "torch", "transformers")},
    }
