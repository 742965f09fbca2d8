"""Can a model's states and scores be trusted? Checks that compare two ways to the same number."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..errors import BabelscopeError
from ..models import Model
from ..tasks import Asking, Prompt, Task, few_shot_prompts
from .capture import Captured, capture
from .tokens import encode_labels, encode_prompts

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}  # relative; bfloat16 keeps 8 bits
N_PROMPTS = 4


@dataclass(frozen=True)
class Finding:
    check: str
    passed: bool
    figure: str  # what was measured
    expected: str


def examine(model: Model, task: Task) -> list[Finding]:
    """Run every check on a few prompts of `task`; with an adapter, also attached against merged."""
    shots = min(2, min(len(wording.demonstrations) for wording in task.wordings.values()))
    prompts = {code: few_shot_prompts(task, code, Asking(shots), N_PROMPTS) for code in task.languages}
    sample = prompts[task.languages[0]]
    reference = _run(model, sample, task)

    def parity(name: str, other: Captured) -> Finding:
        return _close(model, name, difference(reference, other))

    findings = [
        _one_bos(model, sample),
        parity("batch and padding invariance", _run(model, sample, task, token_budget=1)),
        parity("shared prefix = full forward", _run(model, sample, task, share_prefix=False)),
        _close(model, "lens at last layer = logits", _lens_difference(model, sample, reference)),
        _close(model, "TransformerLens resid_post = states", _transformer_lens_difference(model, sample[0], reference)),
        _labels(model, prompts, task),
        _context(model, prompts),
    ]
    if model.adapter is not None:
        with merged(model):
            findings.append(parity("adapter attached = merged", _run(model, sample, task)))
    return findings


def difference(one: Captured, other: Captured) -> float:
    """Largest relative difference of the two captures' states and scores, over rows, layers and positions."""
    pairs = ((one.last, other.last), (one.mean, other.mean), (one.logprob, other.logprob))
    return max(float(((a - b).float().norm(dim=-1) / a.float().norm(dim=-1)).max()) for a, b in pairs)


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


def _run(model: Model, prompts: Sequence[Prompt], task: Task, **options: bool | int) -> Captured:
    return capture(model, prompts, task.labels, **options)  # type: ignore[arg-type]


def _close(model: Model, name: str, found: float) -> Finding:
    limit = TOLERANCE[model.dtype]
    return Finding(name, found <= limit, f"{found:.1e}", f"relative difference <= {limit:.0e}")


def _one_bos(model: Model, prompts: Sequence[Prompt]) -> Finding:
    bos = model.tokenizer.bos_token_id
    counts = {row.ids.count(bos) for row in encode_prompts(model.tokenizer, prompts, None)}
    # Tokenizers without a BOS of their own (Qwen) add none; one that is also the separator (GPT-2) may add none either.
    passed = counts <= {0, 1} and len(counts) == 1
    return Finding("one BOS", passed, f"{sorted(counts)} per prompt", "one, or none where the tokenizer has none")


def _lens_difference(model: Model, prompts: Sequence[Prompt], reference: Captured) -> float:
    with torch.inference_mode():
        lens = model.unembed(reference.last[:, -1].to(model.device)).float()
        encoded = encode_prompts(model.tokenizer, prompts, None)
        rows = [model.net(torch.tensor([row.ids], device=model.device)).logits[0, -1].float() for row in encoded]
    logits = torch.stack(rows)
    return float(((lens - logits).norm(dim=-1) / logits.norm(dim=-1)).max())


def _transformer_lens_difference(model: Model, prompt: Prompt, reference: Captured) -> float:
    """Last-token residual streams of one prompt, as TransformerLens reads them, against the captured ones."""
    from transformer_lens.model_bridge import TransformerBridge

    # The bridge wraps modules in place: it gets a copy.
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
    return float(((theirs - ours).norm(dim=-1) / ours.norm(dim=-1)).max())


def _labels(model: Model, prompts: dict[str, list[Prompt]], task: Task) -> Finding:
    def fault(code: str) -> str:
        first = prompts[code][:1]
        try:
            encode_labels(model.tokenizer, first[0], encode_prompts(model.tokenizer, first, None)[0], task.labels)
        except BabelscopeError as error:
            return f"{code}: {error}"
        return ""

    return _none("label words distinguishable", prompts, fault)


def _context(model: Model, prompts: dict[str, list[Prompt]]) -> Finding:
    def fault(code: str) -> str:
        try:
            encode_prompts(model.tokenizer, prompts[code], model.context_length)
        except BabelscopeError as error:
            return f"{code}: {error}"
        return ""

    return _none("prompts fit the context", prompts, fault)


def _none(name: str, codes: dict[str, list[Prompt]], fault: Callable[[str], str]) -> Finding:
    faults = [text for code in codes if (text := fault(code))]
    return Finding(name, not faults, "; ".join(faults) or f"{len(codes)} languages", "in every language")
