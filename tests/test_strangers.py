"""Files from strangers: what could lead elsewhere, take all memory or run code is refused with a clear error."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xxhash
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.sealed import DIGEST, FROM, Contents
from babelscope.activations.shards import read_stored
from babelscope.activations.store import Cache
from babelscope.errors import CacheError, DataError, ModelError, UsageError
from babelscope.models import Model, open_model
from babelscope.settings import load_study
from babelscope.tasks import Asking, load_task

REQUEST = Request(load_task("sentiment"), ("en",), Asking(shots=0), limit=3)


@pytest.fixture
def cached(tiny: Callable[..., Model], tmp_path: Path) -> Path:
    write_cache(tiny(), REQUEST, tmp_path / "base.h5")
    return tmp_path / "base.h5"


def forge(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the table of a file, and seal it again."""
    image = bytearray(path.read_bytes())
    end = image.index(b"\0", FROM)
    table = json.loads(bytes(image[FROM:end]))
    change(table)
    text = json.dumps(table).encode()
    assert len(text) < table["head"] - FROM
    image[FROM : table["head"]] = text.ljust(table["head"] - FROM, b"\0")
    image[DIGEST] = xxhash.xxh3_128_hexdigest(bytes(image[FROM:])).encode()
    path.write_bytes(image)


def attribute(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda table: table["attributes"].update({name: value})


def place(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda table: table["arrays"].update({name: value})


def test_an_unchanged_table_is_read(cached: Path) -> None:
    forge(cached, lambda table: None)
    with Cache(cached) as cache:
        assert len(cache) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (attribute("shards", "../elsewhere.shards"), "no folder beside it"),
        (attribute("shards", "/etc/x.shards"), "no folder beside it"),
        (attribute("d_model", 10**12), "layers of width 1000000000000"),
        (attribute("d_model", 0), "of width 0"),
        (attribute("shards", "\ud800.shards"), "surrogate"),
        (attribute("trained_languages", None), "trained_languages is None"),
        (attribute("layers", 10**9), "1000000000 layers"),
        (attribute("d_model", "32"), "attribute d_model is '32'"),
        (attribute("dtype", "float16"), "is not bfloat16 or float32"),
        (attribute("arrays", ["states/../../x"]), "are not among"),
        (attribute("label_words", "[1]"), "label_words is not a JSON object"),
        (attribute("version", 3), "not a babelscope cache of version 2"),
        (place("examples/n_tokens", ["<i4", [10**12], 4096]), "is not in the file|expected"),
        (place("labels/logprob", ["<f4", [3, 2], 10**9]), "is not in the file"),
        (place("labels/logprob", ["<f4", [3, -2], 4096]), "is no length|expected"),
        (place("labels/logprob", ["|O", [3, 2], 4096]), "is of type"),
        (place("labels/logprob", ["<f4", [3, 2], 4096.0]), "is no length"),
        (place("something/else", ["<f4", [1], 4096]), "does not belong there"),
        (lambda table: table["arrays"].pop("shards/rows"), "shards/rows' is missing"),
        (lambda table: table.pop("arrays"), "not as FORMAT.md says"),
    ],
)
def test_forged_tables_are_refused(cached: Path, change: Callable[[dict[str, Any]], None], reason: str) -> None:
    forge(cached, change)
    with pytest.raises(CacheError, match=reason):
        Cache(cached)


def test_the_wider_state_than_the_shard_holds_is_refused_before_memory_is_taken(cached: Path) -> None:
    forge(cached, attribute("d_model", 999_999))
    with Cache(cached) as cache, pytest.raises(CacheError, match="it says that"):
        cache.states("last", 0)


def sealed_again(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: DIGEST.start] + xxhash.xxh3_128_hexdigest(data[FROM:]).encode() + data[DIGEST.stop :])


def test_a_sparse_terabyte_is_refused_without_reading_it(cached: Path) -> None:
    os.truncate(cached, 2**40)
    with pytest.raises(CacheError, match="damaged or truncated"):
        Cache(cached)


def test_a_large_forged_file_takes_no_memory(cached: Path) -> None:
    size = 2**26
    forge(cached, lambda table: table.update({"bytes": size}))
    os.truncate(cached, size)
    sealed_again(cached)
    tracemalloc.start()
    with Cache(cached) as cache:
        assert len(cache) == 3
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 8


def test_arrays_that_share_their_bytes_are_refused(cached: Path) -> None:
    size = cached.stat().st_size
    forge(
        cached, lambda table: [table["arrays"].update({f"examples/{n}": [f"|S{size}", [1], 0]}) for n in ("id", "text")]
    )
    with pytest.raises(CacheError, match=r"not as FORMAT.md says.*is not in the file"):
        Cache(cached)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (place("labels/logprob", ["<f4", [1, 2], 4096]), r"labels/logprob is float32 of shape \(1, 2\)"),
        (place("chunks/states/last", ["<u8", [1, 3], 4096]), "chunks/states/last is uint64"),
        (lambda table: table["arrays"].pop("examples/n_kept"), "examples/n_kept is missing"),
        (attribute("end", 2), "expected rows 0 to 2"),
        (attribute("format", "x"), "it says that it is"),
    ],
)
def test_a_forged_shard_is_captured_again(
    cached: Path, tiny: Callable[..., Model], change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    shard = cached.parent / "base.h5.shards" / "00000.h5"
    whole, index = shard.read_bytes(), cached.read_bytes()
    forge(shard, change)
    with Cache(cached) as cache, pytest.raises(CacheError, match=reason):
        read_stored(shard, cache.shards[0], [cache.shape_of(name) for name in cache.arrays], cache.attributes)
    cached.unlink()
    write_cache(tiny(), REQUEST, cached)
    assert shard.read_bytes() == whole
    with Cache(cached) as cache:
        assert len(cache) == 3
    assert len(cached.read_bytes()) == len(index)


def test_a_map_of_a_dataset_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "secret.csv").write_text("text,label\nx,positive\n")
    for place in ("../secret.csv", str(tmp_path / "secret.csv")):
        (tmp_path / "maps" / "map.toml").write_text(
            f'task = "sentiment"\ndataset = "csv"\nlanguages = ["en"]\nfiles = "{place}"\n'
            'fields = {text = "text"}\nlabel = {column = "label"}\n'
        )
        with pytest.raises(DataError, match=r"secret.csv is outside the folder of the map, .*Put the files beside"):
            load_task("sentiment", str(tmp_path / "maps" / "map.toml"))


def test_a_compression_bomb_is_refused(cached: Path, tiny: Callable[..., Model]) -> None:
    """A few bytes that say they hold gigabytes, or that do inflate to more than the layer has."""
    import zlib

    from babelscope.activations.shards import inflate

    bomb = zlib.compress(bytes(10_000_000), 9)
    with pytest.raises(ValueError, match="where 4096 were expected"):
        inflate(bomb, 4096, 4)
    forge(cached, attribute("compression", True))  # what is stored as it is does not inflate
    with Cache(cached) as cache, pytest.raises(CacheError, match="cannot be read"):
        cache.states("last", 0)


def test_shards_of_any_kind_are_never_opened_by_the_hdf5_library(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """External links and virtual sources of a shard are not followed, because nobody asks for them."""
    import h5py

    monkeypatch.setattr(h5py, "File", lambda *args, **kwargs: pytest.fail("HDF5 opened a file"))
    with Cache(cached) as cache:
        cache.states("last", 1)
        cache.examples()
    assert Contents.of(cached.parent / "base.h5.shards" / "00000.h5").attributes["begin"] == 0


def test_a_linked_shard_that_is_another_file_is_refused(cached: Path) -> None:
    shard = cached.parent / "base.h5.shards" / "00000.h5"
    shard.unlink()
    shard.symlink_to("/etc/hostname")
    with Cache(cached) as cache, pytest.raises(CacheError, match="cannot be read"):
        cache.states("last", 1)


def test_yaml_tags_do_not_run(tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text("name: !!python/object/apply:os.system ['touch ran']\nmodel: x\ntask: sentiment\n")
    with pytest.raises(UsageError):
        load_study(study)
    assert not Path("ran").exists()


def test_pickled_adapters_are_refused_and_code_of_models_is_never_run(
    tiny_folder: Callable[[str], Path], tiny: Callable[..., Model], tmp_path: Path
) -> None:
    import shutil

    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="Pickled adapters can run code"):
        tiny(adapter=adapter)
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoModelForCausalLM": "evil.Evil", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    open_model(str(folder), dtype="float32", device="cpu")  # as the llama that it is
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="'evil' is not known"):
        open_model(str(folder))
    assert not Path("ran").exists()
