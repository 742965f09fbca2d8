"""Train one adapter. Reads from top to bottom: evaluate, step, log, save."""

import csv
import itertools
import json
import logging
import math
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import TrainingError, UsageError
from ..files import working_in, writing_folder
from ..fingerprints import sha256_of
from ..memory import halving
from ..models import Family, Model, adapter_inputs, fingerprints
from ..models.compute import Precision
from ..progress import Progress, silent
from ..quiet import quiet_transformers
from ..ranks import Ranks, current, fsdp
from ..tasks import Pair
from .batches import Batch, Row, batches, encode_pairs, steps
from .checkpoint import CurvePoint, Standing, load_checkpoint, save_checkpoint
from .loss import answer_loss
from .recipe import Recipe
from .sharded import in_step, shard

log = logging.getLogger(__name__)


def train(
    model: Model,
    pairs: Sequence[Pair],
    recipe: Recipe,
    out: Path | str,
    *,
    seed: int = 0,
    on_progress: Progress = silent,
) -> list[CurvePoint]:
    """Train a LoRA adapter of `model` to translate questions, and write it to the folder `out`.

    The folder holds the adapter (safetensors), `training.csv`, and `inputs.json`: what made it.
    The loss is taken on the translation alone. Same seed, pairs and machine: same adapter, also where a run was
    interrupted: it goes on from the last validation. An adapter that is there already is left as it is. Under
    `torchrun` the ranks share the rows of every step; under FSDP the model is left divided, see sharded.py.
    Progress counts steps.

    Raises:
        TrainingError: the loss became NaN or infinite; the last good adapter is kept in `<out>.last-good`.
        UsageError: `out` is something else already, the model has an adapter already, there are too few pairs, or the
            processes cannot share the model.
        BusyError: another process trains to `out`.
        NoMemoryError: there is no memory for a single pair.
    """
    out, ranks = Path(out), current()
    if model.adapter is not None:
        raise UsageError("Training starts from a base model; open it without an adapter.")
    if ranks.size > 1 and len(model.devices) > 1:
        raise UsageError("A model that is divided over devices is trained by one process. For several, use FSDP.")
    rows = encode_pairs(model.tokenizer, pairs, model.context_length)
    training, validation = _split(rows, [pair.id for pair in pairs], recipe, seed)
    total = recipe.epochs * math.ceil(len(training) / recipe.pairs_per_step)
    inputs = training_inputs(model.folder, model.precision, pairs, recipe, seed)
    scratch = out.with_name(f".{out.name}.training")
    checkpoint = scratch / sha256_of(inputs)[:16]  # of this run alone: another recipe starts from the beginning

    def there() -> bool:
        if out.exists() and adapter_inputs(out) != inputs:
            raise UsageError(f"{out} exists already, and is not this adapter. Choose another --out, or move it away.")
        return out.exists()

    log.info(
        "%s: %d pairs to train on and %d to validate, %d steps of %d pairs, up to %d tokens a batch, on %s in %s",
        *(out, len(training), len(validation), total, recipe.pairs_per_step, recipe.tokens_per_batch),
        *(model.device, model.precision.name),
    )
    there()  # before a folder is made for nothing
    with ranks.leading(working_in(scratch, UsageError)):
        ranks.wait()
        if ranks.agree(there()):
            if ranks.first:
                shutil.rmtree(scratch)
            return read_curve(out)
        torch.manual_seed(seed)
        adapted = _add_lora(model, recipe)
        try:
            if fsdp():
                shard(model, ranks)
            parameters = [p for p in adapted.parameters() if p.requires_grad]
            optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.0)
            standing = load_checkpoint(checkpoint, parameters, optimiser)
            done = standing.step if standing else 0
            if ranks.agree(done) != done:
                raise TrainingError(f"{checkpoint} is not the same file for all processes. Start the run again.")
            if standing is None:
                first = CurvePoint(0, None, _evaluate(model, validation, recipe, ranks), 0.0, _rate(recipe, 0, total))
                standing = Standing([first], _snapshot(parameters))
            curve, tokens = standing.curve, 0
            on_progress(done, total, tokens)
            for step, rows in _remaining(training, recipe, seed, standing.step):
                started = time.perf_counter()
                adapted.train()
                torch.manual_seed((seed * total + step) * ranks.size + ranks.rank)  # dropout, whenever the step is run
                for group in optimiser.param_groups:
                    group["lr"] = _rate(recipe, step - 1, total)
                loss = _accumulate(model, rows, recipe, parameters, ranks)
                norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)
                if not (math.isfinite(loss) and torch.isfinite(norm)):
                    if ranks.first:
                        _keep_good(adapted, parameters, standing, out)
                        shutil.rmtree(scratch)  # the same steps would diverge again
                    ranks.wait()
                    raise TrainingError(
                        f"Training diverged at step {step} of {total}: loss {loss:.4g}, gradient norm {norm:.4g}. The "
                        f"adapter as it last was good is in {_last_good(out)}. Try a lower learning rate (it is "
                        f"{recipe.learning_rate}), or --dtype float32."
                    )
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                in_step = sum(len(row.ids) for row in rows)
                speed, tokens = in_step / (time.perf_counter() - started), tokens + in_step
                validated = step % recipe.validate_every == 0 or step == total
                val_loss = _evaluate(model, validation, recipe, ranks) if validated else None
                curve = [*curve, CurvePoint(step, loss, val_loss, speed, _rate(recipe, step, total))]
                on_progress(step, total, tokens)
                good = val_loss is not None and math.isfinite(val_loss)
                standing = Standing(curve, _snapshot(parameters) if good else standing.good)
                if validated and step < total and ranks.first:
                    _save_checkpoint(checkpoint, standing, parameters, optimiser)
            if ranks.first:
                _save(adapted, out, curve, inputs, scratch)
                shutil.rmtree(scratch)
                log.info("wrote %s", out)
            ranks.wait()
        finally:
            adapted.unload()  # the caller's model is as it was
    return curve


def read_curve(adapter: Path) -> list[CurvePoint]:
    """What `training.csv` tells of a finished adapter."""
    with (adapter / "training.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    numbers = [{key: float(value) if value else None for key, value in line.items()} for line in lines]
    return [CurvePoint(**{**line, "step": int(line["step"] or 0)}) for line in numbers]  # type: ignore[arg-type]


def _remaining(training: list[Row], recipe: Recipe, seed: int, done: int) -> Iterator[tuple[int, list[Row]]]:
    """The rows of every step that is not done, with its number, counted from 1 over all epochs."""
    epochs = (steps(training, recipe.pairs_per_step, seed + epoch) for epoch in range(recipe.epochs))
    return itertools.islice(enumerate(itertools.chain.from_iterable(epochs), 1), done, None)


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


def _rate(recipe: Recipe, step: int, total: int) -> float:
    """Learning rate after `step` steps: linear from 0 over the warm-up, then half a cosine down to 0."""
    rising = max(1, round(recipe.warmup * total))
    if step < rising:
        return recipe.learning_rate * (step + 1) / rising
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def _accumulate(model: Model, rows: Sequence[Row], recipe: Recipe, parameters: Sequence[Tensor], ranks: Ranks) -> float:
    """Gradients of one step's rows, over all ranks. Returns the loss per answer token, which is what they are of."""
    predictions = sum(len(row.ids) - row.answer for row in rows)

    def backward(budget: int) -> float:
        for parameter in parameters:  # a larger batch may have failed half-way
            parameter.grad = torch.zeros_like(parameter)
        loss = 0.0
        for batch in _own_batches(rows, budget, ranks):
            share = _summed_loss(model, batch) / predictions
            share.backward()  # type: ignore[no-untyped-call]
            loss += share.item()
        return loss

    total = torch.tensor(_in_memory(backward, rows, recipe, ranks), dtype=torch.float64)
    ranks.add_up([total, *(p.grad for p in parameters if p.grad is not None)])
    return float(total)


def _evaluate(model: Model, rows: Sequence[Row], recipe: Recipe, ranks: Ranks) -> float:
    def losses(budget: int) -> float:
        with torch.no_grad():  # weights that FSDP gathers in inference mode could not be trained through
            return sum(_summed_loss(model, batch).item() for batch in _own_batches(rows, budget, ranks))

    model.net.eval()
    total = torch.tensor(_in_memory(losses, rows, recipe, ranks), dtype=torch.float64)
    ranks.add_up([total])
    return float(total) / sum(len(row.ids) - row.answer for row in rows)


def _own_batches(rows: Sequence[Row], token_budget: int, ranks: Ranks) -> Iterator[Batch]:
    return in_step(rows, token_budget, ranks) if fsdp() else batches(ranks.mine(list(rows)), token_budget)


def _in_memory(run: Callable[[int], float], rows: Sequence[Row], recipe: Recipe, ranks: Ranks) -> float:
    """Run with smaller batches where there is no memory; not under FSDP, whose ranks must run as many."""
    budget = recipe.tokens_per_batch
    if fsdp():
        return halving(run, budget, budget + 1, f"{budget} tokens at once; give a lower --tokens-per-batch")
    # Rows of more tokens than the budget run alone: there is no less to ask for.
    longest = max((len(row.ids) for row in ranks.mine(list(rows))), default=0)
    return halving(run, budget, longest, "a single pair")


def _summed_loss(model: Model, batch: Batch) -> Tensor:
    final = model.body(input_ids=batch.ids.to(model.device), use_cache=False).last_hidden_state
    places = batch.places.to(final.device)
    head = model.unembedding
    states = final[places[:, 0], places[:, 1]].to(head.weight.device)
    return answer_loss(states, head.weight, batch.targets.to(head.weight.device), model.softcap, head.bias)


def _snapshot(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def _keep_good(adapted: Any, parameters: Sequence[Tensor], standing: Standing, out: Path) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, standing.good, strict=True):
            parameter.copy_(value)
    shutil.rmtree(_last_good(out), ignore_errors=True)
    _save(adapted, _last_good(out), standing.curve, {}, None)


def _last_good(out: Path) -> Path:
    return out.with_name(f"{out.name}.last-good")


def _save_checkpoint(
    path: Path, standing: Standing, parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer
) -> None:
    try:
        save_checkpoint(path, standing, parameters, optimiser)
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror}. Free space, then run the same command again: it goes on from "
            "the last checkpoint."
        ) from error


def _save(adapted: Any, out: Path, curve: Sequence[CurvePoint], inputs: dict[str, Any], scratch: Path | None) -> None:
    """Write the whole folder under another name, then rename it."""
    try:
        with writing_folder(out, scratch) as folder:
            adapted.save_pretrained(folder, safe_serialization=True)
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
            with (folder / "training.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ["step", "loss", "val_loss", "tokens_per_second", "lr"])
                writer.writeheader()
                writer.writerows(asdict(point) for point in curve)
            if inputs:
                (folder / "inputs.json").write_text(json.dumps(inputs, indent=2, ensure_ascii=False), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{out} cannot be written: {error}. Free space, or choose another --out; the same command goes on from the "
            "last checkpoint."
        ) from error


def training_inputs(
    folder: Path, precision: Precision, pairs: Sequence[Pair], recipe: Recipe, seed: int
) -> dict[str, Any]:
    """What decides an adapter: base model, precision, pairs, recipe, seed."""
    return {
        "compute_dtype": precision.name,
        "model_sha256": fingerprints(folder)["model_sha256"],
        "directions": sorted({f"{pair.source}-{pair.target}" for pair in pairs}),
        "trained_languages": sorted({code for pair in pairs for code in (pair.source, pair.target)}),
        "n_pairs": len(pairs),
        "pairs_sha256": sha256_of([asdict(pair) for pair in pairs]),
        "recipe": asdict(recipe),
        "seed": seed,
    }
