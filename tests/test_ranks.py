"""Two and three processes under torchrun give what one gives."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from jobs import launch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow


def together(n: int, *arguments: str) -> None:
    done = launch(n, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]


def cache(n: int, model: Path, out: Path, languages: str = "en,zh,sw") -> None:
    options = ["--languages", languages, "--limit", "6", "--dtype", "float32", "--device", "cpu"]
    together(n, "cache", "--model", str(model), *options, "--out", str(out))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.h5"))}


@pytest.fixture(scope="module")
def model(tiny_folder: Callable[[str], Path]) -> Path:
    return tiny_folder("llama")


def test_ranks_fill_one_cache_with_the_states_of_one_process(model: Path, tmp_path: Path) -> None:
    import h5py

    cache(1, model, tmp_path / "one" / "base.h5")
    cache(2, model, tmp_path / "two" / "base.h5")
    one, two = bytes_of(tmp_path / "one"), bytes_of(tmp_path / "two")
    assert one.keys() == two.keys()
    # The index tells the command, which differs; all shards are the same files.
    assert {name: data for name, data in one.items() if name != "base.h5"} == {
        name: data for name, data in two.items() if name != "base.h5"
    }
    with h5py.File(tmp_path / "one" / "base.h5") as first, h5py.File(tmp_path / "two" / "base.h5") as second:
        assert (first["states/last"][:] == second["states/last"][:]).all()
        assert (first["shards/seal"][:] == second["shards/seal"][:]).all()
        assert (first["content_free/logprob"][:] == second["content_free/logprob"][:]).all()


def test_the_shards_of_a_lost_rank_are_taken_up_when_three_ranks_resume(model: Path, tmp_path: Path) -> None:
    cache(1, model, tmp_path / "one" / "base.h5")
    cache(1, model, tmp_path / "three" / "base.h5")
    (tmp_path / "three" / "base.h5").unlink()
    lost = [tmp_path / "three" / "base.h5.shards" / f"0000{number}.h5" for number in (0, 2)]
    for shard in lost:
        shard.unlink()
    cache(3, model, tmp_path / "three" / "base.h5")
    one, three = bytes_of(tmp_path / "one"), bytes_of(tmp_path / "three")
    assert {n: d for n, d in one.items() if n != "base.h5"} == {n: d for n, d in three.items() if n != "base.h5"}


def test_ranks_train_the_adapter_of_one_process(model: Path, tmp_path: Path) -> None:
    for n in (1, 2):
        options = ["--pairs", "de-en", "--number", "24", "--dtype", "float32", "--device", "cpu"]
        together(n, "train", "--model", str(model), *options, "--out", str(tmp_path / f"adapter{n}"))
    one, two = (load_file(tmp_path / f"adapter{n}" / "adapter_model.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=1e-3, atol=1e-5)
    assert any(values.abs().max() > 1e-4 for name, values in one.items() if "lora_B" in name)  # something was learnt


def test_a_study_of_two_ranks_has_the_tables_of_one_process(model: Path, tmp_path: Path) -> None:
    settings = {
        "name": "ranks",
        "model": str(model),
        "languages": ["en", "zh", "sw"],
        "shots": 1,
        "limit": 8,
        "dtype": "float32",
        "device": "cpu",
        "adapters": {"aligned": {"pairs": ["zh-en"], "number": 12, "recipe": {"epochs": 1, "pairs_per_step": 4}}},
        "probes": {"draws": 100, "names": ["accuracy"]},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for n in (1, 2):
        together(n, "study", "run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / f"run{n}"))
    one, two = ({path.name: path for path in (tmp_path / f"run{n}" / "tables").glob("*.csv")} for n in (1, 2))
    assert one.keys() == two.keys()
    assert {"accuracy.csv", "accuracy_delta.csv", "grid.csv"} <= one.keys()
    for name, path in one.items():
        # Two ranks add up gradients in another order: the adapters' last digits differ.
        left, right = pd.read_csv(path), pd.read_csv(two[name])
        counted = [column for column in left if "p_" in column]  # shares of draws: a last digit may turn one of them
        pd.testing.assert_frame_equal(left[counted], right[counted], atol=0.05)
        pd.testing.assert_frame_equal(left.drop(columns=counted), right.drop(columns=counted), rtol=1e-3, atol=1e-5)
