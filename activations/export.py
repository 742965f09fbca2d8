"""A cache for other tools: states of chosen layers, with labels and scores, in one file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CacheError, UsageError
from ..files import write_whole
from ..progress import Progress, Steps, silent
from .store import Cache

if TYPE_CHECKING:
    import xarray


def export(cache: Cache, out: Path, layers: Sequence[int] | None = None, on_progress: Progress = silent) -> None:
    """Write `cache` to `out`; the ending says how: .npz, .safetensors or .parquet. States become float32.

    npz and safetensors: `last` and `mean` [example, layer, d_model], `layers`, and the columns of the examples (in
    safetensors the texts are one JSON string in the metadata). parquet: a row per example, a list column per position
    and layer, such as `last_06`.

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


def _states(cache: Cache, layers: Sequence[int], on_progress: Progress = silent) -> dict[str, np.ndarray]:
    positions = [position for position in cache.positions if position != "all"]  # rows are tokens there
    step = Steps(on_progress, len(positions) * len(layers))

    def read(position: str, layer: int) -> np.ndarray:
        states = cache.states(position, layer)
        step()
        return states

    return {position: np.stack([read(position, layer) for layer in layers], axis=1) for position in positions}


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
    for position, values in _states(cache, layers, on_progress).items():
        for i, layer in enumerate(layers):
            flat = pa.array(values[:, i].reshape(-1))
            columns[f"{position}_{layer:02d}"] = pa.FixedSizeListArray.from_arrays(flat, cache.d_model)
    file = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), file)
    data: bytes = file.getvalue().to_pybytes()
    return data


def _numbers(cache: Cache, layers: Sequence[int], on_progress: Progress) -> dict[str, np.ndarray]:
    scores = cache.scores()
    numbers = {"layers": np.asarray(layers), "n_tokens": cache.examples()["n_tokens"].to_numpy()}
    return numbers | {"logprob": scores.full, "prefix_logprob": scores.prefix} | _states(cache, layers, on_progress)


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

    Raises:
        UsageError: xarray is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise UsageError("to_xarray needs xarray. Install it with `pip install 'babelscope[notebook]'`.") from error
    chosen = list(range(cache.n_layers + 1)) if layers is None else list(layers)
    variables: dict[str, Any] = {
        position: (("example", "layer", "d_model"), values) for position, values in _states(cache, chosen).items()
    }
    scores = cache.scores()
    variables["logprob"] = (("example", "answer"), scores.full)
    variables["prefix_logprob"] = (("example", "answer"), scores.prefix)
    coordinates = {str(name): ("example", values.to_numpy()) for name, values in cache.examples().items()}
    coordinates |= {"layer": ("layer", np.asarray(chosen)), "answer": ("answer", np.asarray(cache.labels))}
    return xarray.Dataset(
        variables, coordinates, {"model": cache.attributes["model"], "task": cache.attributes["task"]}
    )
