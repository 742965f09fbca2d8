"""What storing costs: writing beside capturing, compression, one layer out of a large cache beside plain bytes."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from babelscope.activations.cache import stored_dtype
from babelscope.activations.capture import Captured, capture
from babelscope.activations.index import PromptTable, write_index
from babelscope.activations.layout import (
    IDENTITY,
    KEPT,
    SHARD_ROWS,
    Array,
    Scores,
    plan_shards,
    shard_rows,
    shards_folder,
)
from babelscope.activations.shards import read_stored, write_shard
from babelscope.activations.store import Cache
from babelscope.tasks import Asking, Example, Prompt, few_shot_prompts, load_task

from .measure import interleaved
from .subjects import Sizes, open_real
from .table import Outcome, Row, at_least, at_most, timed

LAYERS, D_MODEL = 19, 640
WRITING, READING = 0.03, 0.7  # targets


def run(sizes: Sizes) -> Outcome:
    captured, seconds = _captured(sizes)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        found = [
            _writing(folder, captured, seconds, sizes),
            _reading(folder, sizes),
            _reading_compressed(folder, captured, sizes),
        ]
    return Outcome("Storing", [row for row, _ in found], [note for _, note in found])


def _captured(sizes: Sizes) -> tuple[Captured, float]:
    """Real states of real prompts, and the seconds that they took."""
    model, task = open_real(), load_task("sentiment")
    prompts = few_shot_prompts(task, "zh", Asking(2), sizes.items)
    capture(model, prompts[:4], task.labels)
    started = time.perf_counter()
    captured = capture(model, prompts, task.labels)
    return captured, time.perf_counter() - started


def _writing(folder: Path, captured: Captured, capturing: float, sizes: Sizes) -> tuple[Row, str]:
    n = len(captured.n_tokens)
    states = {name: values.bfloat16().view(torch.uint16).numpy() for name, values in captured.arrays.items()}
    (shard,) = plan_shards({"zh": n}, n)
    scores = Scores(captured.logprob.numpy(), captured.prefix_logprob.numpy())

    def write(compress: bool) -> Path:
        path = folder / f"{compress}.h5"
        write_shard(path, shard, states, scores, captured.n_tokens, captured.n_kept, _identity(), compress)
        return path

    seconds = interleaved({"plain": lambda: write(False), "compressed": lambda: write(True)}, sizes.rounds)
    plain, small = (write(compress).stat().st_size for compress in (False, True))
    share = float(np.median(seconds["plain"])) / capturing
    target = at_most(share, WRITING, "share of capture")
    row = timed(f"write a shard of {n} prompts", seconds["plain"], target=target)
    return row, (
        f"Writing: capturing these prompts took {capturing:.2f} s, writing is {share:.1%} of it, with fsync. "
        f"Compressed, the shard has {small / plain:.0%} of the bytes ({plain / 1e6:.1f} MB plain) and takes "
        f"{np.median(seconds['compressed']):.2f} s to write."
    )


def _reading(folder: Path, sizes: Sizes) -> tuple[Row, str]:
    path = folder / "large.h5"
    rows = _rows(sizes.cache_bytes)
    random = np.random.default_rng(1).integers(0, 2**15, (SHARD_ROWS, LAYERS, D_MODEL), dtype=np.uint16)
    _write_large(path, rows, random)
    plain = folder / "plain"
    plain.write_bytes(np.random.default_rng(0).bytes(rows * D_MODEL * 2))
    layer = 0

    def read_layer() -> None:
        nonlocal layer
        layer = (layer + 7) % LAYERS
        cache.states("last", layer)

    def read_plain() -> None:
        with plain.open("rb", buffering=0) as file:
            buffer = bytearray(plain.stat().st_size)
            file.readinto(buffer)

    with Cache(path) as cache:
        read_layer()
        read_plain()
        seconds = interleaved({"layer": read_layer, "plain": read_plain}, max(3, sizes.rounds))
    ratios = [b / a for a, b in zip(seconds["layer"], seconds["plain"], strict=True)]
    row = timed(
        f"read one layer of a {sizes.cache_bytes / 1e9:.1f} GB cache, as float32, checksums compared",
        seconds["layer"],
        speed=ratios,
        target=at_least(float(np.median(ratios)), READING),
    )
    shards = len(list(shards_folder(path).glob("*.h5")))
    return row, (
        f"Reading: the layer has {rows * D_MODEL * 2 / 1e6:.0f} MB on disk in {shards} shards; the ratio is to "
        "reading a file of that size into memory at one go "
        f"({rows * D_MODEL * 2 / 1e9 / float(np.median(seconds['plain'])):.1f} GB/s here, from the page cache)."
    )


def _reading_compressed(folder: Path, captured: Captured, sizes: Sizes) -> tuple[Row, str]:
    """Real states over and over, since random bits would not compress; they repeat farther back than zlib looks."""
    n_bytes = sizes.cache_bytes / 10  # compressing takes its time
    bits = captured.last.bfloat16().view(torch.uint16).numpy()
    states = np.resize(bits, (SHARD_ROWS, LAYERS, D_MODEL))
    paths = {name: folder / f"{name}.h5" for name in ("compressed", "uncompressed")}
    for name, path in paths.items():
        _write_large(path, _rows(n_bytes), states, compress=name == "compressed")
    with Cache(paths["compressed"]) as small, Cache(paths["uncompressed"]) as large:
        ways = {"compressed": lambda: small.states("last", 9), "uncompressed": lambda: large.states("last", 9)}
        for read in ways.values():
            read()
        seconds = interleaved(ways, max(3, sizes.rounds))
        share = small.n_bytes / large.n_bytes
    ratios = [b / a for a, b in zip(seconds["compressed"], seconds["uncompressed"], strict=True)]
    row = timed(f"read one layer of a compressed cache of {n_bytes / 1e9:.1f} GB", seconds["compressed"], speed=ratios)
    return row, (
        f"Reading compressed: the cache has {share:.0%} of the bytes of the same one uncompressed, whose layer is "
        f"read in {np.median(seconds['uncompressed']):.3f} s; the ratio is to that."
    )


def _rows(n_bytes: float) -> int:
    """Examples in a cache of so many bytes."""
    return int(n_bytes / (2 * LAYERS * D_MODEL * 2))


def _write_large(path: Path, n: int, states: np.ndarray, compress: bool = False) -> None:
    """The same states, [row, layer, d_model], in all shards but for the first row: disk and checksums do not care."""
    arrays = [Array(name, LAYERS, D_MODEL) for name in KEPT]
    shards = plan_shards({"en": n}, shard_rows(arrays, "bfloat16"))
    states, stored = states.copy(), []
    for shard in shards:
        size = shard.end - shard.begin
        states[0] = shard.number
        scores = Scores(np.zeros((size, 2), np.float32), np.zeros((size, 2), np.float32))
        place = shards_folder(path) / shard.file_name
        whole = dict.fromkeys(KEPT, states[:size])
        write_shard(place, shard, whole, scores, np.ones(size, int), np.ones(size, int), _identity(), compress)
        stored.append(read_stored(place, shard, arrays, _identity()))
    prompts = [Prompt(Example(str(i), "en", "test", "text", "negative"), "", "") for i in range(n)]
    one = Scores(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))
    more = {"layers": LAYERS, "d_model": D_MODEL, "d_mlp": 0, "compression": compress, "model": "", "adapter": ""}
    more |= {"languages": ["en"], "trained_languages": []}
    words = dict.fromkeys(("label_words", "answer_words", "asking"), "{}")
    write_index(
        path,
        shards_folder(path),
        shards,
        stored,
        arrays,
        PromptTable.of(prompts),
        (["en"], one),
        _identity() | more | words,
    )


def _identity() -> dict[str, object]:
    values = {"labels": ["negative", "positive"], "dtype": stored_dtype("bfloat16"), "arrays": list(KEPT)}
    return {field: values.get(field, "") for field in IDENTITY}
