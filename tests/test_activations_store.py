"""The HDF5 cache: what goes in comes out, plain h5py reads it, nothing half written has a final name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from babelscope.activations import cache as cache_module
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.capture import capture
from babelscope.activations.layout import IDENTITY
from babelscope.activations.store import Cache, _widen_into, together
from babelscope.errors import CacheError, UsageError
from babelscope.models import Model
from babelscope.tasks import Asking, load_task
from jobs import full_disk, result

REQUEST = Request(load_task("sentiment"), ("en", "zh", "sw"), Asking(shots=1), limit=5, dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cache_holds_what_capture_computed(tiny: Callable[..., Model], tmp_path: Path, dtype: str) -> None:
    model = tiny()
    request = replace(REQUEST, dtype=dtype)
    assert write_cache(model, request, tmp_path / "base.h5")
    prompts = request.prompts()
    expected = torch.cat([capture(model, group, request.task.labels).last for group in prompts.values()])
    with Cache(tmp_path / "base.h5") as cache:
        for layer in range(model.n_layers + 1):
            wanted = expected[:, layer].to(getattr(torch, dtype)).float().numpy()
            np.testing.assert_array_equal(cache.states("last", layer), wanted)
        examples = cache.examples()
        assert list(examples["language"]) == [code for code in prompts for _ in range(5)]
        assert [p.full for p in cache.prompts()] == [p.full for group in prompts.values() for p in group]
        assert cache.scores().full.shape == (15, 2)
        assert (cache.scores().full < 0).all()
        assert cache.labels == ("negative", "positive")
        assert cache.label_words["zh"]["positive"] == request.task.wordings["zh"].label_words["positive"]
        assert set(IDENTITY) <= cache.attributes.keys()


def test_plain_h5py_reads_it_as_format_md_says(tiny: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny()
    write_cache(model, replace(REQUEST, dtype="bfloat16"), tmp_path / "base.h5")
    with h5py.File(tmp_path / "base.h5") as file, Cache(tmp_path / "base.h5") as cache:
        assert file.attrs["layers"] == model.n_layers + 1
        bits = file["states/last"][:, 2]
        assert file["states/last"].attrs["encoding"] == "bfloat16 bits as uint16"
        np.testing.assert_array_equal((bits.astype(np.uint32) << 16).view(np.float32), cache.states("last", 2))
    with h5py.File(tmp_path / "base.h5.shards" / "00001.h5") as shard:
        assert shard["states/mean"].chunks == (5, 1, model.d_model)  # one layer is one piece of the file
        np.testing.assert_array_equal(shard["states/last"][:, 2], bits[5:10])


def test_ragged_arrays_and_other_streams_come_out_as_they_went_in(tiny: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny()
    keep = ("states/last", "states/all", "attention/mean", "neurons/all")
    write_cache(model, replace(REQUEST, keep=keep), tmp_path / "base.h5")
    captured = [capture(model, group, REQUEST.task.labels, keep=keep) for group in REQUEST.prompts().values()]
    with Cache(tmp_path / "base.h5") as cache:
        kept = cache.examples()["n_kept"].to_numpy()
        np.testing.assert_array_equal(kept, np.concatenate([c.n_kept for c in captured]))
        for name in keep:
            stream, position = name.split("/")
            first = 0 if stream == "states" else 1
            for layer in range(first, model.n_layers + 1):
                wanted = torch.cat([c.arrays[name][:, layer - first] for c in captured]).numpy()
                np.testing.assert_array_equal(cache.states(position, layer, stream=stream), wanted)
        wanted = torch.cat([c.arrays["states/all"][:, 1] for c in captured]).numpy()
        np.testing.assert_array_equal(cache.states("all", 1, slice(kept[0], 99)), wanted[kept[0] : 99])
        with pytest.raises(CacheError, match="layers 1 to 3; layer 0"):
            cache.states("mean", 0, stream="attention")
        assert cache.positions == ("last", "all")
    with h5py.File(tmp_path / "base.h5") as file:
        assert file["neurons/all"].shape == (kept.sum(), model.n_layers, model.d_mlp)


def test_widening_is_exact_for_every_bfloat16() -> None:
    bits = np.arange(2**16, dtype=np.uint16).reshape(2**8, 2**8)
    expected = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float().numpy()
    widened = np.empty(bits.shape, np.float32)
    _widen_into(widened, bits)
    np.testing.assert_array_equal(widened, expected)


def test_a_matching_cache_is_reused(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "base.h5"
    assert write_cache(tiny(), REQUEST, path)
    monkeypatch.setattr(cache_module, "capture", lambda *args: pytest.fail("captured again"))
    assert not write_cache(tiny(), REQUEST, path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit": 4}, "prompts_sha256"),
        ({"asking": Asking(shots=0)}, "prompts_sha256"),
        ({"dtype": "bfloat16"}, "dtype"),
    ],
)
def test_another_cache_is_refused_and_kept(
    tiny: Callable[..., Model], tmp_path: Path, change: dict[str, object], field: str
) -> None:
    path = tmp_path / "base.h5"
    write_cache(tiny(), REQUEST, path)
    before = path.read_bytes()
    with pytest.raises(CacheError, match=f"was made with another {field}"):
        write_cache(tiny(), replace(REQUEST, **change), path)  # type: ignore[arg-type]
    assert path.read_bytes() == before


def test_cache_of_another_model_is_refused(tiny: Callable[..., Model], tmp_path: Path) -> None:
    write_cache(tiny("llama"), REQUEST, tmp_path / "base.h5")
    with pytest.raises(CacheError, match="was made with another model_sha256"):
        write_cache(tiny("gpt2"), REQUEST, tmp_path / "base.h5")


def test_an_interrupted_capture_leaves_whole_shards_alone(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def failing(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return capture(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_module, "capture", failing)
    with pytest.raises(KeyboardInterrupt):
        write_cache(tiny(), REQUEST, tmp_path / "base.h5")
    assert {path.name for path in tmp_path.rglob("*.*")} == {"base.h5.shards", ".lock", "00000.h5"}


def test_a_full_disk_is_a_clear_error_and_the_next_run_gives_the_same_bytes(
    tiny: Callable[..., Model], tmp_path: Path
) -> None:
    model, request = tiny(), replace(REQUEST, limit=40)
    write_cache(model, request, tmp_path / "whole" / "base.h5")
    scores = replace(request, keep=())
    with (
        full_disk(40_000),
        pytest.raises(CacheError, match=r"00000.h5 cannot be written: File too large. Free space"),
    ):
        write_cache(model, request, tmp_path / "base.h5")
    # Room for shards of scores, not for the index.
    with full_disk(25_000), pytest.raises(CacheError, match=r"small.h5 cannot be written: File too large"):
        write_cache(model, scores, tmp_path / "small.h5")
    assert not list(tmp_path.glob("*.h5"))
    assert not list(tmp_path.rglob("*.partial"))
    assert write_cache(model, request, tmp_path / "base.h5")
    assert result(tmp_path / "base.h5.shards") == result(tmp_path / "whole" / "base.h5.shards")
    assert (tmp_path / "base.h5").read_bytes() == (tmp_path / "whole" / "base.h5").read_bytes()


def test_too_little_space_is_told_before_anything_is_computed(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "capture", lambda *args: pytest.fail("captured without space"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(CacheError, match=r"needs 0.0 MB of disk, 0.0 MB are free. Free space"):
        write_cache(tiny(), REQUEST, tmp_path / "base.h5")


def test_unreadable_files_are_explained(tiny: Callable[..., Model], tmp_path: Path) -> None:
    path = tmp_path / "base.h5"
    with pytest.raises(CacheError, match="does not exist"):
        Cache(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(CacheError, match="it has no seal"):
        Cache(path)
    path.unlink()
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "something"
    with pytest.raises(CacheError, match=r"not a babelscope cache of version 2. .*babelscope cache upgrade"):
        Cache(path)
    path.unlink()
    write_cache(tiny(), REQUEST, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CacheError, match="truncated"):
        Cache(path)


def test_wrong_layer_or_position_is_named(tiny: Callable[..., Model], tmp_path: Path) -> None:
    write_cache(tiny(), REQUEST, tmp_path / "base.h5")
    with Cache(tmp_path / "base.h5") as cache:
        with pytest.raises(CacheError, match="layers 0 to 3; layer 4"):
            cache.states("last", 4)
        with pytest.raises(CacheError, match=r"has no 'states/first'. It has: states/last, states/mean"):
            cache.states("first", 0)


def test_caches_that_do_not_belong_together(tiny: Callable[..., Model], tmp_path: Path) -> None:
    write_cache(tiny(), REQUEST, tmp_path / "one.h5")
    write_cache(tiny(), replace(REQUEST, limit=3), tmp_path / "two.h5")
    with (
        Cache(tmp_path / "one.h5") as one,
        Cache(tmp_path / "two.h5") as two,
        pytest.raises(CacheError, match="cannot be compared: prompts_sha256"),
    ):
        together([one, two])


def test_states_are_stored_as_bfloat16_or_float32_only(tiny: Callable[..., Model], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not 'float16'"):
        write_cache(tiny(), replace(REQUEST, dtype="float16"), tmp_path / "base.h5")


def test_label_words_are_json(tiny: Callable[..., Model], tmp_path: Path) -> None:
    write_cache(tiny(), REQUEST, tmp_path / "base.h5")
    with h5py.File(tmp_path / "base.h5") as file:
        assert set(json.loads(file.attrs["label_words"])) == {"en", "zh", "sw"}
