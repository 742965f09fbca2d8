"""Several caches of one condition, made apart, as one."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import CacheError
from ..files import sync_folder, working_in, write_whole
from ..progress import Progress, Steps, silent
from ..tasks import Prompt
from .cache import prompts_sha256
from .index import PromptTable, write_index
from .layout import IDENTITY, Scores, Shard, shards_folder
from .sealed import fault, seal_of
from .shards import Stored
from .store import Cache, check_alike, reusable

# In which all parts agree: their prompts differ, how these were made does not.
FIELDS = (*(field for field in IDENTITY if field != "prompts_sha256"), "compression", "asking")


def merge(paths: Sequence[Path], out: Path, on_progress: Progress = silent) -> None:
    """Write the cache `out` of all examples of `paths`, or find it there already.

    Languages keep the order in which they first come.
    Shards are linked where the file system can, else copied. The result is the one cache that all the prompts at once
    would have given, as long as every part but a language's last is a multiple of a shard.

    Raises:
        CacheError: the caches are of different conditions, an example is in two of them, or `out` is another
            cache.
    """
    with ExitStack() as stack:
        caches = [stack.enter_context(Cache(path)) for path in paths]
        check_alike(caches, FIELDS, "merged", "Merge caches of one condition.")
        codes = list(dict.fromkeys(shard.language for cache in caches for shard in cache.shards))
        parts = sorted(
            ((cache, shard) for cache in caches for shard in cache.shards), key=lambda p: codes.index(p[1].language)
        )
        shards, stored = _renumbered(parts)
        read = {cache.path: cache.prompts() for cache in caches}
        prompts = [prompt for cache, s in parts for prompt in read[cache.path][s.begin : s.end]]
        _check_distinct(prompts)
        words = {code: w for cache in caches for code, w in cache.answer_words.items()}
        label_words = {code: w for cache in caches for code, w in cache.label_words.items()}
        groups = [(words[code], [prompt for prompt in prompts if prompt.example.language == code]) for code in codes]
        attributes = caches[0].attributes | {
            "prompts_sha256": prompts_sha256(groups),
            "languages": codes,
            "answer_words": json.dumps(words),
            "label_words": json.dumps(label_words),
        }
        if reusable(out, attributes):
            return
        first, folder = caches[0], shards_folder(out)
        with working_in(folder, CacheError):
            step = Steps(on_progress, len(parts))
            for (cache, old), new in zip(parts, shards, strict=True):
                if cache.arrays:
                    _link(cache.folder / old.file_name, folder / new.file_name, cache.seals[old.number])
                step()
            sync_folder(folder)  # links, unlike files that were written, are not durable yet
            arrays = [first.shape_of(name) for name in first.arrays]
            write_index(out, folder, shards, stored, arrays, PromptTable.of(prompts), _content_free(caches), attributes)


def _renumbered(parts: Sequence[tuple[Cache, Shard]]) -> tuple[list[Shard], list[Stored]]:
    shards, stored, begin = [], [], 0
    for number, (cache, old) in enumerate(parts):
        n = old.end - old.begin
        shards.append(replace(old, number=number, begin=begin, end=begin + n))
        stored.append(cache.stored(old))
        begin += n
    return shards, stored


def _check_distinct(prompts: Sequence[Prompt]) -> None:
    seen: set[tuple[str, str]] = set()
    for key in ((prompt.example.language, prompt.example.id) for prompt in prompts):
        if key in seen:
            raise CacheError(f"Example {key[1]!r} in {key[0]!r} is in two of the caches. Merge caches without overlap.")
        seen.add(key)


def _content_free(caches: Sequence[Cache]) -> tuple[list[str], Scores]:
    """Of every language once."""
    languages: list[str] = []
    full, prefix = [], []
    for cache in caches:
        own, scores = cache.content_free()
        new = [i for i, code in enumerate(own) if code not in languages]
        full.append(scores.full[new])
        prefix.append(scores.prefix[new])
        languages += [own[i] for i in new]
    return languages, Scores(np.concatenate(full), np.concatenate(prefix))


def _link(source: Path, target: Path, seal: str) -> None:
    """The same file under another name, or a copy of it where the file system has no links."""
    if (wrong := fault(source)) or seal_of(source) != seal:
        reason = wrong or "it is not the file of its cache"
        raise CacheError(f"{source}: {reason}. Run `babelscope cache repair` on its cache first.")
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        try:
            write_whole(target, source.read_bytes())
        except OSError as error:
            raise CacheError(f"{target} cannot be written: {error.strerror}. Free space.") from error
