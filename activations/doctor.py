"""Can a model's states and scores be trusted? Checks that compare two ways to the same number."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..errors import BabelscopeError, ModelError
from ..models import Model
from ..progress import Progress, Steps, silent
from ..quiet import without_installing
from ..tasks import KINDS, Asking, Prompt, Task, answer_words, few_shot_prompts, load_task
from .capture import Captured, capture
from .tokens import encode_labels, encode_prompts

# Largest relative difference. bfloat16 keeps 8 bits: single states reach 0.08 on gemma-3-270m.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-1}
N_PROMPTS = 4  # of each language
DRIFT_LANGUAGES = 8
DRIFT = 0.1  # bfloat16 keeps 8 bits, and layers add up what it loses
FLIPS = 0.15  # decisions near a tie turn over


@dataclass(frozen=True)
class Finding:
    check: str
    passed: bool
    figure: str  # what was measured
    expected: str


def examine(
    model: Model,
    task: Task,
    open_as: Callable[[str], Model],
    words: str | tuple[str, ...] = "english",
    on_progress: Progress = silent,
) -> list[Finding]:
    """Run every check on a few prompts of `task`; with an adapter, also attached against merged.

    Args:
        words: the answers that will be scored, see `Asking`; of others it is told whether they could be.
        open_as: opens the same model again in another precision, see models.compute.PRECISIONS.
    """
    shots = min(2, _demonstrations(task))
    prompts = {code: few_shot_prompts(task, code, Asking(shots), N_PROMPTS) for code in task.languages}
    sample = prompts[task.languages[0]]
    reference = capture(model, sample, task.labels)
    checks: list[Callable[[], list[Finding]]] = [
        lambda: quick_checks(model, sample, task.labels),
        lambda: _transformer_lens(model, sample[0], reference),
        lambda: _words(model, task, words),
        lambda: [_context(model, task, words)],
        lambda: _drift(model, prompts, task, open_as),
    ]
    if model.adapter is not None:
        checks.append(lambda: [_merging(model, sample, task.labels, reference)])
    step, findings = Steps(on_progress, len(checks)), []
    for check in checks:
        findings += check()
        step()
    return findings


def quick_checks(model: Model, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Finding]:
    """The checks that take a few forward passes of a few prompts of one language."""
    reference = capture(model, prompts, labels)
    single = capture(model, prompts, labels, token_budget=1)
    unshared = capture(model, prompts, labels, share_prefix=False)
    return [
        _one_bos(model, prompts),
        _close(model, "batch and padding invariance", difference(reference, single)),
        _close(model, "shared prefix = full forward", difference(reference, unshared)),
        _close(model, "lens at last layer = logits", _lens_difference(model, prompts, reference)),
    ]


def require_sound(model: Model, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
    """Run the quick checks before something is built on the model's states.

    Raises:
        ModelError: a check failed; it is named, with what was found.
    """
    failed = [finding for finding in quick_checks(model, prompts, labels) if not finding.passed]
    if failed:
        found = "; ".join(f"{f.check}: {f.figure}, expected {f.expected}" for f in failed)
        raise ModelError(
            f"The states of {model.name!r} cannot be trusted: {found}. Try --dtype float32; `babelscope models doctor` "
            "tells more; --unchecked (in a study: `check: false`) goes on all the same."
        )


def _drift(
    model: Model, prompts: dict[str, list[Prompt]], task: Task, open_as: Callable[[str], Model]
) -> list[Finding]:
    """How far the other dtype's states are, and in how many prompts it decides otherwise."""
    name = model.precision.compared_with
    other = open_as(name)
    apart, flips, n = [], 0, 0
    for group in list(prompts.values())[:DRIFT_LANGUAGES]:
        one, two = (capture(m, group, task.labels) for m in (model, other))
        apart.append(_relative(one.last, two.last).flatten())
        flips += int((one.logprob.argmax(1) != two.logprob.argmax(1)).sum())
        n += len(group)
    median = float(torch.cat(apart).median())
    return [
        Finding(f"states in {name}", median <= DRIFT, f"{median:.1e}", f"median relative difference <= {DRIFT:.0e}"),
        Finding(f"answers in {name}", flips <= FLIPS * n, f"{flips} of {n} differ", f"at most {FLIPS:.0%}"),
    ]


def difference(one: Captured, other: Captured) -> float:
    """Largest relative difference of the two captures' states and scores, over rows, layers and positions."""
    pairs = ((one.last, other.last), (one.mean, other.mean), (one.logprob, other.logprob))
    return max(float(_relative(a, b).max()) for a, b in pairs)


def _relative(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    distance: torch.Tensor = (a.float() - b.float()).norm(dim=-1) / a.float().norm(dim=-1)
    return distance


@contextmanager
def merged(model: Model) -> Iterator[None]:
    """The adapter folded into the weights for a while."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.net.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.merge()
    try:
        yield
    finally:
        for layer in layers:
            layer.unmerge()


def _merging(model: Model, prompts: Sequence[Prompt], labels: Sequence[str], reference: Captured) -> Finding:
    with merged(model):
        inside = capture(model, prompts, labels)
    return _close(model, "adapter attached = merged", difference(reference, inside))


def _close(model: Model, name: str, found: float) -> Finding:
    limit = TOLERANCE[model.dtype]
    return Finding(name, found <= limit, f"{found:.1e}", f"relative difference <= {limit:.0e}")


def _one_bos(model: Model, prompts: Sequence[Prompt]) -> Finding:
    """Every prompt must have what the tokenizer puts before any text: one BOS, or none.

    Many tokenizers that have a BOS add none, as their models were trained (GPT-2, BLOOM): that is no fault, and told.
    """
    tokenizer = model.tokenizer
    bos = tokenizer.bos_token_id
    usual = tokenizer("a")["input_ids"].count(bos)
    counts = {row.ids.count(bos) for row in encode_prompts(tokenizer, prompts, None)}
    wanted = int(usual > 0 or bool(bos is not None and tokenizer.init_kwargs.get("add_bos_token")))
    expected = (
        "one, as the tokenizer is to add" if wanted else f"none: the tokenizer adds no {tokenizer.bos_token or 'BOS'}"
    )
    return Finding("one BOS", counts == {wanted}, f"{sorted(counts)} per prompt", expected)


def _lens_difference(model: Model, prompts: Sequence[Prompt], reference: Captured) -> float:
    with torch.inference_mode():
        lens = model.unembed(reference.last[:, -1].to(model.device)).float().cpu()
        encoded = encode_prompts(model.tokenizer, prompts, None)
        rows = [model.net(torch.tensor([row.ids], device=model.device)).logits[0, -1].float() for row in encoded]
    logits = torch.stack(rows).cpu()
    return float(((lens - logits).norm(dim=-1) / logits.norm(dim=-1)).max())


def _transformer_lens(model: Model, prompt: Prompt, reference: Captured) -> list[Finding]:
    """Last-token residual streams of one prompt, as TransformerLens reads them, against the captured ones.

    Left out where the library cannot take the model: it moves all weights to one device, in one dtype.
    """
    if len(model.devices) > 1 or model.precision.quantisation:
        return []
    from transformer_lens.model_bridge import TransformerBridge

    # The bridge wraps modules in place: it gets a copy.
    with without_installing():
        bridge = TransformerBridge.boot_transformers(
            str(model.folder),
            hf_model=copy.deepcopy(model.net),
            tokenizer=model.tokenizer,
            dtype=model.dtype,
            device=str(model.device),
        )
    (row,) = encode_prompts(model.tokenizer, [prompt], None)
    names = [f"blocks.{i}.hook_resid_post" for i in range(model.n_layers)]
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([row.ids], device=model.device), names_filter=names)
    theirs = torch.stack([cache[name][0, -1] for name in names]).float().cpu()
    ours = reference.last[0, 1:].float()
    return [_close(model, "TransformerLens resid_post = states", float(_relative(ours, theirs).max()))]


def _words(model: Model, task: Task, used: str | tuple[str, ...]) -> list[Finding]:
    """Can answers be told apart, in English and in each language's own words? In every built-in task and language.

    Words that are not used cannot fail: what is found of them is there to know.
    """
    tasks = [task, *(load_task(name) for name in KINDS if name != task.name)]
    findings = []
    for words in dict.fromkeys(("english", "own", used)):
        asked = tasks if isinstance(words, str) else [task]  # words of one's own choice fit one task
        places = [(one, code) for one in asked for code in one.languages]
        faults = [fault for one, code in places if (fault := _alike(model, one, code, words))]
        name = words if isinstance(words, str) else "given"
        expected = "in every task and language" if words == used else "for information: not the words that are used"
        found = "; ".join(faults) or f"{len(asked)} task(s), {len({code for _, code in places})} languages"
        findings.append(Finding(f"{name} label words distinguishable", not faults or words != used, found, expected))
    return findings


def _alike(model: Model, task: Task, code: str, words: str | tuple[str, ...]) -> str:
    prompt = few_shot_prompts(task, code, Asking(0, words), 1)[:1]
    answers = list(answer_words(task, code, words).values())
    try:
        encode_labels(model.tokenizer, prompt[0], encode_prompts(model.tokenizer, prompt, None)[0], answers)
    except BabelscopeError as error:
        return f"{task.name} in {code}: {error}"
    return ""


def _context(model: Model, task: Task, words: str | tuple[str, ...]) -> Finding:
    """The longest prompt of all, with the shots that the task has by default and its longest answer behind it."""
    asking = Asking(min(KINDS[task.name].shots, _demonstrations(task)), words)
    lengths = {code: _longest(model, task, code, asking) for code in task.languages}
    code, limit = max(lengths, key=lambda code: lengths[code]), model.context_length
    expected = "any: the model names no limit" if limit is None else f"at most {limit} with {asking.shots} shots"
    passed = limit is None or lengths[code] <= limit
    return Finding("prompts fit the context", passed, f"up to {lengths[code]} tokens, in {code}", expected)


def _longest(model: Model, task: Task, code: str, asking: Asking) -> int:
    """Tokens that the model reads. What is around the questions of a language is always the same."""
    prompts = few_shot_prompts(task, code, asking)
    texts = [prompt.example.text for prompt in prompts]
    longest = max(zip(map(len, model.tokenizer(texts)["input_ids"]), prompts, strict=True), key=lambda pair: pair[0])[1]
    answered = [longest.full + word for word in answer_words(task, code, asking.words).values()]
    return max(map(len, model.tokenizer(answered)["input_ids"])) - 1  # nothing is read behind an answer's last token


def _demonstrations(task: Task) -> int:
    return min(len(wording.demonstrations) for wording in task.wordings.values())
