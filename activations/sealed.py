"""HDF5 files that say up front what is in them, and carry a checksum of themselves.

HDF5 leaves the beginning of a file, the user block, to its users. There stand a checksum of everything behind it, and
the attributes and the place of every array as JSON. We read files by that table: the HDF5 library is needed for writing
them, and by whoever opens them elsewhere. It does not survive every damaged or malicious file; this table does.
"""

import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import xxhash

from ..errors import CacheError
from ..files import open_plain

MARK = b"babelscope sealed file\n"
DIGEST = slice(len(MARK), len(MARK) + 32)
FROM = 64  # the checksum is of everything from this byte on, the table included
LARGEST_TABLE = 2**20
PLAIN_TYPE = re.compile(r"[<|][Siuf][1-9]\d{0,9}")
BLOCK = 2**20  # bytes that are read at a time where a file is only checked


def sealed(attributes: Mapping[str, Any], fill: Callable[[h5py.File], None]) -> memoryview:
    """A file in memory, with `attributes` and what `fill` puts into it. The same inputs give the same bytes.

    It is built in memory because HDF5 cannot close a file whose last writes found the disk full.
    """
    room = 8192 + 2 * len(json.dumps(dict(attributes)))
    while True:
        head = 512
        while head < room:
            head *= 2
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=("v110", "v110"), userblock_size=head) as file:
            file.attrs.update(attributes)
            fill(file)
            table = {"attributes": dict(attributes), "arrays": _places(file)}
        image = buffer.getbuffer()
        text = json.dumps({"bytes": len(image), "head": head, **table}, ensure_ascii=False).encode()
        if FROM + len(text) <= head:
            break
        room = FROM + len(text)
    image[FROM : FROM + len(text)] = text
    image[: len(MARK)] = MARK
    image[DIGEST] = xxhash.xxh3_128_hexdigest(image[FROM:]).encode()
    return image


def _places(file: h5py.File) -> dict[str, Any]:
    """Type, shape and first byte of every array that is stored in one piece."""
    found: dict[str, Any] = {}

    def note(name: str, thing: h5py.Dataset | h5py.Group) -> None:
        if isinstance(thing, h5py.Dataset) and not thing.is_virtual and thing.chunks is None:
            found[name] = [thing.dtype.str, list(thing.shape), thing.id.get_offset()]

    file.visititems(note)
    return found


@dataclass(frozen=True)
class Contents:
    """What a whole sealed file says in its table, and the arrays that its table tells of, read-only; texts are bytes.

    They are read, not mapped: a file that is cut short while it is mapped ends the process that looks there.
    """

    attributes: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, path: Path, links: bool = False) -> Self:
        """Open a file, compare its checksum block by block, and only then take memory for its arrays.

        Args:
            links: follow symbolic links, as a user gives them.

        Raises:
            CacheError: it is missing, damaged, or something else.
        """
        with _opened(path, links) as file:
            if wrong := _fault(file):
                raise CacheError(f"{path} is not a whole babelscope file: {wrong}.")
            try:
                table = _table(file)
                if not all(isinstance(table.get(key), dict) for key in ("attributes", "arrays")):
                    raise ValueError("its table is not one")
                return cls(table["attributes"], _arrays(file, table["arrays"]))
            except (ValueError, TypeError, OverflowError, OSError, MemoryError) as error:
                raise CacheError(f"{path} is not as FORMAT.md says: {error}") from error

    def texts(self, name: str) -> list[str]:
        """An array of UTF-8 texts.

        Raises:
            CacheError: it is something else.
        """
        try:
            return [text.decode() for text in self.arrays[name].tolist()]
        except (AttributeError, UnicodeDecodeError) as error:
            raise CacheError(f"The array {name} is not text: {error}") from error


def texts(values: list[str]) -> np.ndarray:
    """Texts as an HDF5 array of UTF-8, each as long as the longest."""
    encoded = [value.encode() for value in values]
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, *map(len, encoded))))


def fault(path: Path) -> str:
    """What is wrong with a sealed file: "" when every byte is as it was written."""
    try:
        with _opened(path) as file:
            return _fault(file)
    except CacheError as error:
        return str(error)


def seal_of(path: Path) -> str:
    """The checksum that a file says it has; empty where it says none."""
    try:
        with path.open("rb") as file:
            start = file.read(FROM)
    except OSError:
        return ""
    return start[DIGEST].decode("ascii", "replace") if start.startswith(MARK) else ""


@contextmanager
def _opened(path: Path, links: bool = False) -> Iterator[io.FileIO]:
    try:
        with open_plain(path.resolve() if links else path) as file:
            yield file
    except FileNotFoundError as error:
        raise CacheError(f"{path} is missing") from error
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error}") from error


def _fault(file: io.FileIO) -> str:
    """What is wrong with an opened file. It may be of any size: memory holds a block of it."""
    head = os.pread(file.fileno(), FROM, 0)
    if len(head) < FROM or not head.startswith(MARK) or any(head[DIGEST.stop :]):
        return "it has no seal"
    damaged = "its bytes are not those that were written (damaged or truncated)"
    if _table(file).get("bytes") != os.fstat(file.fileno()).st_size:
        return damaged
    digest, block = xxhash.xxh3_128(), memoryview(bytearray(BLOCK))
    file.seek(FROM)
    while n := file.readinto(block):
        digest.update(block[:n])
    return "" if head[DIGEST] == digest.hexdigest().encode() else damaged


def _table(file: io.FileIO) -> dict[str, Any]:
    """What stands in the head of a file; empty where no table does."""
    text = os.pread(file.fileno(), LARGEST_TABLE, FROM).partition(b"\0")[0]
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def _arrays(file: io.FileIO, places: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays at these places, which together are no larger than the file.

    Raises:
        ValueError, TypeError: the table says what cannot be. MemoryError: there is none for them.
    """
    left = os.fstat(file.fileno()).st_size
    if left > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise MemoryError(f"its {left} bytes are more than this machine's memory")
    found = {}
    for name, (kind, shape, begin) in places.items():
        if not isinstance(kind, str) or not PLAIN_TYPE.fullmatch(kind):
            raise ValueError(f"{name} is of type {kind!r:.20}")
        for length in (begin, *shape):
            if type(length) is not int or length < 0:
                raise ValueError(f"{name}: {length!r:.20} is no length")
        dtype = np.dtype(kind)
        n_bytes = math.prod(shape) * dtype.itemsize
        left -= n_bytes
        if left < 0:
            raise ValueError(f"{name}: {kind} {shape} is not in the file")
        data, read = np.empty(n_bytes, np.uint8), 0
        room = data.data  # its memory
        file.seek(begin)
        while read < n_bytes and (n := file.readinto(room[read:])):  # the system reads 2 GB at once, at most
            read += n
        if read < n_bytes:
            raise ValueError(f"{name}: {kind} {shape} at byte {begin} is not in the file")
        data.flags.writeable = False
        found[name] = data.view(dtype).reshape(shape)
    return found
