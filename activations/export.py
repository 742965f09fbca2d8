"""A cache for other tools: states of chosen layers, with labels and scores, in one file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..errors import CacheError, UsageError
from ..files import write_whole
from ..progress import Progress, Steps, silent
from .layout import Array, first_layer
from .store import Cache

if TYPE_CHECKING:
    import xarray


def export(cache: Cache, out: Path, layers: Sequence[int] | None = None, on_progress: Progress = silent) -> None:
    """Write `cache` to `out`; the ending says how: .npz, .safetensors or .parquet. States become float32.

    npz and safetensors: every array that was kept [example, layer, width], `layers`, and the columns of the examples
    (in safetensors the texts are one JSON string in the metadata). parquet: a row per example, a list column per array
    and layer, such as `last_06`. Arrays of the residual stream are called by their position (`last`), those of other
    streams `attention_last` and so on; these have no layer 0. Of position `all`, rows are tokens, `n_kept` of each
    example (in parquet a list of tokens).

    Raises:
        UsageError: another ending. CacheError: `out` exists, cannot be written, or the cache is damaged.
    """
    if out.suffix not in EXPORTS:
        raise UsageError(f"{out.name!r} ends with none of {', '.join(EXPORTS)}: the ending says how to export.")
    if out.exists():
        raise CacheError(f"{out} exists already. Choose another --out, or move it away.")
    chosen = list(range(cache.n_layers + 1)) if layers is None else list(layers)
    data = EXPORTS[out.suffix](cache, chosen, on_progress)
    try:
        write_whole(out, data)
    except OSError as error:
        raise CacheError(f"{out} cannot be written: {error.strerror}. Free space, or choose another --out.") from error


@dataclass(frozen=True)
class _Exported:
    """One array of a cache, of the chosen layers that it has."""

    array: Array
    layers: list[int]
    values: Float[np.ndarray, "row layer width"]

    @property
    def name(self) -> str:
        return self.array.name.removeprefix("states/").replace("/", "_")


def _states(cache: Cache, layers: Sequence[int], on_progress: Progress = silent) -> list[_Exported]:
    chosen = {name: [layer for layer in layers if layer >= first_layer(name)] for name in cache.arrays}
    step = Steps(on_progress, sum(map(len, chosen.values())))
    found = []
    for name, own in chosen.items():
        if not own:
            raise UsageError(f"{name} has no layer 0, and no other layer was chosen. Choose more --layers.")
        stream, position = name.split("/")
        read = []
        for layer in own:
            read.append(cache.states(position, layer, stream=stream))
            step()
        found.append(_Exported(cache.shape_of(name), own, np.stack(read, axis=1)))
    return found


def _npz(cache: Cache, layers: Sequence[int], on_progress: Progress) -> bytes:
    from io import BytesIO

    file = BytesIO()
    columns = {name: np.asarray(values, dtype=np.str_) for name, values in _texts(cache).items()}
    np.savez(file, allow_pickle=False, **_numbers(cache, layers, on_progress), **columns)
    return file.getvalue()


def _safetensors(cache: Cache, layers: Sequence[int], on_progress: Progress) -> bytes:
    import json

    from safetensors.numpy import save

    data: bytes = save(
        _numbers(cache, layers, on_progress), {"examples": json.dumps(_texts(cache), ensure_ascii=False)}
    )
    return data


def _parquet(cache: Cache, layers: Sequence[int], on_progress: Progress) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow. Install it with `pip install 'babelscope[datasets]'`.") from error
    scores = cache.scores()
    columns: dict[str, Any] = {str(name): pa.array(values.tolist()) for name, values in cache.examples().items()}
    columns |= {f"logprob_{label}": scores.full[:, k] for k, label in enumerate(cache.labels)}
    ends = np.concatenate([[0], cache.examples()["n_kept"].cumsum()])
    for one in _states(cache, layers, on_progress):
        for i, layer in enumerate(one.layers):
            rows = pa.FixedSizeListArray.from_arrays(pa.array(one.values[:, i].reshape(-1)), one.array.width)
            rows = pa.LargeListArray.from_arrays(pa.array(ends), rows) if one.array.ragged else rows
            columns[f"{one.name}_{layer:02d}"] = rows
    file = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), file)
    data: bytes = file.getvalue().to_pybytes()
    return data


def _numbers(cache: Cache, layers: Sequence[int], on_progress: Progress) -> dict[str, np.ndarray]:
    scores, examples = cache.scores(), cache.examples()
    numbers = {"layers": np.asarray(layers), "logprob": scores.full, "prefix_logprob": scores.prefix}
    numbers |= {name: examples[name].to_numpy() for name in ("n_tokens", "n_kept")}
    return numbers | {one.name: one.values for one in _states(cache, layers, on_progress)}


def _texts(cache: Cache) -> dict[str, list[str]]:
    examples = cache.examples().drop(columns=["n_tokens", "n_kept"])
    return {str(name): [str(value) for value in values] for name, values in examples.items()}


EXPORTS: dict[str, Callable[[Cache, Sequence[int], Progress], bytes]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}


def to_xarray(cache: Cache, layers: Sequence[int] | None = None) -> "xarray.Dataset":
    """States and scores with their labels: dimensions example, layer, d_model, answer; coordinates id, language, ...

    Streams beside the residual one have the dimension block in place of layer, and neurons have d_mlp. Rows of position
    `all` are tokens, `n_kept` of each example.

    Raises:
        UsageError: xarray is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise UsageError("to_xarray needs xarray. Install it with `pip install 'babelscope[notebook]'`.") from error
    chosen = list(range(cache.n_layers + 1)) if layers is None else list(layers)
    variables: dict[str, Any] = {}
    for one in _states(cache, chosen):
        row, depth = "token" if one.array.ragged else "example", "block" if first_layer(one.array.name) else "layer"
        width = "d_mlp" if one.array.name.startswith("neurons/") else "d_model"
        variables[one.name] = ((row, depth, width), one.values)
    scores = cache.scores()
    variables["logprob"] = (("example", "answer"), scores.full)
    variables["prefix_logprob"] = (("example", "answer"), scores.prefix)
    coordinates = {str(name): ("example", values.to_numpy()) for name, values in cache.examples().items()}
    coordinates |= {"layer": ("layer", np.asarray(chosen)), "answer": ("answer", np.asarray(cache.labels))}
    if any(first_layer(name) for name in cache.arrays):
        coordinates["block"] = ("block", np.asarray([layer for layer in chosen if layer]))
    return xarray.Dataset(
        variables, coordinates, {"model": cache.attributes["model"], "task": cache.attributes["task"]}
    )
