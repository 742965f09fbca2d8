"""Fill a cache: every prompt of a task in the chosen languages through one model condition."""

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..display import Displayed
from ..errors import CacheError, UsageError
from ..files import working_in
from ..models import Model, adapter_inputs, fingerprints
from ..models.compute import Precision
from ..progress import Progress, Together, silent
from ..ranks import current, refuse_fsdp
from ..tasks import Asking, Prompt, Task, answer_words, content_free_prompts, few_shot_prompts
from .capture import Captured, capture
from .index import PromptTable, write_index
from .layout import (
    KEPT,
    Array,
    Scores,
    Shard,
    is_ragged,
    item_bytes,
    plan_shards,
    shard_rows,
    shards_folder,
)
from .shards import find_stored, read_stored, write_shard
from .store import reusable

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Request(Displayed):
    """What is to be cached."""

    task: Task
    languages: tuple[str, ...]
    asking: Asking = field(default_factory=Asking)  # shots, words, instruction, demonstrations
    limit: int | None = None  # examples per language; None for all
    dtype: str = "bfloat16"  # of the states on disk; float32 keeps what a float32 model computes
    seed: int = 0  # recorded only: capture itself draws nothing
    keep: tuple[str, ...] = KEPT  # names of arrays, see `capture`; none keeps the scores alone
    compress: bool = False  # on disk, without loss

    def summary(self) -> dict[str, object]:
        return {
            "task": self.task.name,
            "languages": self.languages,
            "examples": f"{self.limit} per language" if self.limit else "all",
            **{name: value for name, value in asdict(self.asking).items() if name != "context"},
            "pairs in context": len(self.asking.context),
            "dtype": self.dtype,
            "keep": self.keep,
            "compress": self.compress,
        }

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
    on_progress: Progress = silent,
) -> bool:
    """Capture `request` with `model` into `path`, or find it there already. Returns whether work was done.

    The states go to shards of up to 256 examples in a folder beside `path`; the file `path` itself is written last.
    What an interrupted run left is used again, and gives the same bytes as one run. Under `torchrun` every rank takes
    some of the shards. Of states and tokens, memory holds one shard at a time; texts are held (1 kB a prompt).

    Raises:
        CacheError: `path` is another cache (the differing field is named), or cannot be written.
        BusyError: another process writes it.
        DataError, UsageError: see `capture`.
    """
    refuse_fsdp("caching")
    path, ranks = Path(path), current()
    prompts = request.prompts()
    everything = [prompt for group in prompts.values() for prompt in group]
    if not everything:
        raise UsageError("There is nothing to cache: no language was chosen, or none has examples.")
    table = PromptTable.of(everything)
    identity = cache_identity(model.folder, model.adapter, model.precision, request)
    if reusable(path, identity):
        return False
    arrays = [Array(name, *model.shape_of(name)) for name in request.keep]
    counts = {code: len(group) for code, group in prompts.items() if group}
    shards = plan_shards(counts, shard_rows(arrays, request.dtype))
    folder = shards_folder(path)

    with ranks.leading(working_in(folder, CacheError)):
        ranks.wait()
        if ranks.agree(reusable(path, identity)):  # another process was faster
            return False
        found = {}
        if ranks.first:
            found = {s.number: find_stored(folder / s.file_name, s, arrays, identity, request.compress) for s in shards}
        missing: list[int] = ranks.agree([number for number, there in found.items() if there is None])
        if not request.compress:
            _check_space(folder, estimated_bytes(model, request) * len(missing) // len(shards))
        mine = [shards[number] for number in ranks.mine(missing)]
        log.info("%s: %d of %d shards are to be captured into %s", path, len(missing), len(shards), folder)
        tell = Together(on_progress, sum(shard.end - shard.begin for shard in mine))
        for shard in mine:
            own, words = everything[shard.begin : shard.end], request.answer_words(shard.language)
            capture_shard(model, own, words, shard, folder / shard.file_name, identity, request.compress, tell)
        ranks.wait()
        if ranks.first:
            attributes = identity | _provenance(model, request)
            prior = _content_free(model, request)
            stored = [found[s.number] or read_stored(folder / s.file_name, s, arrays, identity) for s in shards]
            write_index(path, folder, shards, stored, arrays, table, prior, attributes)
            log.info("wrote %s", path)
        ranks.wait()
    return True


def estimated_bytes(model: Model, request: Request) -> int:
    """Bytes of the arrays, uncompressed; where every token is kept, the question's tokens are counted."""
    prompts = [prompt for group in request.prompts().values() for prompt in group]
    tokens = 0
    if any(is_ragged(name) for name in request.keep):
        texts = [prompt.example.text + prompt.slot for prompt in prompts]
        tokens = sum(map(len, model.tokenizer(texts, add_special_tokens=False)["input_ids"]))
    total = 0
    for name in request.keep:
        n_layers, width = model.shape_of(name)
        total += n_layers * width * (tokens if is_ragged(name) else len(prompts)) * item_bytes(request.dtype)
    return total


def capture_shard(
    model: Model,
    prompts: Sequence[Prompt],
    words: Sequence[str],
    shard: Shard,
    path: Path,
    identity: Mapping[str, Any],
    compress: bool,
    on_progress: Progress = silent,
) -> None:
    """Capture the prompts of one shard, and write it to `path`."""
    captured = capture(model, prompts, words, keep=identity["arrays"], on_progress=on_progress)
    arrays = {name: _stored(values, identity) for name, values in captured.arrays.items()}
    write_shard(path, shard, arrays, _scores([captured]), captured.n_tokens, captured.n_kept, identity, compress)


def _stored(states: torch.Tensor, identity: Mapping[str, Any]) -> np.ndarray:
    if identity["dtype"] == "float32":
        return states.float().numpy()
    return states.bfloat16().view(torch.uint16).numpy()


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CacheError(
            f"{folder} needs {needed / 1e6:,.1f} MB of disk, {free / 1e6:,.1f} MB are free. "
            "Free space, choose another --out, or lower --limit."
        )


def _content_free(model: Model, request: Request) -> tuple[list[str], Scores]:
    languages: list[str] = []
    captured: list[Captured] = []
    for code in request.languages:
        prompts = content_free_prompts(request.task, code, request.asking)
        captured.append(capture(model, prompts, request.answer_words(code), keep=()))
        languages += [code] * len(prompts)
    return languages, _scores(captured)


def _scores(captured: Sequence[Captured]) -> Scores:
    return Scores(
        torch.cat([c.logprob for c in captured]).numpy(), torch.cat([c.prefix_logprob for c in captured]).numpy()
    )


def cache_identity(folder: Path, adapter: Path | None, precision: Precision, request: Request) -> dict[str, Any]:
    """What a cache of `request` says of itself (layout.IDENTITY); known without opening the model in `folder`."""
    if request.dtype not in ("bfloat16", "float32"):
        raise UsageError(f"States are stored as bfloat16 or float32, not {request.dtype!r}.")
    if len(set(request.keep)) < len(request.keep):
        raise UsageError(f"The same array is to be kept twice: {', '.join(request.keep)}.")
    return {
        **fingerprints(folder, adapter),
        "prompts_sha256": _prompts_fingerprint(request),
        "task": request.task.name,
        "shots": request.asking.shots,
        "labels": list(request.task.labels),
        "dtype": request.dtype,
        "compute_dtype": precision.name,
        "arrays": list(request.keep),
    }


def _prompts_fingerprint(request: Request) -> str:
    return prompts_sha256((request.answer_words(code), group) for code, group in request.prompts().items())


def prompts_sha256(groups: Iterable[tuple[Sequence[str], Sequence[Prompt]]]) -> str:
    """Over the answer words of each language, and id, language, label and full text of its prompts, in order.

    It is the sha256 of all this as one JSON list, taken a prompt at a time: memory does not hold all texts again.
    """
    digest = hashlib.sha256(b"[")
    for i, (words, group) in enumerate(groups):
        digest.update(f"{', ' if i else ''}[{_as_json(words)}, [".encode())
        for n, p in enumerate(group):
            told = _as_json((p.example.id, p.example.language, p.example.label, p.full))
            digest.update(f"{', ' if n else ''}{told}".encode())
        digest.update(b"]]")
    digest.update(b"]")
    return digest.hexdigest()


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


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
        "layers": model.n_layers + 1,
        "d_model": model.d_model,
        "d_mlp": model.d_mlp,
        "compression": request.compress,
        "seed": request.seed,
        "command": " ".join(sys.argv),
        **{f"{name}_version": version(name) for name in ("babelscope", "torch", "transformers")},
    }
