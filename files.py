"""Files that are whole under their name or not there, and folders that one process at a time writes to."""

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from .errors import BabelscopeError, BusyError

LOCK = ".lock"
PARTIAL = ".partial"  # how temporary names end; they begin with a dot


def write_whole(path: Path, data: bytes | bytearray | memoryview, scratch: Path | None = None) -> None:
    """Write a file under another name, make it durable, then rename it: after a power cut it is whole or not there.

    Args:
        scratch: folder of the same file system for the file until it is whole; its own folder by default.

    Raises:
        OSError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path, scratch or path.parent) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write a small file that readers see whole, old or new; a power cut may lose it.

    Raises:
        OSError: it cannot be written.
    """
    with _replacing(path, path.parent) as file:
        file.write(text.encode())


@contextmanager
def _replacing(path: Path, scratch: Path) -> Iterator[BinaryIO]:
    """A file under a temporary name that takes the name `path` at the end, and is held until then, see `held`."""
    temporary = scratch / f".{path.name}.{secrets.token_hex(4)}{PARTIAL}"
    try:
        with temporary.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def open_plain(path: Path) -> FileIO:
    """Open a file for reading that is neither a link nor anything but a plain file.

    Raises:
        OSError: it is something else, or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a plain file")
    return FileIO(handle)


@contextmanager
def writing_folder(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """A folder that takes the name `path` when the block ends without an error; until then it has another one.

    Args:
        scratch: where it is until then, on the same file system; beside `path` by default.

    Raises:
        OSError: it cannot be written, or there is something under that name; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (scratch or path.parent) / f".{path.name}.{secrets.token_hex(4)}{PARTIAL}"
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        sync_folder(temporary)
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
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
        OSError: the folder cannot be written, or the lock is no plain file.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    # A link that a stranger put there must not lead to a file that is then overwritten.
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    with open(handle, "r+", encoding="utf-8") as file:  # noqa: PTH123
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{lock.parent} is in use by another run (process {file.read() or 'unknown'}).") from None
        if os.fstat(handle).st_nlink == 0:  # it was removed, with its folder, after we opened it
            raise BusyError(f"{lock.parent} is in use by another run, which has just removed it. Start again.")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def held(lock: Path) -> bool:
    """Whether a process holds a lock file.

    To find out, the lock is shared for a moment: who takes it in that moment is refused.
    """
    try:
        with open_plain(lock) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none
        return False
    return False


@contextmanager
def working_in(folder: Path, error: type[BabelscopeError]) -> Iterator[None]:
    """Be alone in a folder, made if need be, and clear away what an interrupted run left in it.

    Raises:
        BusyError: another process works there.
        error: the folder cannot be written, or is a link to somewhere else.
    """
    with ExitStack() as stack:
        try:
            if folder.is_symlink():
                raise OSError(errno.ELOOP, "it is a symbolic link")
            stack.enter_context(alone(folder / LOCK))
            sweep(folder)
        except OSError as reason:
            raise error(f"{folder} cannot be written: {reason.strerror}. Choose another --out.") from reason
        yield


def sweep(folder: Path) -> None:
    """Remove what interrupted writes left in a folder under temporary names; for the holder of its lock."""
    for left in folder.glob(f".*{PARTIAL}"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
