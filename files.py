"""Files that are whole under their name or not there, and folders that one process at a time writes to."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BusyError

PARTIAL = ".partial"  # how temporary names end; they begin with a dot


def write_whole(path: Path, data: bytes | bytearray | memoryview, scratch: Path | None = None) -> None:
    """Write a file under another name, make it durable, then rename it: after a power cut it is whole or not there.

    Args:
        scratch: folder of the same file system for the file until it is whole; its own folder by default.

    Raises:
        OSError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (scratch or path.parent) / f".{path.name}.{secrets.token_hex(4)}{PARTIAL}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """A folder that takes the name `path` when the block ends without an error; until then it has another one.

    Raises:
        OSError: it cannot be written, or there is something under that name; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        temporary.rename(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process ends, however it ends.

    Raises:
        BusyError: another process holds it.
        OSError: the folder cannot be written.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BusyError(f"{lock.parent} is in use by another run (process {file.read() or 'unknown'}).") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def sweep(folder: Path) -> None:
    """Remove what interrupted writes left under temporary names; for the holder of the folder's lock."""
    for left in folder.rglob(f".*{PARTIAL}"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
