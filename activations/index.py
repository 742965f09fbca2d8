"""The index of a cache: everything but the states, and the shards seen as one array. Written when all shards are there.

Virtual datasets show the states to whoever opens the index with plain h5py. babelscope itself reads the shards by the
places and checksums that the index holds: a virtual dataset shows a lost shard as zeros.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from ..errors import CacheError, DataError
from ..files import write_whole
from ..tasks import Prompt
from .layout import EXAMPLE_COLUMNS, FORMAT, VERSION, Array, Scores, Shard, item_bytes
from .sealed import sealed, texts
from .shards import Stored


@dataclass(frozen=True)
class PromptTable:
    """What the model read: a prompt is its language's prefix, its own text, and its language's slot."""

    examples: Mapping[str, list[str]]  # the columns EXAMPLE_COLUMNS, a text for each row
    around: Mapping[str, tuple[str, str]]  # language -> prefix and slot

    @classmethod
    def of(cls, prompts: Iterable[Prompt]) -> Self:
        columns: dict[str, list[str]] = {name: [] for name in EXAMPLE_COLUMNS}
        around: dict[str, tuple[str, str]] = {}
        for prompt in prompts:
            for name in EXAMPLE_COLUMNS:
                columns[name].append(getattr(prompt.example, name))
            if around.setdefault(prompt.example.language, (prompt.prefix, prompt.slot)) != (prompt.prefix, prompt.slot):
                raise DataError(
                    f"Prompt {prompt.example.id!r} in {prompt.example.language!r} begins or ends otherwise than the "
                    "others of its language."
                )
        return cls(columns, around)


def write_index(
    path: Path,
    folder: Path,
    shards: Sequence[Shard],
    stored: Sequence[Stored],
    arrays: Sequence[Array],
    prompts: PromptTable,
    content_free: tuple[Sequence[str], Scores],
    attributes: Mapping[str, Any],
) -> None:
    """Gather the shards in `folder`, which is beside `path`, into one cache. The same inputs give the same bytes.

    Without arrays, the index holds all that the shards did, and the folder is removed.

    Args:
        stored: what each shard holds beside its states.
        content_free: languages, and what the answer words score when nothing is asked.
        attributes: how the cache is made; holds at least IDENTITY.

    Raises:
        CacheError: the folder cannot be written, or the disk is full.
    """
    attributes = {**attributes, "format": FORMAT, "version": VERSION, "shards": folder.name}

    def fill(file: h5py.File) -> None:
        for column in EXAMPLE_COLUMNS:
            file.create_dataset(f"examples/{column}", data=texts(prompts.examples[column]))
        file.create_dataset("examples/n_tokens", data=np.concatenate([s.n_tokens for s in stored]))
        n_kept = [s.n_kept for s in stored]
        file.create_dataset("examples/n_kept", data=np.concatenate(n_kept))
        file.create_dataset("prompts/language", data=texts(list(prompts.around)))
        for i, name in enumerate(("prefix", "slot")):
            file.create_dataset(f"prompts/{name}", data=texts([pair[i] for pair in prompts.around.values()]))
        file.create_dataset("labels/name", data=texts(list(attributes["labels"])))
        file.create_dataset("labels/logprob", data=np.concatenate([s.scores.full for s in stored]))
        file.create_dataset("labels/prefix_logprob", data=np.concatenate([s.scores.prefix for s in stored]))
        languages, scores = content_free
        file.create_dataset("content_free/language", data=texts(list(languages)))
        file.create_dataset("content_free/logprob", data=scores.full.astype(np.float32))
        file.create_dataset("content_free/prefix_logprob", data=scores.prefix.astype(np.float32))
        file.create_dataset("shards/rows", data=np.array([(s.begin, s.end) for s in shards], dtype=np.int64))
        file.create_dataset("shards/seal", data=texts([s.seal for s in stored]))
        paths = [f"{folder.name}/{shard.file_name}" for shard in shards]
        for array in arrays:
            file.create_dataset(f"chunks/{array.name}", data=np.stack([s.places[array.name] for s in stored]))
            counts = [int(kept.sum()) if array.ragged else len(kept) for kept in n_kept]
            _show(file, array, paths, counts, str(attributes["dtype"]))

    try:
        write_whole(path.resolve(), sealed(attributes, fill), scratch=folder)
    except OSError as error:
        raise CacheError(
            f"{path} cannot be written: {error.strerror}. Free space, or choose another --out; the shards in {folder} "
            "are kept, and the same command goes on from there."
        ) from error
    if not arrays:
        shutil.rmtree(folder)  # the index holds the scores


def _show(file: h5py.File, array: Array, paths: Sequence[str], counts: Sequence[int], dtype: str) -> None:
    """All shards' rows as one dataset. HDF5 looks for the files from where the index lies."""
    rows = (sum(counts), array.n_layers, array.width)
    space, properties = h5py.h5s.create_simple(rows), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)  # the same inputs give the same bytes; create_virtual_dataset notes the time
    begin = 0
    for path, count in zip(paths, counts, strict=True):
        shape = (count, *rows[1:])
        space.select_hyperslab((begin, 0, 0), shape)
        properties.set_virtual(space, path.encode(), array.name.encode(), h5py.h5s.create_simple(shape))
        begin += count
    file.require_group(array.name.rsplit("/", 1)[0])
    stored = np.dtype(np.uint16 if item_bytes(dtype) == 2 else np.float32)
    h5py.h5d.create(file.id, array.name.encode(), h5py.h5t.py_create(stored), h5py.h5s.create_simple(rows), properties)
    file[array.name].attrs["encoding"] = "bfloat16 bits as uint16" if dtype == "bfloat16" else "float32"
