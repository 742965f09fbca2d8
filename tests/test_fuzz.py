"""Readers against mutated files: an error, or the right numbers; never a crash, a hang, or a wrong array.

Half of the files are damaged as accidents do it. The others have their seal made good again, as a forger would, so that
everything behind the seal is read too.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xxhash
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.layout import Shard
from babelscope.activations.sealed import DIGEST, FROM
from babelscope.activations.shards import find_stored
from babelscope.activations.store import Cache
from babelscope.errors import CacheError
from babelscope.models import Model, open_model
from babelscope.tasks import Asking, load_task
from mutations import mutated

FILES = 6_000  # of each kind
FEW = 150  # in seconds
REQUEST = Request(load_task("sentiment"), ("en", "zh"), Asking(shots=0), limit=3, keep=("states/last", "states/all"))
SLOWEST = 5.0  # seconds; a hang, not a busy machine


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "base.h5"
    model: Model = open_model(str(tiny_folder("llama")), dtype="float32", device="cpu")
    write_cache(model, REQUEST, path)
    return path


def everything(path: Path) -> list[np.ndarray]:
    with Cache(path) as cache:
        cache.examples()
        cache.prompts()
        scores = cache.scores()
        states = [cache.states(position, layer) for position in cache.positions for layer in range(cache.n_layers + 1)]
        return [scores.full, scores.prefix, cache.content_free()[1].full, *states]


def read(path: Path) -> list[np.ndarray] | None:
    started = time.perf_counter()
    try:
        return everything(path)
    except CacheError:
        return None
    finally:
        assert time.perf_counter() - started < SLOWEST


@pytest.mark.slow
def test_accidents_in_index_and_shards_never_change_a_number(cached: Path) -> None:
    wanted = everything(cached)
    files = {file: file.read_bytes() for file in [cached, *cached.parent.rglob("0*.h5")]}
    rng = random.Random(0)
    refused = 0
    for n in range(FILES):
        file = rng.choice(list(files))
        file.write_bytes(mutated(files[file], rng, 0))
        found = read(cached)
        file.write_bytes(files[file])
        if found is None:
            refused += 1
        else:
            assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)), f"file {n}"
    assert refused > FILES / 4


@pytest.mark.parametrize("compressed", [False, True])
def test_forged_shards_and_compressed_caches_are_read_or_refused(
    cached: Path, tiny_folder: Callable[[str], Path], tmp_path: Path, compressed: bool
) -> None:
    """The chunk of a forged shard has its checksum in the index, which its forger has not: nothing wrong is read."""
    path = tmp_path / "base.h5"
    model = open_model(str(tiny_folder("llama")), dtype="float32", device="cpu")
    write_cache(model, replace(REQUEST, compress=compressed), path)
    wanted = everything(path)
    shard = tmp_path / "base.h5.shards" / "00000.h5"
    files = {file: file.read_bytes() for file in [path, *path.parent.rglob("0*.h5")]}
    rng, refused = random.Random(2), 0
    for n in range(FEW):
        file = rng.choice(list(files))
        forged = mutated(files[file], rng, FROM)
        forged[DIGEST] = xxhash.xxh3_128_hexdigest(bytes(forged[FROM:])).encode()
        file.write_bytes(forged)
        found = read(path)
        if found is None:
            refused += 1
        elif file != path:
            assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)), f"file {n}"
        with suppress(CacheError):
            find_stored(shard, Shard(0, "en", 0, 3), [], {"labels": ["negative", "positive"]}, compressed)
        file.write_bytes(files[file])
    assert FEW / 10 < refused < FEW


@pytest.mark.slow
def test_forged_indices_are_read_or_refused(cached: Path) -> None:
    whole = cached.read_bytes()
    rng = random.Random(1)
    refused = 0
    for _ in range(FILES):
        forged = mutated(whole, rng, FROM)
        forged[DIGEST] = xxhash.xxh3_128_hexdigest(bytes(forged[FROM:])).encode()
        cached.write_bytes(forged)
        refused += read(cached) is None
    cached.write_bytes(whole)
    assert FILES / 4 < refused < FILES
