"""From version 1, one HDF5 file for everything, to the present format."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from ..errors import CacheError, DataError
from ..files import working_in
from ..progress import Progress, Steps, silent
from ..quiet import explaining
from ..tasks import Example, Prompt
from .index import PromptTable, write_index
from .layout import IDENTITY, KEPT, Array, Scores, array_shapes, plain, plan_shards, shard_rows, shards_folder
from .plain_hdf5 import plain_attributes, plain_dataset, plain_texts
from .shards import read_stored, write_shard
from .store import reusable

SCORES = ("logprob", "prefix_logprob")
TEXTS = ("id", "language", "split", "text", "label", "prompt")
NEEDED = (  # the first files of version 1 have no prefix_logprob
    *(f"{group}/{name}" for group in ("labels", "content_free") for name in SCORES),
    *(f"examples/{name}" for name in (*TEXTS, "n_tokens")),
    "content_free/language",
)


def upgrade(old: Path, out: Path, compress: bool = False, on_progress: Progress = silent) -> None:
    """Write the cache of version 1 in `old` as a cache of the present version, or find it there already.

    `old` stays as it is. Version 1 has no table of its own: the HDF5 library reads it, and does not survive every
    malicious file. Nothing outside `old` is read, and no array that is larger than it.

    Raises:
        CacheError: `old` is something else, unfinished or damaged, or `out` is another cache.
    """
    if not old.is_file():
        raise CacheError(f"{old} does not exist.")
    with explaining(f"{old} cannot be read as a cache of version 1", CacheError), h5py.File(old, "r") as file:
        _write(file, old, out, compress, on_progress)


def _write(file: h5py.File, old: Path, out: Path, compress: bool, on_progress: Progress) -> None:
    size = old.stat().st_size
    attributes = {key: plain(value) for key, value in plain_attributes(file, size).items()}
    if (attributes.get("format"), attributes.get("version")) != ("babelscope-activations", 1):
        raise CacheError(f"{old} is not a babelscope cache of version 1.")
    if not attributes.get("complete"):
        raise CacheError(f"{old} is half written. Cache again.")
    found = {name: there for name in (*NEEDED, *KEPT) if (there := plain_dataset(file, name, size)) is not None}
    if lacking := [name for name in NEEDED if name not in found]:
        raise CacheError(f"{old} has no {lacking[0]}: it cannot be made up. Cache again.")
    names = [name for name in KEPT if name in found]
    arrays = array_shapes(names, int(attributes["layers"]) - 1, int(attributes["d_model"]), 0)
    texts = {name: plain_texts(found[f"examples/{name}"], size) for name in TEXTS}
    prior = plain_texts(found["content_free/language"], size)
    _check_shapes(old, found, arrays, len(texts["id"]), len(prior), len(attributes["labels"]))
    for key in ("complete", "positions", "format", "version"):
        attributes.pop(key, None)
    attributes.setdefault("asking", json.dumps({}))
    attributes |= {"arrays": names, "compression": compress, "d_mlp": 0}  # version 1 did not tell
    prompts = _prompts(texts)
    try:
        table = PromptTable.of(prompts)
    except DataError as error:
        raise CacheError(f"{old} is damaged: {error} Cache again.") from error
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
            states = {name: found[name][rows] for name in names}
            scores = Scores(*(found[f"labels/{name}"][rows] for name in SCORES))
            n_tokens = found["examples/n_tokens"][rows]
            n_kept = np.zeros_like(n_tokens)  # not told either; no array needs it
            write_shard(folder / shard.file_name, shard, states, scores, n_tokens, n_kept, identity, compress)
            step()
        stored = [read_stored(folder / shard.file_name, shard, arrays, identity) for shard in shards]
        content_free = prior, Scores(*(found[f"content_free/{name}"][:] for name in SCORES))
        write_index(out, folder, shards, stored, arrays, table, content_free, attributes)


def _check_shapes(
    old: Path, found: Mapping[str, h5py.Dataset], arrays: Sequence[Array], rows: int, prior: int, labels: int
) -> None:
    shapes: dict[str, tuple[int, ...]] = {"examples/n_tokens": (rows,)}
    for name in SCORES:
        shapes |= {f"labels/{name}": (rows, labels), f"content_free/{name}": (prior, labels)}
    shapes |= {array.name: (rows, array.n_layers, array.width) for array in arrays}
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise CacheError(f"{old}: {name} has the shape {found[name].shape}, expected {shape}. Cache again.")


def _prompts(texts: Mapping[str, list[str]]) -> list[Prompt]:
    found = []
    for *values, prompt in zip(*(texts[name] for name in TEXTS), strict=True):
        begin = prompt.rindex(values[3])
        found.append(Prompt(Example(*values), prompt[:begin], prompt[begin + len(values[3]) :]))
    return found
