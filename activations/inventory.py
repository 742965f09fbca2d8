"""What caches are in a folder, and what is left over from runs that ended early."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..display import Displayed
from ..errors import BusyError, CacheError
from ..files import LOCK, PARTIAL, alone
from .sealed import seal_of
from .store import Cache

OURS = re.compile(rf"\d{{5,}}\.h5|{re.escape(LOCK)}|\..*{re.escape(PARTIAL)}")


@dataclass(frozen=True, repr=False)
class Entry(Displayed):
    """One cache, in a line."""

    path: str
    model: str
    adapter: str
    task: str
    languages: int
    examples: int
    arrays: str
    bytes: int


@dataclass(frozen=True, repr=False)
class Leftover(Displayed):
    """A file or folder that no cache needs."""

    path: Path
    what: str
    bytes: int


def entry(path: Path) -> Entry:
    with Cache(path) as cache:
        a = cache.attributes
        arrays = ", ".join(cache.arrays) or "scores alone"
        return Entry(
            str(path), a["model"], a["adapter"], a["task"], len(a["languages"]), len(cache), arrays, cache.n_bytes
        )


def list_caches(folder: Path) -> tuple[list[Entry], list[str]]:
    """The caches below `folder`, and an error for each file that should be one and is not.

    Raises:
        CacheError: no such folder.
    """
    entries, errors = [], []
    for path in _indices(folder):
        try:
            entries.append(entry(path))
        except CacheError as error:
            errors.append(str(error))
    return entries, errors


def leftovers(folder: Path) -> list[Leftover]:
    """Temporary files, shards of captures that were never completed, and shard files that their index does not name.

    What a running process holds is not among them, nor what lies beside an index that cannot be read: it may be its.

    Raises:
        CacheError: no such folder.
    """
    named: dict[Path, set[str]] = {}
    for path in _indices(folder):
        try:
            with Cache(path) as cache:
                named.setdefault(cache.folder, set()).update(shard.file_name for shard in cache.shards)
        except CacheError:
            named |= {place: {"*"} for place in path.parent.glob("*.shards")}
    found = []
    for shards in _folders(folder):
        known = named.get(shards.resolve(), named.get(shards, set()))
        try:
            with alone(shards / LOCK):
                found += _in_shards(shards, known)
        except (BusyError, OSError):
            continue
    return found


def remove_leftovers(things: list[Leftover]) -> None:
    for thing in things:
        if thing.path.is_dir():
            shutil.rmtree(thing.path)
        else:
            thing.path.unlink(missing_ok=True)


def _in_shards(shards: Path, known: set[str]) -> list[Leftover]:
    if "*" in known:
        return []
    files = [path for path in sorted(shards.iterdir()) if path.name != LOCK]
    if not known:
        size = sum(path.lstat().st_size for path in files)
        return [Leftover(shards, "shards of a capture that was not completed; the same command would go on", size)]
    odd = [path for path in files if path.name not in known]
    kinds = {path: "temporary" if path.name.endswith(PARTIAL) else "not of this cache" for path in odd}
    return [Leftover(path, kind, path.lstat().st_size) for path, kind in kinds.items()]


def _folders(folder: Path) -> list[Path]:
    """Folders that hold shards, their lock and temporary files, and nothing else."""
    found = [path for path in folder.rglob("*.shards") if path.is_dir() and not path.is_symlink()]
    return sorted(p for p in found if (p / LOCK).is_file() and all(OURS.fullmatch(x.name) for x in p.iterdir()))


def _indices(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CacheError(f"{folder} is not a folder.")
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.suffix != ".shards"]
    return sorted(path for path in files if seal_of(path) or path.suffix == ".h5")
