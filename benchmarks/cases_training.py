"""One LoRA step: cross-entropy on answer tokens alone, against the loss that Hugging Face computes from `labels=`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from babelscope.models import Model
from babelscope.ranks import Ranks
from babelscope.tasks import load_task, question_pairs
from babelscope.training import Recipe
from babelscope.training.batches import Row as TokenRow
from babelscope.training.batches import encode_pairs, steps
from babelscope.training.loop import _accumulate, _add_lora

from .measure import apart, interleaved, peak_increase, speed_ratios
from .subjects import Sizes, open_real, warm_up
from .table import Outcome, Row, at_least, at_most

CASE = "LoRA step"
RECIPE = Recipe()
Rows = Sequence[TokenRow]


@dataclass(frozen=True)
class Learner:
    """`backward` adds gradients of the loss per answer token, and returns that loss."""

    model: Model
    backward: Callable[[Rows], float]
    optimiser: torch.optim.Optimizer

    def step(self, rows: Rows) -> float:
        loss = self.backward(rows)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss

    def warm_up(self, rows: Rows) -> None:
        """Forward and backward without a step: the weights stay as they are."""
        warm_up(self.model)
        self.backward(rows)
        self.optimiser.zero_grad(set_to_none=True)


def babelscope(dtype: str) -> Learner:
    model = open_real(dtype)
    adapted = _adapted(model)
    parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    return Learner(model, lambda rows: _accumulate(model, rows, RECIPE, parameters, Ranks()), _optimiser(adapted))


def hugging_face(dtype: str) -> Learner:
    """All pairs of the step in one batch, padded on the right, prompt and padding masked out with -100."""
    model = open_real(dtype)
    adapted = _adapted(model)

    def backward(rows: Rows) -> float:
        shape = (len(rows), max(len(row.ids) for row in rows))
        ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, -100)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
            labels[i, row.answer : len(row.ids)] = torch.tensor(row.ids[row.answer :])
        loss = adapted(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
        loss.backward()
        return float(loss.item())

    return Learner(model, backward, _optimiser(adapted))


def _adapted(model: Model) -> Any:
    torch.manual_seed(0)
    return _add_lora(model, RECIPE).train()


def _optimiser(adapted: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], RECIPE.learning_rate, weight_decay=0)


WAYS: dict[str, Callable[[str], Learner]] = {"babelscope": babelscope, "Hugging Face labels=": hugging_face}
OURS, OTHER = WAYS


def run(sizes: Sizes) -> Outcome:
    seconds, tokens, losses, dtype = apart(times, sizes)
    peaks = {name: apart(peak, name, sizes) for name in WAYS}
    exact = apart(first_losses, sizes)
    speed, memory = speed_ratios(seconds[OTHER], seconds[OURS]), peaks[OURS] / peaks[OTHER]
    target = f"{at_least(speed, 3)}; {at_most(memory, 0.5)}"
    return Outcome(
        [
            Row(CASE, OURS, seconds[OURS], tokens, peaks[OURS]),
            Row(CASE, OTHER, seconds[OTHER], tokens, peaks[OTHER], speed, memory, target),
        ],
        [
            f"LoRA step: {sizes.steps} steps of {sizes.pairs} pairs (zh-en, de-en), forward, backward and AdamW, "
            f"{dtype}; tokens are those of questions and translations.",
            f"LoRA step, loss of the first step, before any update: {_compared(losses)} in {dtype}; "
            f"{_compared(exact)} in float32 on {sizes.parity_pairs} pairs (agreement within 1e-3 is wanted: "
            f"{'met' if abs(exact[OURS] - exact[OTHER]) <= 1e-3 else 'MISSED'}).",
        ],
    )


def times(sizes: Sizes) -> tuple[dict[str, list[float]], list[int], dict[str, float], str]:
    learners = {name: build("auto") for name, build in WAYS.items()}
    chosen = _steps(learners[OURS].model, sizes.pairs, sizes.steps)
    losses: dict[str, list[float]] = {name: [] for name in WAYS}
    left = {name: iter(chosen) for name in WAYS}
    for learner in learners.values():
        learner.warm_up(chosen[0][:1])
    seconds = interleaved(
        {name: (lambda n=name: losses[n].append(learners[n].step(next(left[n])))) for name in WAYS}, sizes.steps
    )
    tokens = [sum(len(row.ids) for row in rows) for rows in chosen]
    dtype = str(learners[OURS].model.dtype).removeprefix("torch.")
    return seconds, tokens, {name: values[0] for name, values in losses.items()}, dtype


def peak(name: str, sizes: Sizes) -> float:
    learner = WAYS[name]("auto")
    chosen = _steps(learner.model, sizes.pairs, sizes.steps)
    warm_up(learner.model)
    return peak_increase(lambda: [learner.step(rows) for rows in chosen])


def first_losses(sizes: Sizes) -> dict[str, float]:
    losses = {}
    for name, build in WAYS.items():
        learner = build("float32")
        losses[name] = learner.backward(_steps(learner.model, sizes.parity_pairs, 1)[0])
    return losses


def _steps(model: Model, pairs: int, number: int) -> list[list[TokenRow]]:
    directions = [("zh", "en"), ("de", "en")]
    drawn = question_pairs(load_task("sentiment"), directions, -(-pairs * number // 2), seed=0)
    return list(steps(encode_pairs(model.tokenizer, drawn, model.context_length), pairs, seed=0))[:number]


def _compared(losses: dict[str, float]) -> str:
    return f"{losses[OURS]:.5f} against {losses[OTHER]:.5f} (difference {abs(losses[OURS] - losses[OTHER]):.1e})"
