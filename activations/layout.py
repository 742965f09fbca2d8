"""What a cache is made of: its arrays, its shards, and what decides its numbers. FORMAT.md says it in prose."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import CacheError, UsageError

FORMAT = "babelscope-activations"
VERSION = 2
POSITIONS = ("last", "mean", "all")
STREAMS = ("states", "attention", "mlp", "neurons")  # the residual stream, what is added to it, the MLP's activations
ARRAYS = tuple(f"{stream}/{position}" for stream in STREAMS for position in POSITIONS)
KEPT = ("states/last", "states/mean")  # unless another choice is made
KEPT_TOKENS = 64  # of a prompt, about, where every token is kept
EXAMPLE_COLUMNS = ("id", "language", "label", "split", "text")
SHARD_ROWS = 256  # examples in one shard: captured together, written together, lost together
SHARD_BYTES = 2**28  # of states; wide models get shards of fewer rows

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
    "arrays",
)


@dataclass(frozen=True)
class Array:
    """One array, [row, layer, width], under its HDF5 path; rows are examples, or tokens where `ragged`."""

    name: str
    n_layers: int
    width: int

    @property
    def ragged(self) -> bool:
        return is_ragged(self.name)


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of one language."""

    number: int
    language: str
    begin: int
    end: int

    @property
    def file_name(self) -> str:
        return f"{self.number:05d}.h5"


@dataclass(frozen=True)
class Scores:
    """Natural log-probabilities of label words after prompts, under both rules.

    full: of a word's whole token sequence. prefix: of the next token being any beginning of the word, which is how
    arXiv 2405.13816 decodes.
    """

    full: Float[np.ndarray, "row label"]
    prefix: Float[np.ndarray, "row label"]


def is_ragged(name: str) -> bool:
    """Whether the rows of an array are tokens rather than examples."""
    return name.endswith("/all")


def first_layer(name: str) -> int:
    """How the first layer of an array is called: 0 is what enters the first block, 1 what the first block does."""
    return 0 if name.startswith("states/") else 1


def shards_folder(path: Path) -> Path:
    """Where the shards of the cache at `path` lie: beside it, so that the two move together."""
    return path.resolve().with_name(f"{path.resolve().name}.shards")


def shard_rows(arrays: Iterable[Array], dtype: str) -> int:
    """Examples in a shard. It depends on nothing but the model's shape and what is kept of it."""
    return max(1, min(SHARD_ROWS, SHARD_BYTES // max(row_bytes(arrays, dtype), 1)))


def plan_shards(counts: Mapping[str, int], size: int) -> list[Shard]:
    """Split every language's rows into shards of `size`."""
    shards: list[Shard] = []
    start = 0
    for code, n in counts.items():
        for begin in range(start, start + n, size):
            shards.append(Shard(len(shards), code, begin, min(begin + size, start + n)))
        start += n
    return shards


def item_bytes(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else 4


def row_bytes(arrays: Iterable[Array], dtype: str) -> int:
    """Bytes of one example, about where every token is kept."""
    return sum(a.n_layers * a.width * (KEPT_TOKENS if a.ragged else 1) for a in arrays) * item_bytes(dtype)


def array_name(text: str) -> str:
    """`last` is short for `states/last`.

    Raises:
        UsageError: there is no such array.
    """
    name = text if "/" in text else f"states/{text}"
    if name not in ARRAYS:
        raise UsageError(
            f"Unknown array {text!r}. Positions: {', '.join(POSITIONS)}; streams before them: {', '.join(STREAMS)}, "
            "as in `neurons/last`."
        )
    return name


def array_shapes(names: Iterable[str], n_layers: int, d_model: int, d_mlp: int) -> list[Array]:
    """The arrays of a model with `n_layers` blocks. The residual stream has one layer more."""
    found = []
    for name in names:
        stream = name.split("/")[0]
        found.append(Array(name, n_layers + (stream == "states"), d_mlp if stream == "neurons" else d_model))
    return found


def check_same(
    found: Mapping[str, Any],
    wanted: Mapping[str, Any],
    path: Path,
    remedy: str = "Move it away, or choose another --out.",
) -> None:
    """What a file says of itself must agree with what is wanted, as far as that goes.

    Raises:
        CacheError: it does not; the first field that differs is named.
    """
    if apart := differing(found, wanted, [field for field in IDENTITY if field in wanted]):
        field, has, needs = apart
        raise CacheError(f"{path} was made with another {field}: it has {has}, this run needs {needs}. {remedy}")


def differing(one: Mapping[str, Any], other: Mapping[str, Any], fields: Iterable[str]) -> tuple[str, str, str] | None:
    """The first of the fields in which two caches differ, and what each says there, in short."""
    for field in fields:
        if plain(one.get(field)) != plain(other.get(field)):
            return field, short(one.get(field)), short(other.get(field))
    return None


def plain(value: Any) -> Any:
    """An attribute as HDF5 gives it -> Python's own types."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, list, tuple)):
        return [plain(item) for item in value]
    return value


def short(value: Any) -> str:
    text = str(plain(value))
    return text if len(text) <= 24 else text[:12] + "..."
