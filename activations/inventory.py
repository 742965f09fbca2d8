"""What caches are in a folder, and what is left over from runs that ended early."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..display import Displayed
from ..errors import BusyError, CacheError
from ..files import LOCK, PARTIAL, alone, held
from .sealed import seal_of
from .store import Cache

OURS = re.compile(rf"\d{{5,}}\.h5|{re.escape(LOCK)}|\..*{re.escape(PARTIAL)}")

OUR_PARTIAL = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(PARTIAL)}")


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
    with _alone_in_all(folder) as shards:
        return _found(folder, shards)


def remove_leftovers(folder: Path) -> list[Leftover]:
    """Delete what `leftovers` finds, and tell what it was. No capture starts there in between.

    Raises:
        CacheError: no such folder.
    """
    with _alone_in_all(folder) as shards:
        found = _found(folder, shards)
        for thing in found:
            if thing.path.is_dir():
                shutil.rmtree(thing.path)
            else:
                thing.path.unlink(missing_ok=True)
    return found


@contextmanager
def _alone_in_all(folder: Path) -> Iterator[list[Path]]:
    """Hold the locks of the folders of shards below `folder`, and leave out those at which another process works."""
    with ExitStack() as stack:
        idle = []
        for shards in _folders(folder):
            try:
                stack.enter_context(alone(shards / LOCK))
            except (BusyError, OSError):
                continue
            idle.append(shards)
        yield idle


def _found(folder: Path, idle: list[Path]) -> list[Leftover]:
    named: dict[Path, set[str]] = {}
    for path in _indices(folder):
        try:
            with Cache(path) as cache:
                names = {shard.file_name for shard in cache.shards if cache.arrays}  # the index holds scores alone
                named.setdefault(cache.folder, set()).update(names)
        except CacheError:
            named |= {place: {"*"} for place in path.parent.glob("*.shards")}
    found = [_leftover(path, "temporary") for path in sorted(folder.rglob(f".*{PARTIAL}")) if _abandoned(path)]
    for shards in idle:
        found += _in_shards(shards, named.get(shards.resolve(), named.get(shards)))
    return found


def _abandoned(path: Path) -> bool:
    """Whether a file outside the shards was being written by a process that has ended."""
    plain = path.is_file() and not path.is_symlink() and path.parent.suffix != ".shards"
    return plain and OUR_PARTIAL.fullmatch(path.name) is not None and not held(path)


def _in_shards(shards: Path, known: set[str] | None) -> list[Leftover]:
    if known is not None and "*" in known:
        return []
    files = [path for path in sorted(shards.iterdir()) if path.name != LOCK]
    if not known:
        size = sum(path.lstat().st_size for path in files)
        uncompleted = "shards of a capture that was not completed; the same command would go on"
        return [Leftover(shards, uncompleted if known is None else "shards of a cache of scores alone", size)]
    odd = [path for path in files if path.name not in known]
    return [_leftover(path, "temporary" if path.name.endswith(PARTIAL) else "not of this cache") for path in odd]


def _leftover(path: Path, what: str) -> Leftover:
    return Leftover(path, what, path.lstat().st_size)


def _folders(folder: Path) -> list[Path]:
    """Folders that hold shards, their lock and temporary files, and nothing else."""
    found = [path for path in folder.rglob("*.shards") if path.is_dir() and not path.is_symlink()]
    return sorted(p for p in found if (p / LOCK).is_file() and all(OURS.fullmatch(x.name) for x in p.iterdir()))


def _indices(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CacheError(f"{folder} is not a folder.")
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.suffix != ".shards"]
    return sorted(path for path in files if seal_of(path) or path.suffix == ".h5")
