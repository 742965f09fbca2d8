"""HDF5 files from elsewhere: only what lies plainly in the file itself is read, and no more than the file has bytes.

The HDF5 library follows links and virtual datasets into other files, and makes room for whatever a header says.
"""

import math
from typing import Any

import h5py

from ..errors import CacheError

MOST_VALUES = 1000  # of one attribute, each of which may be a text


def plain_attributes(file: h5py.File, size: int) -> dict[str, Any]:
    """The attributes of a file of `size` bytes.

    Raises:
        CacheError: one is neither text nor numbers, or too large.
    """
    for name in file.attrs:
        attribute = file.attrs.get_id(name)
        n, kind = math.prod(attribute.shape or ()), attribute.dtype
        if not _plain_type(kind) or n > MOST_VALUES or n * kind.itemsize > size:
            raise CacheError(f"{file.filename}: attribute {name:.40} is no text, number or short list.")
    return dict(file.attrs.items())


def plain_dataset(file: h5py.File, name: str, size: int) -> h5py.Dataset | None:
    """A dataset of a file of `size` bytes; None where there is none. Its numbers are not read yet.

    Raises:
        CacheError: it is a link, lies in other files, is compressed, or is said to hold more than the file does.
    """
    thing: Any = file
    for part in name.split("/"):
        link = thing.get(part, getlink=True) if isinstance(thing, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise CacheError(f"{file.filename}: {name} is a link. Links may lead elsewhere, and are not followed.")
        thing = thing[part]
    if fault := _fault(thing, size):
        raise CacheError(f"{file.filename}: {name} {fault}. No cache of version 1 has such an array.")
    return thing


def plain_texts(dataset: h5py.Dataset, size: int) -> list[str]:
    """Texts of a file of `size` bytes. One at a time: they may all be said to be the same, long one.

    Raises:
        CacheError: together they are longer than the file.
    """
    found: list[str] = []
    length, values = 0, dataset.asstr()
    for row in range(len(dataset)):
        found.append(values[row])
        length += len(found[-1])
        if length > size:
            raise CacheError(f"{dataset.file.filename}: the texts of {dataset.name} are longer than the file.")
    return found


def _fault(thing: Any, size: int) -> str:
    if not isinstance(thing, h5py.Dataset) or thing.shape is None:
        return "is no array"
    if thing.is_virtual or thing.external:
        return "is stored in other files"
    if not _plain_type(thing.dtype):
        return f"is of type {thing.dtype}"
    if thing.id.get_create_plist().get_nfilters():
        return "is compressed"
    stored, item = thing.id.get_storage_size(), thing.dtype.itemsize
    if not math.prod(thing.shape) * item <= stored <= size or math.prod(thing.chunks or ()) * item > size:
        return f"is said to be of shape {thing.shape}, of which the file holds {stored} bytes"
    return ""


def _plain_type(dtype: Any) -> bool:
    return dtype.kind in "iufb" or h5py.check_string_dtype(dtype) is not None
