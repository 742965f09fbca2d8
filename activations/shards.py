"""One shard of a cache: the states and scores of some rows, in a sealed HDF5 file of its own.

Every layer is one chunk, compressed or not, whose place and checksum the shard tells: readers take the bytes of the
layer they want, and nothing else, straight from the file.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from jaxtyping import Int, Shaped, UInt64

from ..errors import CacheError
from ..files import write_whole
from .layout import IDENTITY, Array, Scores, Shard, check_same, plain
from .sealed import Contents, seal_of, sealed
from .structure import check_arrays

FORMAT = "babelscope-shard"
COMPRESSION = 1  # zlib's level; higher ones gain next to nothing on states


@dataclass(frozen=True)
class Stored:
    """What a shard holds beside the states themselves."""

    seal: str  # checksum of the whole file
    scores: Scores
    n_tokens: Int[np.ndarray, "row"]
    n_kept: Int[np.ndarray, "row"]  # tokens from the question's first to the answer position
    places: Mapping[str, UInt64[np.ndarray, "layer 3"]]  # array -> byte offset, bytes, xxh3_64 of each layer


def write_shard(
    path: Path,
    shard: Shard,
    states: Mapping[str, Shaped[np.ndarray, "row layer width"]],
    scores: Scores,
    n_tokens: Int[np.ndarray, "row"],
    n_kept: Int[np.ndarray, "row"],
    identity: Mapping[str, Any],
    compress: bool = False,
) -> None:
    """Write a shard, whole or not at all. The same inputs give the same bytes.

    Raises:
        CacheError: the folder cannot be written, or the disk is full.
    """
    # In the order of IDENTITY, whoever asks: the same inputs give the same bytes.
    attributes = {field: plain(identity[field]) for field in IDENTITY}
    attributes |= {"format": FORMAT, "begin": shard.begin, "end": shard.end, "compression": compress}

    def fill(file: h5py.File) -> None:
        file.create_dataset("labels/logprob", data=scores.full.astype(np.float32))
        file.create_dataset("labels/prefix_logprob", data=scores.prefix.astype(np.float32))
        file.create_dataset("examples/n_tokens", data=n_tokens.astype(np.int32))
        file.create_dataset("examples/n_kept", data=n_kept.astype(np.int32))
        for name, values in states.items():
            file.create_dataset(f"chunks/{name}", data=_write_layers(file, name, values, compress))

    try:
        write_whole(path, sealed(attributes, fill))
    except OSError as error:
        raise CacheError(
            f"{path} cannot be written: {error.strerror}. Free space, or choose another --out; what was written before "
            "is kept, and the same command goes on from there."
        ) from error


def _write_layers(
    file: h5py.File, name: str, values: Shaped[np.ndarray, "row layer width"], compress: bool
) -> UInt64[np.ndarray, "layer 3"]:
    """One chunk for each layer. Returns where they are: byte offset, bytes, xxh3_64."""
    rows, layers, width = values.shape
    filters: dict[str, Any] = {"shuffle": True, "compression": COMPRESSION} if compress else {}
    dataset = file.create_dataset(name, values.shape, values.dtype, chunks=(rows, 1, width), **filters)
    dataset.attrs["encoding"] = "bfloat16 bits as uint16" if values.dtype == np.uint16 else "float32"
    digests = []
    for layer in range(layers):
        raw = np.ascontiguousarray(values[:, layer])
        data = _deflate(raw) if compress else raw.tobytes()
        dataset.id.write_direct_chunk((0, layer, 0), data)
        digests.append(xxhash.xxh3_64_intdigest(data))
    infos = [dataset.id.get_chunk_info_by_coord((0, layer, 0)) for layer in range(layers)]
    return np.array([[i.byte_offset, i.size, d] for i, d in zip(infos, digests, strict=True)], dtype=np.uint64)


def _deflate(raw: np.ndarray) -> bytes:
    """As HDF5's shuffle and gzip filters do: the first bytes of all numbers, then the second ones, and so on."""
    return zlib.compress(raw.reshape(-1, 1).view(np.uint8).T.tobytes(), COMPRESSION)


def inflate(data: bytes, n_bytes: int, item: int) -> bytes:
    """The inverse of `_deflate`. Never makes more than the `n_bytes` that are expected.

    Raises:
        ValueError: `data` is something else.
    """
    try:
        decoder = zlib.decompressobj()
        raw = decoder.decompress(data, n_bytes + 1)  # one more, so that the end is seen
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(raw) != n_bytes or not decoder.eof:
        raise ValueError(f"{len(raw)} bytes where {n_bytes} were expected")
    return np.frombuffer(raw, np.uint8).reshape(item, -1).T.tobytes()


def find_stored(
    path: Path, shard: Shard, arrays: Sequence[Array], identity: Mapping[str, Any], compress: bool
) -> Stored | None:
    """What a whole shard with these rows tells of itself; None where it is missing, damaged, or stored otherwise.

    Raises:
        CacheError: there is a shard, but of another cache: the field that differs is named.
    """
    try:
        contents = Contents.of(path)
    except CacheError:
        return None
    check_same(contents.attributes, identity, path)
    try:
        stored = _stored(path, contents, shard, arrays, identity)
    except ValueError:
        return None
    return stored if contents.attributes.get("compression") == compress else None


def read_stored(path: Path, shard: Shard, arrays: Sequence[Array], identity: Mapping[str, Any]) -> Stored:
    """What a shard tells of itself, without the states.

    Raises:
        CacheError: it is damaged, of another cache, or of other rows: another rank may have made it.
    """
    contents = Contents.of(path)
    check_same(contents.attributes, identity, path)
    try:
        return _stored(path, contents, shard, arrays, identity)
    except ValueError as error:
        raise CacheError(f"{path} is not as FORMAT.md says: {error}. Remove it, and run the command again.") from error


def _stored(
    path: Path, contents: Contents, shard: Shard, arrays: Sequence[Array], identity: Mapping[str, Any]
) -> Stored:
    told = tuple(contents.attributes.get(name) for name in ("format", "begin", "end"))
    if told != (FORMAT, shard.begin, shard.end):
        raise ValueError(f"it says that it is {told!r:.60}, expected rows {shard.begin} to {shard.end - 1}")
    rows, labels = shard.end - shard.begin, len(identity["labels"])
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        "labels/logprob": ((rows, labels), "float32"),
        "labels/prefix_logprob": ((rows, labels), "float32"),
        "examples/n_tokens": ((rows,), "int32"),
        "examples/n_kept": ((rows,), "int32"),
    }
    found = contents.arrays
    check_arrays(found, expected | {f"chunks/{array.name}": ((array.n_layers, 3), "uint64") for array in arrays})
    if (found["examples/n_kept"] < 0).any():
        raise ValueError("examples/n_kept has numbers below zero")
    return Stored(
        seal_of(path),
        Scores(found["labels/logprob"], found["labels/prefix_logprob"]),
        found["examples/n_tokens"],
        found["examples/n_kept"],
        {array.name: found[f"chunks/{array.name}"] for array in arrays},
    )
