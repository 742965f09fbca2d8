"""The cache of one condition, opened for reading. FORMAT.md describes the files.

Whatever is read has its checksum compared first, so what comes out is what was captured, or an error. Files may come
from strangers: of shards, plain files in the cache's own folder are opened alone, and nothing is believed unchecked.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import xxhash
from jaxtyping import Float, UInt64

from ..display import Displayed
from ..errors import CacheError
from ..files import open_plain
from ..quiet import explaining
from ..tasks import Example, Prompt
from .layout import (
    EXAMPLE_COLUMNS,
    IDENTITY,
    VERSION,
    Array,
    Scores,
    Shard,
    array_shapes,
    check_same,
    differing,
    first_layer,
    is_ragged,
    item_bytes,
)
from .sealed import Contents, seal_of
from .shards import Stored, inflate
from .structure import check_structure

if TYPE_CHECKING:
    import xarray

HDF5 = b"\x89HDF"
THREADED = 2**24  # bytes; less is read before threads are there
SMALLEST = 1 / 1100  # zlib compresses no further


class Cache(Displayed):
    """A complete cache, opened for reading. Use as a context manager, or close() it."""

    def __init__(self, path: Path | str) -> None:
        """Open `path`.

        Raises:
            CacheError: no such file, not a babelscope cache, another version, damaged, or not as FORMAT.md says.
        """
        self.path = Path(path)
        self._contents = _open_checked(self.path)
        self._row_starts: dict[str, np.ndarray] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index; arrays that were read from it stay valid."""
        self._contents = None  # type: ignore[assignment]

    def summary(self) -> dict[str, object]:
        if self._contents is None:
            return {"path": self.path, "closed": True}
        known = self.attributes
        return {
            "path": self.path,
            "model": known["model"],
            "adapter": known["adapter"] or "none",
            "task": known["task"],
            "languages": known["languages"],
            "examples": len(self),
            "layers": f"0 to {self.n_layers}",
            "d_model": self.d_model,
            "arrays": self.arrays or "scores alone",
            "MB": f"{self.n_bytes / 1e6:,.1f}",
        }

    def __len__(self) -> int:
        """Examples."""
        return len(self._contents.arrays["examples/n_tokens"])

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Everything that is known about how the cache was made."""
        return dict(self._contents.attributes)

    @property
    def n_layers(self) -> int:
        """Blocks of the model; states have one layer more, 0 being the embeddings."""
        return int(self.attributes["layers"]) - 1

    @property
    def d_model(self) -> int:
        return int(self.attributes["d_model"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays of states that were kept, such as `states/last`."""
        return tuple(self.attributes["arrays"])

    def shape_of(self, array: str) -> Array:
        """Layers and width of an array."""
        (found,) = array_shapes([array], self.n_layers, self.d_model, int(self.attributes["d_mlp"]))
        return found

    @property
    def positions(self) -> tuple[str, ...]:
        """Positions whose residual stream was kept."""
        return tuple(name.removeprefix("states/") for name in self.arrays if name.startswith("states/"))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self._contents.texts("labels/name"))

    @property
    def label_words(self) -> dict[str, dict[str, str]]:
        """Language -> label -> the word for it in that language (whatever words were answered in)."""
        words: dict[str, dict[str, str]] = json.loads(self.attributes["label_words"])
        return words

    @property
    def answer_words(self) -> dict[str, list[str]]:
        """Language -> the words that were scored, in the order of the labels."""
        words: dict[str, list[str]] = json.loads(self.attributes["answer_words"])
        return words

    @property
    def folder(self) -> Path:
        """Where the shards lie."""
        return self.path.resolve().with_name(str(self.attributes["shards"]))

    @cached_property
    def shards(self) -> list[Shard]:
        languages = self._contents.texts("examples/language")
        rows = self._contents.arrays["shards/rows"].tolist()
        return [Shard(number, languages[begin], begin, end) for number, (begin, end) in enumerate(rows)]

    @cached_property
    def seals(self) -> list[str]:
        """The checksum that each shard's file had when the cache was completed."""
        return self._contents.texts("shards/seal")

    @property
    def n_bytes(self) -> int:
        """On disk, with the shards."""
        return self.path.stat().st_size + sum(shard.stat().st_size for shard in self.folder.glob("*.h5"))

    def examples(self) -> pd.DataFrame:
        """One row per example, language-major: id, language, label, split, text, n_tokens, n_kept."""
        columns: dict[str, Any] = {name: self._contents.texts(f"examples/{name}") for name in EXAMPLE_COLUMNS}
        return pd.DataFrame(
            columns | {name: self._contents.arrays[f"examples/{name}"] for name in ("n_tokens", "n_kept")}
        )

    def prompts(self) -> list[Prompt]:
        """What the model read, one for each example."""
        names = ("language", "prefix", "slot")
        rows = zip(*(self._contents.texts(f"prompts/{name}") for name in names), strict=True)
        around = {code: (prefix, slot) for code, prefix, slot in rows}
        if missing := set(self._contents.texts("examples/language")) - around.keys():
            raise CacheError(f"{self.path} does not tell what its prompts in {min(missing)!r} begin with.")
        columns = (self._contents.texts(f"examples/{name}") for name in ("id", "language", "split", "text", "label"))
        return [Prompt(Example(*values), *around[values[1]]) for values in zip(*columns, strict=True)]

    def scores(self) -> Scores:
        """What each answer word scores after each prompt."""
        return self._scores("labels")

    def content_free(self) -> tuple[list[str], Scores]:
        """What each answer word scores when the question says nothing, and the language of each such row."""
        return self._contents.texts("content_free/language"), self._scores("content_free")

    def _scores(self, group: str) -> Scores:
        return Scores(self._contents.arrays[f"{group}/logprob"], self._contents.arrays[f"{group}/prefix_logprob"])

    def states(
        self, position: str, layer: int, rows: slice = slice(None), stream: str = "states"
    ) -> Float[np.ndarray, "row width"]:
        """One layer of one stream in float32; reads the bytes of that layer only, and checks them.

        Args:
            position: `last`, `mean` or `all`; for `all`, rows are tokens, those of one example after those of another,
                `n_kept` each (see `examples`).
            layer: of the residual stream, 0 (embeddings) to n_layers (after the last block, before the final norm); of
                other streams 1 to n_layers, the block.
            stream: `states` (residual stream), `attention`, `mlp` or `neurons`.

        Raises:
            CacheError: no such array or layer; a shard is missing or damaged: its rows are named.
        """
        name = f"{stream}/{position}"
        if name not in self.arrays:
            raise CacheError(f"{self.path} has no {name!r}. It has: {', '.join(self.arrays) or 'scores alone'}.")
        first = first_layer(name)
        if not first <= layer <= self.n_layers:
            raise CacheError(f"{self.path} has layers {first} to {self.n_layers}; layer {layer} was asked for.")
        starts = self._starts(name)
        begin, end, step = rows.indices(int(starts[-1]))
        if step < 1:
            raise CacheError(f"Rows are read in order; a step of {step} was asked for.")
        overlapping = [s for s in self.shards if starts[s.number] < end and starts[s.number + 1] > begin]
        table = self._contents.arrays[f"chunks/{name}"][:, layer - first]
        for shard in overlapping:  # before memory is taken for what a forged index says
            self._expected_bytes(shard, name, table[shard.number])
        wanted = np.empty((max(end - begin, 0), self.shape_of(name).width), np.float32)

        def fill(shard: Shard) -> None:
            start, stop = int(starts[shard.number]), int(starts[shard.number + 1])
            low, high = max(begin, start), min(end, stop)
            stored = self.read_layer(shard, name, table[shard.number])
            _widen_into(wanted[low - begin : high - begin], stored[low - start : high - start])

        if wanted.nbytes > THREADED:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                list(pool.map(fill, overlapping))
        else:
            for shard in overlapping:
                fill(shard)
        return wanted[::step]

    def to_pandas(self, position: str, layer: int, stream: str = "states") -> pd.DataFrame:
        """One layer as a table: a row per example, indexed by language and id, a column per dimension."""
        if position == "all":
            raise CacheError("Rows of position 'all' are tokens; a table has a row per example. Use states().")
        index = pd.MultiIndex.from_frame(self.examples()[["language", "id"]])
        return pd.DataFrame(self.states(position, layer, stream=stream), index)

    def to_xarray(self, layers: Sequence[int] | None = None) -> "xarray.Dataset":
        """States and scores in memory, with their labels; see `export.to_xarray`."""
        from .export import to_xarray

        return to_xarray(self, layers)

    def _starts(self, array: str) -> np.ndarray:
        """Where each shard's rows of an array begin, and where the last one's end."""
        if array not in self._row_starts:
            rows = self._contents.arrays["shards/rows"]
            if is_ragged(array):
                rows = np.concatenate([[0], self._contents.arrays["examples/n_kept"].cumsum()])[rows]
            self._row_starts[array] = np.concatenate([rows[:, 0], rows[-1:, 1]])
        return self._row_starts[array]

    def places(self, array: str, shard: Shard) -> UInt64[np.ndarray, "layer 3"]:
        """Where the layers of an array are in a shard: byte offset, bytes, checksum."""
        places: UInt64[np.ndarray, "layer 3"] = self._contents.arrays[f"chunks/{array}"][shard.number]
        return places

    def stored(self, shard: Shard) -> Stored:
        """What the index knows of a shard."""
        rows, scores = slice(shard.begin, shard.end), self.scores()
        return Stored(
            self.seals[shard.number],
            Scores(scores.full[rows], scores.prefix[rows]),
            self._contents.arrays["examples/n_tokens"][rows],
            self._contents.arrays["examples/n_kept"][rows],
            {name: self.places(name, shard) for name in self.arrays},
        )

    def read_layer(self, shard: Shard, array: str, place: UInt64[np.ndarray, "3"]) -> np.ndarray:
        """One layer of one shard as it is stored, [row, width] of uint16 or float32, its checksum compared."""
        offset, n_bytes, digest = (int(value) for value in place)
        raw_bytes = self._expected_bytes(shard, array, place)
        item, width = item_bytes(self.attributes["dtype"]), self.shape_of(array).width
        try:
            with open_plain(self.folder / shard.file_name) as file:
                data = os.pread(file.fileno(), n_bytes, offset)
        except (OSError, OverflowError) as error:
            raise self._damage(shard, array, _reason(error)) from error
        if xxhash.xxh3_64_intdigest(data) != digest:
            raise self._damage(shard, array, "its bytes are not those that were written")
        if self.attributes["compression"]:
            try:
                data = inflate(data, raw_bytes, item)
            except ValueError as error:
                raise self._damage(shard, array, str(error)) from error
        return np.frombuffer(data, np.uint16 if item == 2 else np.float32).reshape(-1, width)

    def _expected_bytes(self, shard: Shard, array: str, place: UInt64[np.ndarray, "3"]) -> int:
        """Bytes of one layer of a shard, uncompressed, if what the index says of them can be."""
        starts, n_bytes = self._starts(array), int(place[1])
        rows = int(starts[shard.number + 1] - starts[shard.number])
        raw = rows * self.shape_of(array).width * item_bytes(self.attributes["dtype"])
        compressed = self.attributes["compression"]
        if not (raw * SMALLEST <= n_bytes <= raw * 1.01 + 64 if compressed else n_bytes == raw):
            raise self._damage(shard, array, f"it says that {raw} bytes are stored in {n_bytes}")
        try:
            size = (self.folder / shard.file_name).lstat().st_size
        except OSError as error:
            raise self._damage(shard, array, _reason(error)) from error
        if int(place[0]) + n_bytes > size:
            raise self._damage(shard, array, f"it has {size} bytes, and should have more")
        return raw

    def _damage(self, shard: Shard, array: str, what: str) -> CacheError:
        return CacheError(
            f"{self.folder / shard.file_name}: {array} of rows {shard.begin} to {shard.end - 1} ({shard.language!r}) "
            f"cannot be read: {what}. See `babelscope cache verify {self.path}` and `cache repair`."
        )


def _reason(error: Exception) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else str(error)


def _widen_into(out: Float[np.ndarray, "row d_model"], stored: np.ndarray) -> None:
    if stored.dtype == np.uint16:
        np.left_shift(stored, 16, out=out.view(np.uint32), dtype=np.uint32, casting="unsafe")
    else:
        out[...] = stored


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
        check_same(cache.attributes, identity, path)
    return True


def together(caches: Iterable[Cache]) -> None:
    """Check that caches are conditions of one experiment: same base model, task, labels and prompts."""
    fields = [name for name in IDENTITY if name != "adapter_sha256"]
    check_alike(caches, fields, "compared", "Cache both with the same model, task and options.")


def check_alike(caches: Iterable[Cache], fields: Sequence[str], to_be: str, remedy: str) -> None:
    """Check that caches agree with the first one in these fields.

    Args:
        to_be: what they are wanted for, as in "cannot be compared".

    Raises:
        CacheError: one does not; it is named, with the first field that differs.
    """
    first, *rest = caches
    for other in rest:
        if apart := differing(first.attributes, other.attributes, fields):
            field, mine, theirs = apart
            raise CacheError(
                f"{first.path} and {other.path} cannot be {to_be}: {field} differs ({mine} and {theirs}). {remedy}"
            )


def _open_checked(path: Path) -> Contents:
    if path.is_dir():
        raise CacheError(f"{path} is a folder. Give a cache in it, a file that ends in .h5.")
    if not path.is_file():
        raise CacheError(f"{path} does not exist. Make it with `babelscope cache`.")
    if not seal_of(path) and _begins(path) == HDF5:
        raise CacheError(
            f"{path} is HDF5, but not a babelscope cache of version {VERSION}. If it is one of version 1, from "
            f"somebody you trust: `babelscope cache upgrade {path} --out NEW.h5`."
        )
    try:
        contents = Contents.of(path, links=True)
    except CacheError as error:
        raise CacheError(
            f"{error} Move it away and run the command that made it again (`babelscope cache`, or its `merge` or "
            "`upgrade`): whole shards are used again."
        ) from error
    with explaining(f"{path} is not as FORMAT.md says", CacheError):
        try:
            check_structure(contents)
        except CacheError as error:
            raise ValueError(error) from error
    return contents


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(HDF5))
