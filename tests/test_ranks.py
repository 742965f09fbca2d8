"""Two and three processes, under torchrun or accelerate launch, give what one gives."""

import itertools
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pandas as pd
import pytest
import torch
import yaml
from jobs import accelerated, launch, result
from safetensors.torch import load_file

pytestmark = pytest.mark.slow


Start = Callable[..., "CompletedProcess[str]"]


def together(n: int, *arguments: str, start: Start = launch) -> None:
    done = start(n, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]


def cache(n: int, model: Path, out: Path, languages: str = "en,zh,sw", start: Start = launch) -> None:
    options = ["--languages", languages, "--limit", "6", "--dtype", "float32", "--device", "cpu"]
    together(n, "cache", "--model", str(model), *options, "--out", str(out), start=start)


def shards_of(folder: Path) -> dict[str, bytes]:
    """All but the index, which tells the command."""
    return result(folder / "base.h5.shards")


@pytest.fixture(scope="module")
def model(tiny_folder: Callable[[str], Path]) -> Path:
    return tiny_folder("llama")


def test_ranks_fill_one_cache_with_the_states_of_one_process(model: Path, tmp_path: Path) -> None:
    import h5py

    for n in (1, 2, 3):
        cache(n, model, tmp_path / str(n) / "base.h5")
    one = shards_of(tmp_path / "1")
    assert len(one) == 3
    for n in (2, 3):
        assert shards_of(tmp_path / str(n)) == one
        with h5py.File(tmp_path / "1" / "base.h5") as first, h5py.File(tmp_path / str(n) / "base.h5") as other:
            assert (first["states/last"][:] == other["states/last"][:]).all()
            assert (first["shards/seal"][:] == other["shards/seal"][:]).all()
            assert (first["content_free/logprob"][:] == other["content_free/logprob"][:]).all()


def test_the_shards_of_a_lost_rank_are_taken_up_when_three_ranks_resume(model: Path, tmp_path: Path) -> None:
    cache(1, model, tmp_path / "one" / "base.h5")
    cache(1, model, tmp_path / "three" / "base.h5")
    (tmp_path / "three" / "base.h5").unlink()
    lost = [tmp_path / "three" / "base.h5.shards" / f"0000{number}.h5" for number in (0, 2)]
    for shard in lost:
        shard.unlink()
    cache(3, model, tmp_path / "three" / "base.h5")
    assert shards_of(tmp_path / "three") == shards_of(tmp_path / "one")


def train(n: int, model: Path, out: Path, start: Start = launch) -> dict[str, torch.Tensor]:
    options = ["--pairs", "de-en", "--number", "24", "--dtype", "float32", "--device", "cpu"]
    together(n, "train", "--model", str(model), *options, "--out", str(out), start=start)
    tensors: dict[str, torch.Tensor] = load_file(out / "adapter_model.safetensors")
    return tensors


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-5)
    assert any(values.abs().max() > 1e-4 for name, values in wanted.items() if "lora_B" in name)  # something was learnt


def test_ranks_train_the_adapter_of_one_process(model: Path, tmp_path: Path) -> None:
    one, two, three = (train(n, model, tmp_path / f"adapter{n}") for n in (1, 2, 3))
    assert_close(two, one)
    assert_close(three, one)


def test_accelerate_launch_gives_what_torchrun_gives(model: Path, tmp_path: Path) -> None:
    """The same two ranks, so the same bytes."""
    for name, start in (("torchrun", launch), ("accelerate", accelerated)):
        cache(2, model, tmp_path / name / "base.h5", "en,zh", start)
        train(2, model, tmp_path / name / "adapter", start)
    of_torchrun, of_accelerate = (result(tmp_path / name) for name in ("torchrun", "accelerate"))
    assert of_torchrun.keys() == of_accelerate.keys()
    assert [name for name in of_torchrun if of_torchrun[name] != of_accelerate[name]] == ["base.h5"]  # the command


def test_accelerate_launch_that_starts_one_of_several_processes_is_refused(model: Path, tmp_path: Path) -> None:
    """Nobody should wait for one process where two were asked for."""
    arguments = ["cache", "--model", str(model), "--device", "cpu", "--unchecked", "--out", str(tmp_path / "base.h5")]
    done = accelerated(2, *arguments, how="--cpu")
    assert done.returncode != 0
    assert "was told of several processes, and started one. Give it --multi_gpu" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_several_ranks_has_the_tables_of_one_process(model: Path, tmp_path: Path) -> None:
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
    for n in (1, 2, 3):
        together(n, "study", "run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / f"run{n}"))
    one, *others = ({path.name: path for path in (tmp_path / f"run{n}" / "tables").glob("*.csv")} for n in (1, 2, 3))
    assert all(other.keys() == one.keys() for other in others)
    assert {"accuracy.csv", "accuracy_delta.csv", "grid.csv"} <= one.keys()
    for name, other in itertools.product(one, others):
        # Several ranks add up gradients in another order: the adapters' last digits differ.
        left, right = pd.read_csv(one[name]), pd.read_csv(other[name])
        counted = [column for column in left if "p_" in column]  # shares of draws: a last digit may turn one of them
        pd.testing.assert_frame_equal(left[counted], right[counted], atol=0.05)
        pd.testing.assert_frame_equal(left.drop(columns=counted), right.drop(columns=counted), rtol=1e-3, atol=1e-5)
