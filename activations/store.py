"""The cache of one condition: HDF5 version 1, described in FORMAT.md. Written once, read many times.

A file is written under a temporary name and renamed when complete, so a file under its final name is whole.
bfloat16 has no HDF5 type in h5py: its bits are stored as uint16 and widened on reading.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from ..errors import CacheError

FORMAT = "babelscope-activations"
VERSION = 1
POSITIONS = ("last", "mean")
CHUNK_ROWS = 256
EXAMPLE_COLUMNS = ("id", "language", "label", "split", "text", "prompt")

# What decides the numbers in a cache: two caches with these equal hold the same states.
IDENTITY = (
    "model_sha256",
    "adapter_sha256",
    "tokenizer_sha256",
    "prompts_sha256",
    "task",
    "shots",
    "labels",
    "dtype",
    "compute_dtype",
    "positions",
)


@dataclass(frozen=True)
class Shape:
    """Extent of a cache: examples, layers counted with the embeddings, width, labels, positions that are kept."""

    n: int
    n_states: int
    d_model: int
    labels: tuple[str, ...]
    positions: tuple[str, ...] = POSITIONS


@dataclass(frozen=True)
class Scores:
    """Natural log-probabilities of label words after prompts, under both rules.

    full: of a word's whole token sequence. prefix: of the next token being any beginning of the word, which is how
    arXiv 2405.13816 decodes.
    """

    full: Float[np.ndarray, "row label"]
    prefix: Float[np.ndarray, "row label"]


class Cache:
    """A complete cache, opened for reading. Use as a context manager, or close() it."""

    def __init__(self, path: Path | str) -> None:
        """Open `path`.

        Raises:
            CacheError: no such file, not a babelscope cache, another version, or not complete.
        """
        self.path = Path(path)
        self._file = _open_checked(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def attributes(self) -> dict[str, Any]:
        """Everything that is known about how the cache was made."""
        return {key: _plain(value) for key, value in self._file.attrs.items()}

    @property
    def n_layers(self) -> int:
        """Blocks of the model; states have one layer more, 0 being the embeddings."""
        return int(self._file.attrs["layers"]) - 1

    @property
    def d_model(self) -> int:
        return int(self._file.attrs["d_model"])

    @property
    def positions(self) -> tuple[str, ...]:
        """Positions whose states were kept."""
        return tuple(position for position in POSITIONS if f"states/{position}" in self._file)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self._file["labels/name"].asstr()[:])

    @property
    def label_words(self) -> dict[str, dict[str, str]]:
        """Language -> label -> the word for it in that language (whatever words were answered in)."""
        words: dict[str, dict[str, str]] = json.loads(self._file.attrs["label_words"])
        return words

    def examples(self) -> pd.DataFrame:
        """One row per example, language-major: id, language, label, split, text, prompt, n_tokens."""
        group = self._file["examples"]
        columns: dict[str, Any] = {name: group[name].asstr()[:] for name in EXAMPLE_COLUMNS}
        return pd.DataFrame(columns | {"n_tokens": group["n_tokens"][:]})

    def scores(self) -> Scores:
        """What each answer word scores after each prompt."""
        self._require_scores()
        return self._scores("labels")

    def _require_scores(self) -> None:
        for name in ("labels/prefix_logprob", "content_free/prefix_logprob"):
            if name not in self._file:
                raise CacheError(
                    f"{self.path} has no {name}: an earlier babelscope made it. Move it away, cache again."
                )

    def content_free(self) -> tuple[list[str], Scores]:
        """What each answer word scores when the question says nothing, and the language of each such row."""
        self._require_scores()
        return list(self._file["content_free/language"].asstr()[:]), self._scores("content_free")

    def _scores(self, group: str) -> Scores:
        return Scores(self._file[f"{group}/logprob"][:], self._file[f"{group}/prefix_logprob"][:])

    def states(self, position: str, layer: int, rows: slice = slice(None)) -> Float[np.ndarray, "row d_model"]:
        """Residual stream of one layer in float32; reads the bytes of that layer only.

        Args:
            position: `last` or `mean`.
            layer: 0 (embeddings) to n_layers (after the last block, before the final norm).
        """
        if position not in self.positions:
            raise CacheError(
                f"{self.path} has no position {position!r}. It has: {', '.join(self.positions) or 'none'}."
            )
        if not 0 <= layer <= self.n_layers:
            raise CacheError(f"{self.path} has layers 0 to {self.n_layers}; layer {layer} was asked for.")
        return widen(self._file[f"states/{position}"][rows, layer])


def widen(stored: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """float32 from what is on disk: bfloat16 bits as uint16, or float32 itself."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


class CacheWriter:
    """Rows go in, in order, block by block; see `writing`."""

    def __init__(self, file: h5py.File, shape: Shape) -> None:
        self._file = file
        self._shape = shape
        self._next = 0

    def append(
        self,
        states: Mapping[str, Shaped[np.ndarray, "row layer d_model"]],
        scores: Scores,
        n_tokens: Int[np.ndarray, "row"],
    ) -> None:
        rows = slice(self._next, self._next + len(n_tokens))
        for position in self._shape.positions:
            self._file[f"states/{position}"][rows] = states[position]
        self._file["labels/logprob"][rows] = scores.full
        self._file["labels/prefix_logprob"][rows] = scores.prefix
        self._file["examples/n_tokens"][rows] = n_tokens
        self._next = rows.stop

    def content_free(self, languages: Sequence[str], scores: Scores) -> None:
        """What answers are preferred when the question says nothing; `languages` names the rows."""
        group = self._file["content_free"]
        for name, values in (("logprob", scores.full), ("prefix_logprob", scores.prefix)):
            group.create_dataset(name, data=values.astype(np.float32))
        group.create_dataset("language", data=list(languages), dtype=h5py.string_dtype())

    def check_full(self) -> None:
        if self._next != self._shape.n:
            raise CacheError(f"{self._next} of {self._shape.n} examples were captured; the cache is not complete.")


@contextmanager
def writing(
    path: Path, shape: Shape, dtype: str, examples: Mapping[str, Sequence[str]], attributes: Mapping[str, Any]
) -> Iterator[CacheWriter]:
    """Create a cache; it takes the name `path` only when the block ends without an error.

    Args:
        dtype: `bfloat16` (stored as its bits in uint16) or `float32`.
        examples: the columns EXAMPLE_COLUMNS, `shape.n` texts each.
        attributes: how the cache is made; holds at least IDENTITY.

    Raises:
        CacheError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = _temporary(path, _states_bytes(shape, dtype))
    try:
        with h5py.File(temporary, "w", libver=("v110", "v110"), rdcc_nbytes=64 * 2**20) as file:
            _declare(file, shape, dtype, examples, attributes)
            _reserve(file, temporary)
            writer = CacheWriter(file, shape)
            yield writer
            writer.check_full()
            file.attrs["complete"] = True
        temporary.replace(path)
    except OSError as error:
        raise CacheError(f"{path} cannot be written: {error}. Free space or choose another --out.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _declare(
    file: h5py.File, shape: Shape, dtype: str, examples: Mapping[str, Sequence[str]], attributes: Mapping[str, Any]
) -> None:
    file.attrs.update(
        dict(attributes)
        | {
            "format": FORMAT,
            "version": VERSION,
            "complete": False,
            "layers": shape.n_states,
            "d_model": shape.d_model,
            "dtype": dtype,
        }
    )
    text = h5py.string_dtype()
    for column in EXAMPLE_COLUMNS:
        file.create_dataset(f"examples/{column}", data=list(examples[column]), dtype=text)
    file.create_dataset("examples/n_tokens", shape=(shape.n,), dtype=np.int32)
    file.create_dataset("labels/name", data=list(shape.labels), dtype=text)
    for name in ("logprob", "prefix_logprob"):
        file.create_dataset(f"labels/{name}", shape=(shape.n, len(shape.labels)), dtype=np.float32)
    file.create_group("content_free")
    for position in shape.positions:
        dataset = file.create_dataset(
            f"states/{position}",
            shape=(shape.n, shape.n_states, shape.d_model),
            dtype=np.uint16 if dtype == "bfloat16" else np.float32,
            chunks=(min(shape.n, CHUNK_ROWS), 1, shape.d_model),
            dcpl=_allocated_at_once(),
        )
        dataset.attrs["encoding"] = "bfloat16 bits as uint16" if dtype == "bfloat16" else "float32"


def _temporary(path: Path, needed: int) -> Path:
    """A file of its own beside `path`, if there is room for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if needed > free:
            raise CacheError(
                f"{path} needs {needed / 1e6:,.1f} MB of disk, {free / 1e6:,.1f} MB are free. "
                "Free space, choose another --out, or lower --limit."
            )
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise CacheError(f"{path} cannot be written: {error.strerror}. Choose another --out.") from error
    os.close(handle)
    return Path(name)


def _states_bytes(shape: Shape, dtype: str) -> int:
    return len(shape.positions) * shape.n * shape.n_states * shape.d_model * (2 if dtype == "bfloat16" else 4)


def _allocated_at_once() -> h5py.h5p.PropDCID:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return properties


def _reserve(file: h5py.File, path: Path) -> None:
    """Take the whole file's space now: HDF5 cannot close a file whose last writes found the disk full."""
    file.flush()
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as raw:
            os.posix_fallocate(raw.fileno(), 0, path.stat().st_size)


def reusable(path: Path, identity: Mapping[str, Any]) -> bool:
    """Whether `path` already is the cache that `identity` describes.

    Raises:
        CacheError: there is a file, but not this cache: the first field that differs is named.
    """
    if path.is_dir():
        raise CacheError(f"{path} is a folder; a cache is one file, such as {path / 'base.h5'}.")
    if not path.exists():
        return False
    with Cache(path) as cache:
        found = cache.attributes
    for field in IDENTITY:
        if found.get(field) != _plain(identity[field]):
            raise CacheError(
                f"{path} was made with another {field}: it has {_short(found.get(field))}, this run needs "
                f"{_short(identity[field])}. Move it away, or choose another --out."
            )
    return True


def together(caches: Iterable[Cache]) -> None:
    """Check that caches are conditions of one experiment: same base model, task, labels and prompts."""
    first, *rest = caches
    for other in rest:
        for field in (name for name in IDENTITY if name != "adapter_sha256"):
            mine, theirs = first.attributes.get(field), other.attributes.get(field)
            if mine != theirs:
                raise CacheError(
                    f"{first.path} and {other.path} cannot be compared: {field} differs "
                    f"({_short(mine)} and {_short(theirs)}). Cache both with the same model, task and options."
                )


def _open_checked(path: Path) -> h5py.File:
    if not path.is_file():
        raise CacheError(f"{path} does not exist. Make it with `babelscope cache`.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise CacheError(f"{path} is not a readable HDF5 file (truncated, or something else): {error}.") from error
    try:
        found = (_plain(file.attrs.get("format")), _plain(file.attrs.get("version")))
        if found != (FORMAT, VERSION):
            raise CacheError(f"{path} is not a babelscope cache of version {VERSION}: it says {found}.")
        if not file.attrs.get("complete"):
            raise CacheError(f"{path} is half written. Delete it and run `babelscope cache` again.")
    except CacheError:
        file.close()
        raise
    return file


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, list, tuple)):
        return [_plain(item) for item in value]
    return value


def _short(value: Any) -> str:
    text = str(_plain(value))
    return text if len(text) <= 24 else text[:12] + "..."
