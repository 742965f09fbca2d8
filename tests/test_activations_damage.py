"""Damaged caches are never read as if nothing had happened; repair gives back what was lost, and nothing else."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from babelscope.activations import layout
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.merge import merge
from babelscope.activations.repair import repair
from babelscope.activations.store import Cache
from babelscope.activations.verify import verify
from babelscope.errors import BusyError, CacheError, NoMemoryError, UsageError
from babelscope.files import alone
from babelscope.models import Model, open_model
from babelscope.tasks import Asking, load_task

REQUEST = Request(load_task("sentiment"), ("en", "zh"), Asking(shots=1), limit=20)


@pytest.fixture
def cached(tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layout, "SHARD_ROWS", 8)
    write_cache(tiny(), REQUEST, tmp_path / "base.h5")
    return tmp_path / "base.h5"


def shards(path: Path) -> list[Path]:
    return sorted(path.with_name("base.h5.shards").glob("*.h5"))


def flip(path: Path, place: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def everything(path: Path) -> dict[str, np.ndarray]:
    with Cache(path) as cache:
        arrays = {f"{p}{layer}": cache.states(p, layer) for p in cache.positions for layer in range(cache.n_layers + 1)}
        return arrays | {"logprob": cache.scores().full, "prior": cache.content_free()[1].full}


def test_an_undamaged_cache_verifies(cached: Path) -> None:
    assert verify(cached) == []
    assert len(shards(cached)) == 6  # 8 + 8 + 4 rows in each language


def test_damage_by_a_flipped_bit_names_rows_and_layer_and_only_that_layer_is_refused(cached: Path) -> None:
    with Cache(cached) as cache:
        offset = int(cache.places("states/mean", cache.shards[4])[2, 0])
    flip(shards(cached)[4], offset + 5)
    (damage,) = verify(cached)
    assert (damage.shard.language, damage.shard.begin, damage.shard.end) == ("zh", 28, 36)
    assert damage.arrays == ("states/mean: layer 2",)
    with Cache(cached) as cache:
        with pytest.raises(CacheError, match=r"states/mean of rows 28 to 35 \('zh'\) cannot be read.*repair"):
            cache.states("mean", 2)
        assert cache.states("mean", 1).shape == (40, cache.d_model)
        assert cache.states("mean", 2, slice(0, 28)).shape == (28, cache.d_model)


def test_damage_by_a_missing_or_truncated_shard_is_named(cached: Path) -> None:
    shards(cached)[0].unlink()
    cut = shards(cached)[2]
    cut.write_bytes(cut.read_bytes()[:-100])
    first, second = verify(cached)
    assert "missing" in first.what
    assert first.arrays == ("states/last: layers 0, 1, 2, 3", "states/mean: layers 0, 1, 2, 3")
    assert "truncated" in second.what
    with Cache(cached) as cache, pytest.raises(CacheError, match=r"rows 0 to 7.*it is missing"):
        cache.states("last", 0)


def test_a_whole_shard_of_another_cache_is_damage(cached: Path) -> None:
    """Every checksum in the file fits; it is still the wrong one."""
    shards(cached)[0].write_bytes(shards(cached)[1].read_bytes())
    (damage,) = verify(cached)
    assert damage.what == "whole, but not the file of this cache"


def test_repair_of_damage_captures_the_lost_rows_alone_to_the_same_bytes(
    cached: Path, tiny: Callable[..., Model]
) -> None:
    before = {path: path.read_bytes() for path in [cached, *shards(cached)]}
    times = {path: path.stat().st_mtime_ns for path in shards(cached)}
    damaged = shards(cached)[1], shards(cached)[5]
    flip(damaged[0], 4000)
    damaged[1].unlink()
    repaired = repair(cached, tiny)
    assert [same for _, same in repaired] == [True, True]
    assert {path: path.read_bytes() for path in [cached, *shards(cached)]} == before
    assert {path for path in shards(cached) if path.stat().st_mtime_ns != times[path]} == set(damaged)
    assert repair(cached, lambda: pytest.fail("a model was opened for nothing")) == []


def test_repair_that_computes_other_digits_updates_the_checksums(
    cached: Path, tiny: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine adds numbers in another order."""
    before = everything(cached)
    shards(cached)[3].unlink()
    model = tiny()
    block = model.blocks[0]
    block.register_forward_hook(lambda module, args, output: output * (1 + 1e-3))
    assert [same for _, same in repair(cached, lambda: model)] == [False]
    assert verify(cached) == []
    after = everything(cached)
    assert not np.array_equal(after["last3"], before["last3"])
    np.testing.assert_array_equal(after["last3"][:20], before["last3"][:20])
    np.testing.assert_allclose(after["last3"], before["last3"], rtol=0.1, atol=0.05)


def test_repair_refuses_another_model(cached: Path, tiny: Callable[..., Model]) -> None:
    shards(cached)[0].unlink()
    with pytest.raises(CacheError, match="was made with another model_sha256"):
        repair(cached, lambda: tiny("gpt2"))
    assert len(shards(cached)) == 5


@pytest.mark.parametrize("where", [3, 30, 600, -1])
def test_damage_to_the_index_is_refused_before_it_is_read(
    cached: Path, where: int, monkeypatch: pytest.MonkeyPatch, tiny: Callable[..., Model]
) -> None:
    whole = cached.read_bytes()
    flip(cached, where % len(whole))
    monkeypatch.setattr("babelscope.activations.store.check_structure", lambda contents: pytest.fail("it was read"))
    with pytest.raises(CacheError, match=r"not a whole babelscope file"):
        Cache(cached)
    monkeypatch.undo()
    monkeypatch.setattr(layout, "SHARD_ROWS", 8)
    cached.unlink()
    monkeypatch.setattr(
        "babelscope.activations.cache.capture_shard", lambda *args: pytest.fail("whole shards were captured again")
    )
    write_cache(tiny(), REQUEST, cached)
    assert cached.read_bytes() == whole


def test_an_index_that_is_cut_short_while_it_is_open_is_read_all_the_same(cached: Path) -> None:
    """Where it were mapped, the process would end here."""
    wanted = everything(cached)
    with Cache(cached) as cache:
        os.truncate(cached, 0)
        assert len(cache.prompts()) == len(cache) == 40
        np.testing.assert_array_equal(cache.scores().full, wanted["logprob"])
        np.testing.assert_array_equal(cache.states("last", 3), wanted["last3"])


def test_two_processes_on_one_output_are_refused(tiny: Callable[..., Model], tmp_path: Path) -> None:
    """The lock is the system's, so a second open file stands for a second process."""
    with (
        alone(tmp_path / "base.h5.shards" / ".lock"),
        pytest.raises(BusyError, match=r"in use by another run \(process"),
    ):
        write_cache(tiny(), REQUEST, tmp_path / "base.h5")
    assert not (tmp_path / "base.h5").exists()


@pytest.mark.parametrize("compress", [False, True])
def test_random_damage_is_found_or_harmless(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool
) -> None:
    """200 random damages to random files: the numbers are the same, or there is an error; and verify sees every one."""
    monkeypatch.setattr(layout, "SHARD_ROWS", 8)
    path = tmp_path / "base.h5"
    write_cache(tiny(), replace(REQUEST, compress=compress), path)
    wanted = everything(path)
    files = {file: file.read_bytes() for file in [path, *shards(path)]}
    rng = random.Random(0)
    refused = 0
    for _ in range(200):
        file = rng.choice(list(files))
        damaged = bytearray(files[file])
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
        if rng.random() < 0.2:
            del damaged[rng.randrange(len(damaged)) :]
        file.write_bytes(damaged)
        try:
            for name, values in everything(path).items():
                np.testing.assert_array_equal(values, wanted[name])
        except CacheError:
            refused += 1
        try:
            assert verify(path)
        except CacheError:
            assert file == path
        file.write_bytes(files[file])
    assert refused > 60
    assert verify(path) == []


def test_compression_loses_nothing_and_plain_h5py_reads_it(tiny: Callable[..., Model], tmp_path: Path) -> None:
    for name, compress in (("plain", False), ("small", True)):
        write_cache(tiny(), replace(REQUEST, compress=compress), tmp_path / f"{name}.h5")
    plain, small = everything(tmp_path / "plain.h5"), everything(tmp_path / "small.h5")
    for name, values in plain.items():
        np.testing.assert_array_equal(small[name], values)
    with h5py.File(tmp_path / "plain.h5") as one, h5py.File(tmp_path / "small.h5") as other:
        np.testing.assert_array_equal(one["states/last"][:], other["states/last"][:])
    assert not write_cache(tiny(), REQUEST, tmp_path / "small.h5")  # the same numbers: it is the same cache


def test_a_batch_without_memory_is_split(tiny: Callable[..., Model], tmp_path: Path) -> None:
    write_cache(tiny(), REQUEST, tmp_path / "whole.h5")
    model, sizes = tiny(), []

    def scarce(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        sizes.append(len(kwargs["input_ids"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("no memory")

    model.body.register_forward_pre_hook(scarce, with_kwargs=True)
    write_cache(model, REQUEST, tmp_path / "split.h5")
    assert max(sizes) > 3
    whole, split = everything(tmp_path / "whole.h5"), everything(tmp_path / "split.h5")
    for name, values in whole.items():
        np.testing.assert_allclose(split[name], values, rtol=1e-3, atol=1e-4)


def test_a_prompt_without_memory_is_named(tiny: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny()

    def scarce(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if kwargs["past_key_values"].get_seq_length() > 0:  # not the shared prefix
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    model.body.register_forward_pre_hook(scarce, with_kwargs=True)
    with pytest.raises(NoMemoryError, match=r"no memory for a single prompt such as '.*' in 'en'"):
        write_cache(model, REQUEST, tmp_path / "base.h5")
    assert not (tmp_path / "base.h5").exists()


def test_a_shared_prefix_without_memory_is_named(tiny: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny()

    def scarce(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        raise torch.OutOfMemoryError("no memory")

    model.body.register_forward_pre_hook(scarce, with_kwargs=True)
    with pytest.raises(NoMemoryError, match=r"no memory for the \d+ tokens that all prompts in 'en' begin with\. Use"):
        write_cache(model, REQUEST, tmp_path / "base.h5")
    assert not (tmp_path / "base.h5").exists()


def test_scores_without_memory_are_named_and_other_errors_are_left(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for message, kind in (("not enough memory: you tried to allocate", NoMemoryError), ("shapes", RuntimeError)):

        def failing(*arguments: object, message: str = message) -> None:
            raise RuntimeError(message)

        monkeypatch.setattr(Model, "token_log_probabilities", failing)
        with pytest.raises(kind, match=r"no memory for the scores of 20 prompts in 'en'|^shapes$"):
            write_cache(tiny(), REQUEST, tmp_path / "base.h5")


def test_damage_in_another_stream_is_named_by_its_block(tiny: Callable[..., Model], tmp_path: Path) -> None:
    path = tmp_path / "base.h5"
    write_cache(tiny(), replace(REQUEST, keep=("neurons/last",)), path)
    with Cache(path) as cache:
        offset = int(cache.places("neurons/last", cache.shards[0])[0, 0])
    flip(shards(path)[0], offset)
    assert verify(path)[0].arrays == ("neurons/last: layer 1",)


def test_resuming_with_another_compression_stores_all_shards_alike(
    cached: Path, tiny: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = everything(cached)
    cached.unlink()
    shards(cached)[0].unlink()
    write_cache(tiny(), replace(REQUEST, compress=True), cached)
    for name, values in everything(cached).items():
        np.testing.assert_array_equal(values, wanted[name])


def test_a_planted_link_in_place_of_the_lock_is_not_followed(tiny: Callable[..., Model], tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("do not touch")
    folder = tmp_path / "base.h5.shards"
    folder.mkdir()
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(CacheError, match="cannot be written"):
        write_cache(tiny(), REQUEST, tmp_path / "base.h5")
    assert precious.read_text() == "do not touch"
    (folder / ".lock").unlink()
    folder.rmdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match="symbolic link"):
        write_cache(tiny(), REQUEST, tmp_path / "base.h5")


def test_an_index_that_is_a_link_finds_its_shards(cached: Path, tmp_path: Path) -> None:
    wanted = everything(cached)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "current.h5"
    link.symlink_to(cached)
    np.testing.assert_array_equal(everything(link)["last3"], wanted["last3"])
    assert verify(link) == []


def test_caches_whose_names_differ_in_their_ending_alone_do_not_meet(
    tiny: Callable[..., Model], tmp_path: Path
) -> None:
    write_cache(tiny(), REQUEST, tmp_path / "a.h5")
    write_cache(tiny("gpt2"), REQUEST, tmp_path / "a.v2.h5")
    write_cache(tiny("qwen2"), REQUEST, tmp_path / "a")
    assert [verify(tmp_path / name) for name in ("a.h5", "a.v2.h5", "a")] == [[], [], []]


def test_a_score_that_is_not_finite_is_named(tiny: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny()
    model.unembedding.weight.data[5] = float("nan")
    with pytest.raises(CacheError, match=r"log-probabilities of example .* label 0, is not finite"):
        write_cache(model, replace(REQUEST, keep=()), tmp_path / "base.h5")


def test_the_same_array_twice_is_refused_before_anything_is_captured(
    tiny: Callable[..., Model], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="kept twice"):
        write_cache(tiny(), replace(REQUEST, keep=("states/last", "states/last")), tmp_path / "base.h5")
    with pytest.raises(UsageError, match="nothing to cache"):
        write_cache(tiny(), replace(REQUEST, languages=()), tmp_path / "base.h5")


def test_merged_caches_equal_the_one_of_all_prompts(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "SHARD_ROWS", 8)
    write_cache(tiny(), REQUEST, tmp_path / "whole.h5")
    for code in REQUEST.languages:
        write_cache(tiny(), replace(REQUEST, languages=(code,)), tmp_path / f"{code}.h5")
    merge([tmp_path / "en.h5", tmp_path / "zh.h5"], tmp_path / "merged.h5")
    whole, merged = everything(tmp_path / "whole.h5"), everything(tmp_path / "merged.h5")
    for name, values in whole.items():
        np.testing.assert_array_equal(merged[name], values)
    assert verify(tmp_path / "merged.h5") == []
    assert not write_cache(tiny(), REQUEST, tmp_path / "merged.h5")  # it is that cache
    with pytest.raises(CacheError, match="is in two of the caches"):
        merge([tmp_path / "en.h5", tmp_path / "merged.h5"], tmp_path / "twice.h5")
    write_cache(tiny("gpt2"), replace(REQUEST, languages=("zh",)), tmp_path / "other.h5")
    with pytest.raises(CacheError, match="cannot be merged: model_sha256 differs"):
        merge([tmp_path / "en.h5", tmp_path / "other.h5"], tmp_path / "mixed.h5")


def test_a_merged_cache_with_a_damaged_index_is_merged_again(tiny: Callable[..., Model], tmp_path: Path) -> None:
    parts = [tmp_path / f"{code}.h5" for code in REQUEST.languages]
    for path, code in zip(parts, REQUEST.languages, strict=True):
        write_cache(tiny(), replace(REQUEST, languages=(code,)), path)
    merged = tmp_path / "merged.h5"
    merge(parts, merged)
    whole = merged.read_bytes()
    flip(merged, 600)
    with pytest.raises(CacheError, match=r"not a whole babelscope file.*Move it away and run the command that made it"):
        merge(parts, merged)
    merged.unlink()
    merge(parts, merged)
    assert merged.read_bytes() == whole
    assert verify(merged) == []
    merge(parts, merged)  # it is there already
    with pytest.raises(CacheError, match="was made with another prompts_sha256"):
        merge(parts, parts[0])


def test_a_damaged_shard_of_a_merged_cache_is_repaired(tiny: Callable[..., Model], tmp_path: Path) -> None:
    parts = [tmp_path / f"{code}.h5" for code in REQUEST.languages]
    for path, code in zip(parts, REQUEST.languages, strict=True):
        write_cache(tiny(), replace(REQUEST, languages=(code,)), path)
    merged = tmp_path / "merged.h5"
    merge(parts, merged)
    wanted = everything(merged)
    (tmp_path / "merged.h5.shards" / "00001.h5").unlink()
    assert len(repair(merged, tiny)) == 1
    assert verify(merged) == []
    for name, values in everything(merged).items():
        np.testing.assert_array_equal(values, wanted[name])


def test_repair_uses_the_recorded_prompts(cached: Path, tiny_folder: Callable[[str], Path]) -> None:
    """No task is asked: the prompts and answer words come from the index."""
    shards(cached)[0].unlink()
    opened = open_model(str(tiny_folder("llama")), dtype="float32", device="cpu")
    assert all(same for _, same in repair(cached, lambda: opened))
