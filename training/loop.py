"""Train one adapter. Reads from top to bottom: evaluate, step, log, save."""

import csv
import json
import math
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError, UsageError
from ..fingerprints import sha256_of
from ..models import Family, Model, fingerprints
from ..quiet import quiet_transformers
from ..tasks import Pair
from .batches import Batch, Row, batches, encode_pairs, steps
from .loss import answer_loss
from .recipe import Recipe


@dataclass(frozen=True)
class Progress:
    """One line of training.csv. Losses are nats per answer token; tokens are questions' and answers'."""

    step: int
    loss: float | None
    val_loss: float | None
    tokens_per_second: float
    lr: float


def train(
    model: Model,
    pairs: Sequence[Pair],
    recipe: Recipe,
    out: Path | str,
    *,
    seed: int = 0,
    on_progress: Callable[[Progress, int], None] = lambda progress, total: None,
) -> list[Progress]:
    """Train a LoRA adapter of `model` to translate questions, and write it to the folder `out`.

    The folder holds the adapter (safetensors), `training.csv`, and `inputs.json`: what made it.
    The loss is taken on the translation alone. Same seed, pairs and machine: same adapter.

    Raises:
        TrainingError: the loss became NaN or infinite; the last good adapter is kept in `<out>.last-good`.
        UsageError: `out` exists, the model has an adapter already, or there are too few pairs.
    """
    out = Path(out)
    if out.exists():
        raise UsageError(f"{out} exists already. Choose another --out, or move it away.")
    if model.adapter is not None:
        raise UsageError("Training starts from a base model; open it without an adapter.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}. Choose another --out.") from error
    rows = encode_pairs(model.tokenizer, pairs, model.context_length)
    training, validation = _split(rows, [pair.id for pair in pairs], recipe, seed)
    total = recipe.epochs * math.ceil(len(training) / recipe.pairs_per_step)
    torch.manual_seed(seed)
    adapted = _add_lora(model, recipe)
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _schedule(step, total, recipe.warmup))

    curve: list[Progress] = []

    def record(step: int, loss: float | None, val_loss: float | None, speed: float) -> None:
        curve.append(Progress(step, loss, val_loss, speed, float(schedule.get_last_lr()[0])))
        on_progress(curve[-1], total)

    try:
        record(0, None, _evaluate(model, validation, recipe), 0.0)
        good = _snapshot(parameters)
        step = 0
        for epoch in range(recipe.epochs):
            for rows in steps(training, recipe.pairs_per_step, seed + epoch):
                step += 1
                started = time.perf_counter()
                adapted.train()
                loss = _accumulate(model, rows, recipe)
                norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)
                if not (math.isfinite(loss) and torch.isfinite(norm)):
                    kept = _restore_and_save(adapted, parameters, good, out, curve)
                    raise TrainingError(
                        f"Training diverged at step {step} of {total}: loss {loss:.4g}, gradient norm {norm:.4g}. The "
                        f"adapter as it last was good is in {kept}. Try a lower learning rate (it is "
                        f"{recipe.learning_rate}), or --dtype float32."
                    )
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                schedule.step()
                speed = sum(len(row.ids) for row in rows) / (time.perf_counter() - started)
                validated = step % recipe.validate_every == 0 or step == total
                val_loss = _evaluate(model, validation, recipe) if validated else None
                if val_loss is not None and math.isfinite(val_loss):
                    good = _snapshot(parameters)
                record(step, loss, val_loss, speed)
        _save(adapted, out, curve, training_inputs(model.folder, model.dtype, pairs, recipe, seed))
    finally:
        adapted.unload()  # the caller's model is as it was
    return curve


def _split(rows: list[Row], ids: list[str], recipe: Recipe, seed: int) -> tuple[list[Row], list[Row]]:
    """Hold out whole ids: an id's translation is the same whatever language it is translated from."""
    order = random.Random(seed).sample(sorted(set(ids)), len(set(ids)))
    held_out = set(order[: max(1, round(recipe.validation * len(order)))])
    if len(held_out) == len(order):
        raise UsageError(f"{len(rows)} pairs are too few to train on and to hold some out for validation.")
    together = list(zip(rows, ids, strict=True))
    return [row for row, i in together if i not in held_out], [row for row, i in together if i in held_out]


def _add_lora(model: Model, recipe: Recipe) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=_targets(model.family),
        task_type="CAUSAL_LM",
    )
    with quiet_transformers():
        return get_peft_model(model.net, config)


def _targets(family: Family) -> str:
    """Regular expression for the query and value projections of the text blocks; a vision tower may have some too."""
    return rf"{re.escape(family.blocks)}\.\d+\..*\b({'|'.join(family.query_value)})"


def _schedule(step: int, total: int, warmup: float) -> float:
    """Linear from 0 over the warm-up, then half a cosine down to 0."""
    rising = max(1, round(warmup * total))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def _accumulate(model: Model, rows: Sequence[Row], recipe: Recipe) -> float:
    """Forward and backward over one step's rows. Returns the loss per answer token, which is what is differentiated."""
    predictions = sum(len(row.ids) - row.answer for row in rows)
    loss = 0.0
    for batch in batches(rows, recipe.tokens_per_batch):
        share = _summed_loss(model, batch) / predictions
        share.backward()  # type: ignore[no-untyped-call]
        loss += share.item()
    return loss


def _evaluate(model: Model, rows: Sequence[Row], recipe: Recipe) -> float:
    model.net.eval()
    with torch.inference_mode():
        total = sum(_summed_loss(model, batch).item() for batch in batches(rows, recipe.tokens_per_batch))
    return total / sum(len(row.ids) - row.answer for row in rows)


def _summed_loss(model: Model, batch: Batch) -> Tensor:
    final = model.body(input_ids=batch.ids.to(model.device), use_cache=False).last_hidden_state
    places = batch.places.to(model.device)
    states = final[places[:, 0], places[:, 1]]
    head = model.unembedding
    return answer_loss(states, head.weight, batch.targets.to(model.device), model.softcap, head.bias)


def _snapshot(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def _restore_and_save(
    adapted: Any, parameters: Sequence[Tensor], good: Sequence[Tensor], out: Path, curve: Sequence[Progress]
) -> Path:
    with torch.no_grad():
        for parameter, value in zip(parameters, good, strict=True):
            parameter.copy_(value)
    kept = out.with_name(f"{out.name}.last-good")
    shutil.rmtree(kept, ignore_errors=True)
    _save(adapted, kept, curve, {})
    return kept


def _save(adapted: Any, out: Path, curve: Sequence[Progress], inputs: dict[str, Any]) -> None:
    """Write the whole folder under another name, then rename it."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        folder = Path(scratch) / "adapter"
        adapted.save_pretrained(folder, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
        with (folder / "training.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["step", "loss", "val_loss", "tokens_per_second", "lr"])
            writer.writeheader()
            writer.writerows(asdict(progress) for progress in curve)
        if inputs:
            (folder / "inputs.json").write_text(json.dumps(inputs, indent=2, ensure_ascii=False), encoding="utf-8")
        try:
            folder.rename(out)
        except OSError as error:
            raise TrainingError(f"{out} cannot be written: {error.strerror}.") from error


def training_inputs(
    folder: Path, dtype: torch.dtype, pairs: Sequence[Pair], recipe: Recipe, seed: int
) -> dict[str, Any]:
    """What decides an adapter: base model, precision, pairs, recipe, seed."""
    return {
        "compute_dtype": str(dtype).removeprefix("torch."),
        "model_sha256": fingerprints(folder)["model_sha256"],
        "directions": sorted({f"{pair.source}-{pair.target}" for pair in pairs}),
        "trained_languages": sorted({code for pair in pairs for code in (pair.source, pair.target)}),
        "n_pairs": len(pairs),
        "pairs_sha256": sha256_of([asdict(pair) for pair in pairs]),
        "recipe": asdict(recipe),
        "seed": seed,
    }
