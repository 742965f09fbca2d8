"""FSDP of two processes trains the adapter of one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from babelscope import cli
from babelscope.activations.cache import write_cache
from babelscope.errors import NoMemoryError, UsageError
from babelscope.models import Model, open_model
from babelscope.progress import Progress, silent
from babelscope.ranks import Ranks
from babelscope.tasks import load_task, question_pairs
from babelscope.training import Recipe, train
from babelscope.training.batches import Row
from babelscope.training.loop import _in_memory
from babelscope.training.sharded import in_step
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from typer.testing import CliRunner

CONFIG = Path(__file__).parents[1] / "studies" / "accelerate-fsdp.yaml"
# Steps of three rows in batches of one or two: the second rank has fewer.
UNEVEN = Recipe(epochs=1, pairs_per_step=3, tokens_per_batch=150, learning_rate=1e-2, validate_every=2, validation=0.2)


def launch(launcher: list[str], *arguments: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def accelerate(tmp_path: Path) -> list[str]:
    """accelerate launch with the configuration that the documentation names, for two processes on the CPU."""
    config = yaml.safe_load(CONFIG.read_text()) | {"num_processes": 2, "use_cpu": True, "main_process_port": 0}
    (tmp_path / "fsdp.yaml").write_text(yaml.safe_dump(config))
    return ["-m", "accelerate.commands.launch", "--config_file", str(tmp_path / "fsdp.yaml")]


def assert_same(found: Path, wanted: Path) -> None:
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (wanted, found))
    assert one.keys() == other.keys()
    for name, values in one.items():
        torch.testing.assert_close(other[name], values, rtol=1e-3, atol=1e-5)
    assert any(values.abs().max() > 1e-4 for name, values in one.items() if "lora_B" in name)  # something was learnt


@pytest.mark.slow
def test_fsdp_trains_the_adapter_of_one_process(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    options = ["--pairs", "de-en", "--number", "24", "--dtype", "float32", "--device", "cpu"]
    command = ["-m", "babelscope", "train", "--model", str(tiny_folder("llama")), *options]
    launch([], *command, "--out", str(tmp_path / "plain"))
    launch(accelerate(tmp_path), *command, "--out", str(tmp_path / "fsdp"))
    assert_same(tmp_path / "fsdp", tmp_path / "plain")


def train_uneven(model: Model, out: Path, on_progress: Progress) -> None:
    pairs = question_pairs(load_task("sentiment"), [("de", "en")], 12, seed=0)
    train(model, pairs, UNEVEN, out, seed=3, on_progress=on_progress)


def stop_and_go_on(folder: str, out: str) -> None:
    """What each process runs: training is interrupted after a checkpoint, and started again."""

    def stop(step: int, total: int, tokens: int = 0) -> None:
        blocks = [p for block in model.blocks for n, p in block.named_parameters() if "lora" not in n]
        assert all(isinstance(p, DTensor) for p in blocks)
        assert sum(p.to_local().numel() for p in blocks) * 2 == sum(p.numel() for p in blocks)
        if step == UNEVEN.validate_every + 1:
            raise KeyboardInterrupt

    model = open_model(folder, dtype="float32", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train_uneven(model, Path(out), stop)
    went_on = []
    model = open_model(folder, dtype="float32", device="cpu")
    train_uneven(model, Path(out), lambda step, total, tokens=0: went_on.append(step))
    assert went_on[0] == UNEVEN.validate_every


@pytest.mark.slow
def test_uneven_shares_and_interruptions_change_nothing(tiny: Callable[..., Model], tmp_path: Path) -> None:
    """qwen2 ties its unembedding to its embedding."""
    model = tiny("qwen2")
    train_uneven(model, tmp_path / "plain", silent)
    launch(accelerate(tmp_path), __file__, model.name, str(tmp_path / "fsdp"))
    assert_same(tmp_path / "fsdp", tmp_path / "plain")


def test_ranks_run_as_many_batches() -> None:
    rows = [Row(tuple(range(n)), 1) for n in (9, 8, 7, 2, 6)]
    shares = [list(in_step(rows, 9, Ranks(rank, 2))) for rank in range(2)]
    assert [len(share) for share in shares] == [3, 3]
    assert sum(len(batch.targets) for share in shares for batch in share) == sum(len(row.ids) - 1 for row in rows)


def test_what_fsdp_cannot_do_is_refused(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pairs = tiny(), question_pairs(load_task("sentiment"), [("de", "en")], 12, seed=0)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match=r"must say fsdp_version: 2 .*accelerate-fsdp\.yaml does\."):
        train(model, pairs, UNEVEN, tmp_path / "adapter")
    with pytest.raises(UsageError, match=r"FSDP is for `babelscope train`\. For caching use torchrun"):
        write_cache(model, None, tmp_path / "base.h5")  # type: ignore[arg-type]
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UsageError, match="DeepSpeed is not supported"):
        train(model, pairs, UNEVEN, tmp_path / "adapter")


def test_a_batch_without_memory_names_the_option_that_makes_it_smaller(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [
        "--pairs",
        "de-en",
        "--number",
        "6",
        "--dtype",
        "float32",
        "--device",
        "cpu",
        "--tokens-per-batch",
        "150",
    ]
    arguments = ["train", "--model", str(tiny_folder("llama")), *options, "--out", str(tmp_path / "adapter")]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    assert json.loads((tmp_path / "adapter" / "inputs.json").read_text())["recipe"]["tokens_per_batch"] == 150

    def exhausted(budget: int) -> float:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(NoMemoryError, match="no memory for 150 tokens at once; give a lower --tokens-per-batch"):
        _in_memory(exhausted, [Row((1, 2), 1)], UNEVEN, Ranks())


if __name__ == "__main__":
    stop_and_go_on(*sys.argv[1:])
