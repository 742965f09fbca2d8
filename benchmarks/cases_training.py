"""LoRA steps: cross-entropy on answer tokens alone, against Hugging Face's Trainer on the same rows."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import torch
from babelscope.models import Model
from babelscope.quiet import quiet_transformers
from babelscope.ranks import Ranks
from babelscope.tasks import load_task, question_pairs
from babelscope.training import Recipe
from babelscope.training.batches import Row as TokenRow
from babelscope.training.batches import encode_pairs, steps
from babelscope.training.loop import _accumulate, _add_lora

from .measure import apart, interleaved, peak_increase, speed_ratios
from .subjects import Sizes, open_plain, open_real, warm_up
from .table import Outcome, at_least, at_most, timed

RECIPE = Recipe()
Steps = Sequence[list[TokenRow]]
# Trains on the rows of each step; returns the mean over steps of the loss per answer token.
Way = Callable[[Steps], float]


def babelscope(model: Model) -> Way:
    adapted = _adapted(model)
    parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]

    def way(chosen: Steps) -> float:
        optimiser = torch.optim.AdamW(parameters, RECIPE.learning_rate, weight_decay=0.0)
        losses = []
        for rows in chosen:
            losses.append(_accumulate(model, rows, RECIPE, parameters, Ranks()))
            torch.nn.utils.clip_grad_norm_(parameters, RECIPE.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return statistics.mean(losses)

    return way


def trainer(model: Model) -> Way:
    """`transformers.Trainer` on a peft model: a step is one batch, padded on the right, with -100 on the prompt."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    adapted = _adapted(model)

    def way(chosen: Steps) -> float:
        with tempfile.TemporaryDirectory() as scratch, quiet_transformers():
            arguments = TrainingArguments(
                scratch,
                per_device_train_batch_size=len(chosen[0]),
                num_train_epochs=1,
                learning_rate=RECIPE.learning_rate,
                lr_scheduler_type="constant",
                max_grad_norm=RECIPE.clip,
                train_sampling_strategy="sequential",  # the rows of our steps, in their order
                dataloader_pin_memory=False,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            )
            rows: Any = [row for step in chosen for row in step]
            learner = Trainer(adapted, arguments, _collated, rows)
            learner.remove_callback(PrinterCallback)  # stdout is the page's
            return float(learner.train().training_loss)

    return way


def _collated(rows: Sequence[TokenRow]) -> dict[str, torch.Tensor]:
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, -100)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        mask[i, : len(row.ids)] = 1
        labels[i, row.answer : len(row.ids)] = torch.tensor(row.ids[row.answer :])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _adapted(model: Model) -> Any:
    torch.manual_seed(0)
    return _add_lora(model, RECIPE).train()


WAYS: dict[str, Callable[[Model], Way]] = {"babelscope": babelscope, "Hugging Face Trainer + peft": trainer}
OURS, OTHER = WAYS


def run(sizes: Sizes) -> Outcome:
    seconds, tokens, dtype = apart(times, sizes)
    peaks = {name: apart(peak, name, sizes) for name in WAYS}
    one, two = (apart(losses, sizes, number) for number in (1, 2))
    speed, memory = speed_ratios(seconds[OTHER], seconds[OURS]), peaks[OURS] / peaks[OTHER]
    target = f"{at_least(statistics.median(speed), 3.5)}; {at_most(memory, 0.45)}"
    difference = abs(one[OURS] - one[OTHER])
    return Outcome(
        "Training",
        [
            timed(OURS, seconds[OURS], tokens, peaks[OURS]),
            timed(OTHER, seconds[OTHER], tokens, peaks[OTHER], speed, memory, target),
        ],
        [
            f"A round is {sizes.steps} steps of {sizes.pairs} pairs (zh-en, de-en), {dtype}, with the same LoRA "
            f"parameters, AdamW and clipping; nothing is logged, evaluated or saved. Tokens are those of questions and "
            "translations.",
            f"Loss in float32 on {sizes.parity_pairs} pairs a step: {_compared(one)} before any update (agreement "
            f"within 1e-3 is wanted: {'met' if difference <= 1e-3 else 'MISSED'}); mean of two steps {_compared(two)}.",
            "LLaMA-Factory is not compared: version 0.9.5, the newest, allows transformers up to 5.6.0, peft up to "
            "0.18.1, accelerate up to 1.11.0 and datasets up to 4.0.0, all older than the ones used here. Its trainer "
            "is a subclass of the one above.",
        ],
    )


def times(sizes: Sizes) -> tuple[dict[str, list[float]], int, str]:
    models = {name: _opened(name) for name in WAYS}
    ways = {name: build(models[name]) for name, build in WAYS.items()}
    chosen = _steps(models[OURS], sizes.pairs, sizes.steps)
    for way in ways.values():
        way(chosen[:1])
    seconds = interleaved({name: (lambda n=name: ways[n](chosen)) for name in WAYS}, sizes.rounds)
    tokens = sum(len(row.ids) for rows in chosen for row in rows)
    return seconds, tokens, str(models[OURS].dtype).removeprefix("torch.")


def peak(name: str, sizes: Sizes) -> float:
    model = _opened(name)
    way, chosen = WAYS[name](model), _steps(model, sizes.pairs, sizes.steps)
    warm_up(model)
    return peak_increase(lambda: way(chosen))


def losses(sizes: Sizes, number: int) -> dict[str, float]:
    """Mean loss of the first `number` steps."""
    found = {}
    for name, build in WAYS.items():
        model = _opened(name, "float32")
        found[name] = build(model)(_steps(model, sizes.parity_pairs, number))
    return found


def _opened(name: str, dtype: str = "auto") -> Model:
    return open_real(dtype) if name == OURS else open_plain(dtype)


def _steps(model: Model, pairs: int, number: int) -> list[list[TokenRow]]:
    directions = [("zh", "en"), ("de", "en")]
    drawn = question_pairs(load_task("sentiment"), directions, -(-pairs * number // 2), seed=0)
    return list(steps(encode_pairs(model.tokenizer, drawn, model.context_length), pairs, seed=0))[:number]


def _compared(losses: dict[str, float]) -> str:
    return f"{losses[OURS]:.5f} against {losses[OTHER]:.5f} (difference {abs(losses[OURS] - losses[OTHER]):.1e})"
