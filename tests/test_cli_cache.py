"""What is done with finished caches, from the command line."""

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from babelscope.activations.store import Cache
from babelscope.cli import app
from babelscope.errors import CacheError, UsageError
from babelscope.files import held
from typer.testing import CliRunner, Result
from version_one import version_one


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def rows(*arguments: object) -> list[dict[str, Any]]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output + repr(result.exception)
    found: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return found


def capture(model: Path, out: Path, *options: object) -> Result:
    shape = ("--languages", "en,zh", "--limit", 4, "--dtype", "float32", "--shots", 1)
    return invoke("cache", "--model", model, *shape, *options, "--out", out)


@pytest.fixture
def base(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    assert capture(tiny_folder("llama"), tmp_path / "base.h5").exit_code == 0
    return tmp_path / "base.h5"


def test_ls_and_info_tell_what_is_there(base: Path) -> None:
    (entry,) = rows("cache", "ls", base.parent)
    assert (entry["task"], entry["languages"], entry["examples"]) == ("sentiment", 2, 8)
    assert entry["bytes"] == sum(path.stat().st_size for path in base.parent.rglob("*.h5"))
    (known,) = rows("cache", "info", base)
    assert known["shards"] == "base.h5.shards"
    assert known["n_shards"] == 2
    assert known["dtype"] == "float32"
    assert "answer_words" in invoke("cache", "info", base).stdout


def test_verify_then_repair(base: Path) -> None:
    assert rows("cache", "verify", base) == []
    (base.parent / "base.h5.shards" / "00001.h5").unlink()
    result = invoke("cache", "verify", base, "--json")
    assert result.exit_code == 1
    (damage,) = json.loads(result.stdout)["rows"]
    assert (damage["language"], damage["rows"]) == ("zh", "4-7")
    (repaired,) = rows("cache", "repair", base)
    assert repaired["same_bytes"]
    assert rows("cache", "verify", base) == []


def test_gc_lists_and_deletes_leftovers_alone(base: Path) -> None:
    shards = base.parent / "base.h5.shards"
    (shards / ".00000.h5.1234.partial").write_bytes(b"half")
    (shards / "00009.h5").write_bytes(b"of another time")
    unfinished = base.parent / "other.h5.shards"
    unfinished.mkdir()
    (unfinished / "00000.h5").write_bytes(b"x")
    (unfinished / ".lock").touch()
    foreign = base.parent / "photos.shards"
    foreign.mkdir()
    (foreign / "cat.png").write_bytes(b"not ours")
    renamed = base.rename(base.parent / "renamed.index")  # the shards are still its
    listed = {Path(row["path"]).name for row in rows("cache", "gc", base.parent)}
    assert listed == {".00000.h5.1234.partial", "00009.h5", "other.h5.shards"}
    assert unfinished.exists()
    rows("cache", "gc", base.parent, "--delete")
    assert not unfinished.exists()
    assert [path.name for path in foreign.iterdir()] == ["cat.png"]
    assert rows("cache", "verify", renamed) == []
    assert rows("cache", "gc", base.parent) == []


def test_exports_hold_the_same_numbers(base: Path) -> None:
    import pandas as pd
    from safetensors.numpy import load_file

    out = base.parent
    for ending in ("npz", "safetensors", "parquet"):
        rows("cache", "export", base, "--layers", "0,3", "--out", out / f"x.{ending}")
    with Cache(base) as cache:
        wanted = np.stack([cache.states("last", layer) for layer in (0, 3)], axis=1)
        examples, scores = cache.examples(), cache.scores()
    npz = np.load(out / "x.npz")  # no pickles: allow_pickle is off
    np.testing.assert_array_equal(npz["last"], wanted)
    assert list(npz["id"]) == list(examples["id"])
    np.testing.assert_array_equal(load_file(out / "x.safetensors")["last"], wanted)
    table = pd.read_parquet(out / "x.parquet")
    np.testing.assert_array_equal(np.stack(table["last_03"]), wanted[:, 1])
    np.testing.assert_allclose(table["logprob_positive"], scores.full[:, 1])
    assert isinstance(invoke("cache", "export", base, "--out", out / "x.csv").exception, UsageError)
    assert isinstance(invoke("cache", "export", base, "--out", out / "x.npz").exception, CacheError)


def test_exports_hold_every_array_that_was_kept(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    import pandas as pd

    base = tmp_path / "base.h5"
    assert capture(tiny_folder("llama"), base, "--keep", "all,attention/mean,neurons/last", "--yes").exit_code == 0
    for ending in ("npz", "parquet"):
        rows("cache", "export", base, "--layers", "0,2,3", "--out", tmp_path / f"x.{ending}")
    npz, table = np.load(tmp_path / "x.npz"), pd.read_parquet(tmp_path / "x.parquet")
    with Cache(base) as cache:
        tokens = cache.states("all", 3)
        np.testing.assert_array_equal(npz["all"][:, 2], tokens)
        np.testing.assert_array_equal(np.concatenate([np.stack(row) for row in table["all_03"]]), tokens)
        assert [len(row) for row in table["all_03"]] == list(npz["n_kept"])
        for name in ("attention_mean", "neurons_last"):
            stream, position = name.split("_")
            wanted = np.stack([cache.states(position, layer, stream=stream) for layer in (2, 3)], axis=1)
            np.testing.assert_array_equal(npz[name], wanted)
            np.testing.assert_array_equal(np.stack(table[f"{name}_02"]), wanted[:, 0])
            data = cache.to_xarray([0, 2, 3])
            np.testing.assert_array_equal(data[name].sel(block=3), wanted[:, 1])
    assert data["all"].dims == ("token", "layer", "d_model")
    refused = invoke("cache", "export", base, "--layers", "0", "--out", tmp_path / "y.npz")
    assert "attention/mean has no layer 0" in str(refused.exception)


def test_verify_of_a_damaged_index_does_not_send_to_repair(base: Path) -> None:
    base.write_bytes(base.read_bytes()[:-1])
    result = invoke("cache", "verify", base, "--json")
    told = json.loads(result.stdout)
    assert told["damaged"] == ["1 file(s)"]
    assert "Move it away and run the command that made it again" in told["rows"][0]["what"]
    assert "repair" not in result.output


def test_gc_finds_what_killed_writers_left_beside_caches(base: Path) -> None:
    left = base.parent / ".x.npz.0123abcd.partial"
    left.write_bytes(b"half")
    (base.parent / ".notes.partial").write_bytes(b"not ours")
    with left.open("rb") as file:  # as long as its writer lives
        fcntl.flock(file, fcntl.LOCK_EX)
        assert rows("cache", "gc", base.parent, "--delete") == []
    (removed,) = rows("cache", "gc", base.parent, "--delete")
    assert (removed["path"], removed["what"]) == (str(left), "temporary")
    assert not left.exists()
    assert (base.parent / ".notes.partial").exists()


def test_gc_finds_the_folder_of_a_cache_of_scores_alone(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Killed after the index was written, before the shards of scores were removed."""
    assert capture(tiny_folder("llama"), tmp_path / "base.h5", "--keep", "none").exit_code == 0
    folder = tmp_path / "base.h5.shards"
    folder.mkdir()
    for name in (".lock", "00000.h5"):
        (folder / name).touch()
    (removed,) = rows("cache", "gc", tmp_path, "--delete")
    assert (removed["path"], removed["what"]) == (str(folder), "shards of a cache of scores alone")
    assert rows("cache", "verify", tmp_path / "base.h5") == []


def test_gc_deletes_while_no_capture_can_start(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = base.with_name("other.h5.shards")
    folder.mkdir()
    (folder / ".lock").touch()
    remove = shutil.rmtree

    def watched(path: Path) -> None:
        assert held(path / ".lock")
        remove(path)

    monkeypatch.setattr("babelscope.activations.inventory.shutil.rmtree", watched)
    rows("cache", "gc", base.parent, "--delete")
    assert not folder.exists()


def test_xarray_view_is_labelled(base: Path) -> None:
    with Cache(base) as cache:
        data = cache.to_xarray(layers=[1, 3])
        chosen = data["last"].sel(layer=3)[data["language"].values == "zh"]
        np.testing.assert_array_equal(chosen, cache.states("last", 3, slice(4, 8)))
        table = cache.to_pandas("last", 3)
    assert list(table.index.names) == ["language", "id"]
    np.testing.assert_array_equal(table.loc["zh"].to_numpy(), chosen)


def test_merge_of_two_languages(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    for code in ("en", "zh"):
        assert capture(tiny_folder("llama"), tmp_path / f"{code}.h5", "--languages", code).exit_code == 0
    (entry,) = rows("cache", "merge", tmp_path / "en.h5", tmp_path / "zh.h5", "--out", tmp_path / "both.h5")
    assert (entry["languages"], entry["examples"]) == (2, 8)


def test_optional_arrays_are_asked_about_first(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    options = ("--keep", "all,neurons/last")
    refused = capture(tiny_folder("llama"), tmp_path / "big.h5", *options)
    assert isinstance(refused.exception, UsageError)
    assert "MB for states/all, neurons/last. Give --yes" in str(refused.exception)
    assert not (tmp_path / "big.h5").exists()
    assert capture(tiny_folder("llama"), tmp_path / "big.h5", *options, "--yes").exit_code == 0
    with Cache(tmp_path / "big.h5") as cache:
        assert cache.arrays == ("states/all", "neurons/last")
    assert capture(tiny_folder("llama"), tmp_path / "small.h5", "--keep", "none").exit_code == 0
    assert not (tmp_path / "small.h5.shards").exists()
    assert rows("cache", "verify", tmp_path / "small.h5") == []
    wrong = capture(tiny_folder("llama"), tmp_path / "x.h5", "--keep", "first")
    assert "Unknown array 'first'" in str(wrong.exception)


@pytest.mark.parametrize("compress", [False, True])
def test_upgrade_from_version_one_keeps_every_number(base: Path, compress: bool) -> None:
    old, new = base.parent / "old.h5", base.parent / "new.h5"
    version_one(base, old)
    with pytest.raises(CacheError, match="babelscope cache upgrade"):
        Cache(old)
    rows("cache", "upgrade", old, "--out", new, *(["--compress"] if compress else []))
    with Cache(base) as one, Cache(new) as other, h5py.File(old) as file:
        for layer in range(one.n_layers + 1):
            np.testing.assert_array_equal(other.states("mean", layer), one.states("mean", layer))
            np.testing.assert_array_equal(other.states("last", layer), file["states/last"][:, layer])
        np.testing.assert_array_equal(other.scores().prefix, one.scores().prefix)
        assert other.examples().drop(columns="n_kept").equals(one.examples().drop(columns="n_kept"))
    assert rows("cache", "verify", new) == []


def test_upgrade_refuses_what_is_not_version_one(base: Path) -> None:
    refused = invoke("cache", "upgrade", base, "--out", base.parent / "new.h5")
    assert "is not a babelscope cache of version 1" in str(refused.exception)
    with h5py.File(base.parent / "half.h5", "w") as file:
        file.attrs.update({"format": "babelscope-activations", "version": 1, "complete": False})
    refused = invoke("cache", "upgrade", base.parent / "half.h5", "--out", base.parent / "new.h5")
    assert "half written" in str(refused.exception)
    assert not (base.parent / "new.h5").exists()


def test_missing_options_are_named() -> None:
    result = invoke("cache", "--out", "x.h5")
    assert isinstance(result.exception, UsageError)
    assert "needs --model and --out" in str(result.exception)
