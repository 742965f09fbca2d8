"""What caches are in a folder, and what is left over from runs that ended early."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import BusyError, CacheError
from ..files import PARTIAL, alone
from .cache import LOCK
from .sealed import seal_of
from .store import Cache, cache_bytes


@dataclass(frozen=True)
class Entry:
    """One cache, in a line."""

    path: str
    model: str
    adapter: str
    task: str
    languages: int
    examples: int
    arrays: str
    bytes: int


@dataclass(frozen=True)
class Leftover:
    """A file or folder that no cache needs."""

    path: Path
    what: str
    bytes: int


def entry(path: Path) -> Entry:
    with Cache(path) as cache:
        a = cache.attributes
        arrays = ", ".join(cache.arrays) or "scores alone"
        return Entry(
            str(path), a["model"], a["adapter"], a["task"], len(a["languages"]), len(cache), arrays, cache_bytes(path)
        )


def list_caches(folder: Path) -> tuple[list[Entry], list[str]]:
    """The caches below `folder`, and an error for each file that should be one and is not.

    Raises:
        CacheError: no such folder.
    """
    entries, errors = [], []
    for path in _sealed_below(folder):
        if path.parent.suffix == ".shards":
            continue
        try:
            entries.append(entry(path))
        except CacheError as error:
            errors.append(str(error))
    return entries, errors


def leftovers(folder: Path) -> list[Leftover]:
    """Temporary files, shards of captures that were never completed, and shard files that their index does not name.

    What a running process holds is not among them.
    """
    if not folder.is_dir():
        raise CacheError(f"{folder} is not a folder.")
    found = []
    for shards in sorted(path for path in folder.rglob("*.shards") if path.is_dir()):
        try:
            with alone(shards / LOCK):
                found += _in_shards(shards)
        except BusyError:
            continue
    return found


def remove(things: list[Leftover]) -> None:
    for thing in things:
        if thing.path.is_dir():
            shutil.rmtree(thing.path)
        else:
            thing.path.unlink(missing_ok=True)


def _in_shards(shards: Path) -> list[Leftover]:
    index = shards.with_suffix(".h5")
    if not index.is_file():
        size = sum(path.stat().st_size for path in shards.iterdir())
        return [Leftover(shards, "shards of a capture that was not completed; the same command would go on", size)]
    with Cache(index) as cache:
        named = {shard.file_name for shard in cache.shards}
    odd = [path for path in sorted(shards.iterdir()) if path.name not in {*named, LOCK}]
    return [
        Leftover(p, "temporary" if p.name.endswith(PARTIAL) else "not of this cache", p.stat().st_size) for p in odd
    ]


def _sealed_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CacheError(f"{folder} is not a folder.")
    return sorted(path for path in folder.rglob("*.h5") if path.is_file() and seal_of(path))
