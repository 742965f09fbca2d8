"""Loss and gradients against torch, batches against their rows, the loop against what it promises."""

import csv
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from babelscope.activations.capture import capture
from babelscope.errors import DataError, ModelError, TrainingError, UsageError
from babelscope.models import Model, open_model
from babelscope.tasks import Asking, Pair, few_shot_prompts, load_task, question_pairs
from babelscope.training import PRESETS, Recipe, train
from babelscope.training.batches import Row, batches, encode_pairs, steps
from babelscope.training.loop import _split, _summed_loss
from babelscope.training.loss import NEGLIGIBLE, answer_loss
from jobs import full_disk, result
from torch.nn import functional

RECIPE = Recipe(epochs=2, pairs_per_step=4, learning_rate=1e-2, validate_every=3, validation=0.2)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return question_pairs(load_task("sentiment"), [("zh", "en"), ("de", "en")], 8, seed=0)


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("n", [1, 127, 300])
@pytest.mark.parametrize("biased", [False, True])
def test_chunked_loss_and_gradient_equal_torch(softcap: float | None, n: int, biased: bool) -> None:
    torch.manual_seed(n)
    weight, targets = torch.randn(211, 16), torch.randint(0, 211, (n,))
    bias = torch.randn(211) if biased else None
    states = torch.randn(n, 16, requires_grad=True)
    same = states.detach().clone().requires_grad_()
    logits = functional.linear(same, weight, bias)
    expected = functional.cross_entropy(
        logits if softcap is None else softcap * torch.tanh(logits / softcap), targets, reduction="sum"
    )
    loss = answer_loss(states, weight, targets, softcap, bias)
    (0.3 * loss).backward()
    (0.3 * expected).backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(states.grad, same.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 30.0])
def test_negligible_tokens_cost_less_than_rounding(softcap: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    weight, targets = torch.randn(20_000, 16).bfloat16(), torch.randint(0, 20_000, (40,))
    states = (3 * torch.randn(40, 16)).bfloat16()

    def gradient(negligible: float) -> torch.Tensor:
        monkeypatch.setattr("babelscope.training.loss.NEGLIGIBLE", negligible)
        asked = states.clone().requires_grad_()
        answer_loss(asked, weight, targets, softcap).backward()
        assert asked.grad is not None
        return asked.grad.float()

    exact = states.float().requires_grad_()
    logits = exact @ weight.float().T
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    functional.cross_entropy(logits, targets, reduction="sum").backward()
    assert exact.grad is not None
    rounding, chosen, coarse = (
        (gradient(share) - exact.grad).norm() / exact.grad.norm() for share in (0, NEGLIGIBLE, 10)
    )
    assert chosen < 1.2 * rounding < coarse


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_loss_equals_hugging_face_labels(tiny: Callable[..., Model], pairs: list[Pair], family: str) -> None:
    model = tiny(family)
    rows = encode_pairs(model.tokenizer, pairs[:3], None)
    for row in rows:
        (batch,) = batches([row], 10**6)
        labels = torch.tensor([[-100] * row.answer + list(row.ids[row.answer :])])
        with torch.inference_mode():
            expected = model.net(torch.tensor([row.ids]), labels=labels).loss
            found = _summed_loss(model, batch) / (len(row.ids) - row.answer)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_loss_does_not_depend_on_batching(tiny: Callable[..., Model], pairs: list[Pair]) -> None:
    model = tiny()
    rows = encode_pairs(model.tokenizer, pairs, None)
    with torch.inference_mode():
        sums = [sum(float(_summed_loss(model, b)) for b in batches(rows, budget)) for budget in (1, 700, 10**6)]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-5)


def test_validation_holds_out_whole_ids(tiny: Callable[..., Model]) -> None:
    """The same review from two languages has one translation: it may not stand on both sides."""
    both = question_pairs(load_task("sentiment"), [("zh", "en"), ("de", "en")], 500, seed=0)
    ids = [pair.id for pair in both]
    rows = [Row((n,), 0) for n in range(len(ids))]
    training, validation = _split(rows, ids, RECIPE, seed=0)
    assert len(training) + len(validation) == len(rows)
    assert not {ids[row.ids[0]] for row in training} & {ids[row.ids[0]] for row in validation}


def test_only_the_translation_is_predicted(tiny: Callable[..., Model], pairs: list[Pair]) -> None:
    tokenizer = tiny().tokenizer
    row = encode_pairs(tokenizer, pairs[:1], None)[0]
    assert tokenizer.decode(list(row.ids[row.answer :])) == pairs[0].output
    prompt = tokenizer.decode(list(row.ids[: row.answer]), skip_special_tokens=True)
    assert prompt == pairs[0].question + "\nTranslate the input from Chinese to English:\n"
    assert row.ids.count(tokenizer.bos_token_id) == 1


def test_pairs_hold_no_answer(pairs: list[Pair]) -> None:
    task = load_task("sentiment")
    for pair in pairs:
        assert pair.question.endswith(task.wordings[pair.source].slot)
        assert pair.output.endswith('Emotion: "')


def test_an_epoch_has_every_row_once_and_seeds_decide_the_order() -> None:
    rows = [Row(tuple(range(n % 13 + 2)), 1) for n in range(50)]
    rows = [Row((i, *row.ids), 1) for i, row in enumerate(rows)]
    one, same, other = (list(steps(rows, 8, seed)) for seed in (1, 1, 2))
    assert sorted(row.ids for step in one for row in step) == sorted(row.ids for row in rows)
    assert one == same != other


def test_batches_keep_to_the_budget() -> None:
    rows = [Row(tuple(range(n)), 1) for n in range(2, 30)]
    made = list(batches(rows, 60))
    assert all(batch.ids.numel() <= 60 for batch in made)
    assert sum(len(batch.ids) for batch in made) == len(rows)


def test_training_learns_and_writes_what_made_it(tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path) -> None:
    curve = train(tiny(), pairs, RECIPE, tmp_path / "adapter", seed=3)
    losses = [progress.val_loss for progress in curve if progress.val_loss is not None]
    assert losses[-1] < losses[0] - 0.05
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "inputs.json",
        "training.csv",
    }
    with (tmp_path / "adapter" / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "loss", "val_loss", "tokens_per_second", "lr"]
    assert [int(row["step"]) for row in rows] == list(range(curve[-1].step + 1))
    rates = [float(row["lr"]) for row in rows]
    assert max(rates) == pytest.approx(RECIPE.learning_rate)
    assert rates[-1] == pytest.approx(0, abs=1e-3)
    inputs = json.loads((tmp_path / "adapter" / "inputs.json").read_text())
    assert inputs["trained_languages"] == ["de", "en", "zh"]
    assert inputs["seed"] == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "adapter"]


def test_same_seed_same_adapter(tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny(), pairs, RECIPE, tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_training_leaves_the_base_as_it_was(tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path) -> None:
    model = tiny()
    before = {name: tensor.clone() for name, tensor in model.net.state_dict().items()}
    train(model, pairs, RECIPE, tmp_path / "adapter")
    after = model.net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_opened_adapter_changes_the_states(tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path) -> None:
    train(tiny(), pairs, RECIPE, tmp_path / "adapter")
    task = load_task("sentiment")
    prompts = few_shot_prompts(task, "zh", Asking(0), 2)
    base, aligned = (capture(m, prompts, task.labels) for m in (tiny(), tiny(adapter=tmp_path / "adapter")))
    assert not torch.allclose(base.last[:, -1], aligned.last[:, -1], rtol=1e-3)


def test_nan_loss_stops_and_keeps_the_last_good_adapter(
    tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingError, match=r"diverged at step \d+ of 8: loss .*, gradient norm .* Try a lower learning rate"
    ):
        train(tiny(), pairs, replace(RECIPE, learning_rate=1e30), tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
    kept = open_model(tiny().name, adapter=tmp_path / "adapter.last-good", dtype="float32", device="cpu")
    assert all(torch.isfinite(parameter).all() for parameter in kept.net.parameters())


def test_an_adapter_that_is_there_is_left_alone(
    tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = train(tiny(), pairs, RECIPE, tmp_path / "adapter")
    monkeypatch.setattr("babelscope.training.loop._accumulate", lambda *args: pytest.fail("trained again"))
    assert train(tiny(), pairs, RECIPE, tmp_path / "adapter") == curve
    with pytest.raises(UsageError, match="is not this adapter"):
        train(tiny(), pairs, RECIPE, tmp_path / "adapter", seed=5)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_damaged_checkpoint_is_told_and_not_used(
    tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path
) -> None:
    """Training stops after its first checkpoint; a bit of that is flipped."""
    wanted = train(tiny(), pairs, RECIPE, tmp_path / "whole")

    def stop(step: int, total: int, tokens: int) -> None:
        if step > RECIPE.validate_every:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), pairs, RECIPE, tmp_path / "adapter", on_progress=stop)
    (checkpoint,) = [path for path in (tmp_path / ".adapter.training").iterdir() if path.name != ".lock"]
    data = bytearray(checkpoint.read_bytes())
    data[-3] ^= 1
    checkpoint.write_bytes(data)
    with pytest.warns(UserWarning, match=r"is damaged \(its bytes are not.*\); training starts from the beginning"):
        curve = train(tiny(), pairs, RECIPE, tmp_path / "adapter")
    assert [p.loss for p in curve] == [p.loss for p in wanted]


@pytest.mark.parametrize(("step", "from_step"), [(2, 0), (7, 6)])  # before a checkpoint, and before the adapter
def test_a_full_disk_ends_training_and_the_next_run_gives_the_same_bytes(
    tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path, step: int, from_step: int
) -> None:
    assert len(train(tiny(), pairs, RECIPE, tmp_path / "whole")) == 9  # start and eight steps; checkpoints at 3 and 6
    steps: list[int] = []
    with ExitStack() as stack:

        def fill_up(now: int, total: int, tokens: int) -> None:
            if now == step:
                stack.enter_context(full_disk(10_000))

        with pytest.raises(TrainingError, match=r"cannot be written: .*File too large.* from the last checkpoint"):
            train(tiny(), pairs, RECIPE, tmp_path / "adapter", on_progress=fill_up)
    assert not (tmp_path / "adapter").exists()
    assert not list(tmp_path.rglob("*.partial"))
    train(tiny(), pairs, RECIPE, tmp_path / "adapter", on_progress=lambda now, total, tokens: steps.append(now))
    assert steps[0] == from_step
    assert result(tmp_path / "adapter") == result(tmp_path / "whole")


def test_a_step_without_memory_runs_in_smaller_batches(
    tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path
) -> None:
    wanted = train(tiny(), pairs, RECIPE, tmp_path / "whole")
    model, sizes = tiny(), []

    def scarce(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        sizes.append(len(kwargs["input_ids"]))
        if torch.is_grad_enabled() and sizes[-1] > 2:
            raise torch.OutOfMemoryError("no memory")

    model.body.register_forward_pre_hook(scarce, with_kwargs=True)
    curve = train(model, pairs, RECIPE, tmp_path / "split")
    assert max(sizes) > 2
    assert [p.loss for p in curve[1:]] == pytest.approx([p.loss for p in wanted[1:]], rel=1e-3)


def test_mistakes_are_named(tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few"):
        train(tiny(), pairs[:1], RECIPE, tmp_path / "adapter")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        train(tiny(), pairs, RECIPE, tmp_path / "there")
    empty = [replace(pairs[0], output="")]
    with pytest.raises(DataError, match="empty question or output"):
        encode_pairs(tiny().tokenizer, empty, None)
    with pytest.raises(DataError, match="more than the model's context of 10"):
        encode_pairs(tiny().tokenizer, pairs, 10)


def test_adapter_for_another_base_is_refused(tiny: Callable[..., Model], pairs: list[Pair], tmp_path: Path) -> None:
    train(tiny("llama"), pairs, replace(RECIPE, epochs=1), tmp_path / "adapter")
    with pytest.raises(ModelError, match="trained on another base model"):
        tiny("qwen2", adapter=tmp_path / "adapter")


def test_paper_preset_is_the_papers() -> None:
    paper = PRESETS["paper"]
    assert (paper.learning_rate, paper.warmup, paper.epochs, paper.pairs_per_step) == (5e-5, 0.1, 3, 16)
