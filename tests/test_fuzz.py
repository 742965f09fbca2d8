"""Readers against mutated files: an error, or the right numbers; never a crash, a hang, or a wrong array.

Half of the files are damaged as accidents do it. The others have their seal made good again, as a forger would, so that
everything behind the seal is read too.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xxhash
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.sealed import DIGEST, FROM
from babelscope.activations.store import Cache
from babelscope.errors import CacheError
from babelscope.models import Model
from babelscope.tasks import Asking, load_task

FILES = 6_000  # of each kind
SLOWEST = 5.0  # seconds; a hang, not a busy machine
NUMBERS = [b"\xff" * 8, b"\0" * 8, *(value.to_bytes(8, "little") for value in (2**31, 2**40, 2**62))]


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    from babelscope.models import open_model

    path = tmp_path_factory.mktemp("fuzz") / "base.h5"
    model: Model = open_model(str(tiny_folder("llama")), dtype="float32", device="cpu")
    request = Request(
        load_task("sentiment"), ("en", "zh"), Asking(shots=0), limit=3, keep=("states/last", "states/all")
    )
    write_cache(model, request, path)
    return path


def mutated(whole: bytes, rng: random.Random, start: int) -> bytearray:
    data = bytearray(whole)
    # Most of the damage goes where the structure is told: the table at the beginning.
    stop = min(len(data), 5000) if rng.random() < 0.7 else len(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        place = rng.randrange(start, stop)
        how = rng.random()
        if how < 0.5:
            data[place] ^= 1 << rng.randrange(8)
        elif how < 0.8:
            data[place] = rng.choice(b'\0\xff\x7f0129"[]{},-.e')
        else:
            data[place : place + 8] = rng.choice(NUMBERS)
    if rng.random() < 0.1:
        del data[rng.randrange(start, len(data)) :]
    return data


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
