"""From version 1, one HDF5 file for everything, to the present format."""

import json
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

from ..errors import CacheError
from ..files import working_in
from ..progress import Progress, Steps, silent
from ..quiet import explaining
from ..tasks import Example, Prompt
from .index import PromptTable, write_index
from .layout import IDENTITY, KEPT, Scores, array_shapes, plain, plan_shards, shard_rows, shards_folder
from .shards import read_stored, write_shard
from .store import reusable

REQUIRED = ("labels/prefix_logprob", "content_free/prefix_logprob")  # the first files of version 1 lack them


def upgrade(old: Path, out: Path, compress: bool = False, on_progress: Progress = silent) -> None:
    """Write the cache of version 1 in `old` as a cache of the present version, or find it there already.

    `old` stays as it is. Version 1 has no table of its own: the HDF5 library reads it. Upgrade files that you trust.

    Raises:
        CacheError: `old` is something else, unfinished or damaged, or `out` is another cache.
    """
    if not old.is_file():
        raise CacheError(f"{old} does not exist.")
    with explaining(f"{old} cannot be read as a cache of version 1", CacheError), h5py.File(old, "r") as file:
        _write(file, old, out, compress, on_progress)


def _write(file: h5py.File, old: Path, out: Path, compress: bool, on_progress: Progress) -> None:
    attributes = {key: plain(value) for key, value in file.attrs.items()}
    if (attributes.get("format"), attributes.get("version")) != ("babelscope-activations", 1):
        raise CacheError(f"{old} is not a babelscope cache of version 1.")
    if not attributes.get("complete"):
        raise CacheError(f"{old} is half written. Cache again.")
    if lacking := [name for name in REQUIRED if name not in file]:
        raise CacheError(f"{old} has no {lacking[0]}: the scores cannot be made up. Cache again.")
    names = [name for name in KEPT if name in file]
    arrays = array_shapes(names, int(attributes["layers"]) - 1, int(attributes["d_model"]), 0)
    for key in ("complete", "positions", "format", "version"):
        attributes.pop(key, None)
    attributes.setdefault("asking", json.dumps({}))
    attributes |= {"arrays": names, "compression": compress, "d_mlp": 0}  # version 1 did not tell
    prompts = _prompts(file)
    counts = Counter(prompt.example.language for prompt in prompts)
    shards = plan_shards(counts, shard_rows(arrays, str(attributes["dtype"])))
    identity = {field: attributes[field] for field in IDENTITY}
    if reusable(out, identity):
        return
    folder = shards_folder(out)
    with working_in(folder, CacheError):
        step = Steps(on_progress, len(shards))
        for shard in shards:
            rows = slice(shard.begin, shard.end)
            states = {name: file[name][rows] for name in names}
            scores = Scores(file["labels/logprob"][rows], file["labels/prefix_logprob"][rows])
            n_tokens = file["examples/n_tokens"][rows]
            n_kept = np.zeros_like(n_tokens)  # not told either; no array needs it
            write_shard(folder / shard.file_name, shard, states, scores, n_tokens, n_kept, identity, compress)
            step()
        stored = [read_stored(folder / shard.file_name, arrays, identity) for shard in shards]
        write_index(out, folder, shards, stored, arrays, PromptTable.of(prompts), _content_free(file), attributes)


def _prompts(file: h5py.File) -> list[Prompt]:
    names = ("id", "language", "split", "text", "label", "prompt")
    found = []
    for *values, prompt in zip(*(file[f"examples/{name}"].asstr()[:] for name in names), strict=True):
        begin = prompt.rindex(values[3])
        found.append(Prompt(Example(*values), prompt[:begin], prompt[begin + len(values[3]) :]))
    return found


def _content_free(file: h5py.File) -> tuple[list[str], Scores]:
    group = file["content_free"]
    return list(group["language"].asstr()[:]), Scores(group["logprob"][:], group["prefix_logprob"][:])
