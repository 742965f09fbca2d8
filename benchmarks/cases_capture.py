"""Caching the answer-position and mean states of all layers, and the label scores, of few-shot prompts.

Every way tokenises the prompts, and returns the same things. The others run batches of 16 that are padded on the left.
"""

import importlib.util
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from babelscope.activations.capture import capture
from babelscope.activations.tokens import EncodedPrompt, encode_labels, encode_prompts
from babelscope.models import Model, open_tokenizer
from babelscope.models.compute import choose_precision
from babelscope.tasks import Prompt, load_task
from torch import Tensor

from .measure import apart, interleaved, peak_increase, speed_ratios
from .subjects import MODEL, Sizes, open_plain, open_real, six_shot, warm_up
from .table import Outcome, at_least, timed

BATCH = 16


@dataclass(frozen=True)
class States:
    """last and mean are [row, layer, d_model], logprob is [row, label]."""

    last: Tensor
    mean: Tensor | None  # None for the way that does not pool
    logprob: Tensor


@dataclass(frozen=True)
class Padded:
    """A batch with its padding on the left: the answer position is the last one in every row."""

    ids: Tensor
    mask: Tensor
    positions: Tensor
    weights: Tensor  # [row, token]; 1 / length on the question's own tokens

    def inputs(self) -> dict[str, Tensor]:
        return {"attention_mask": self.mask, "position_ids": self.positions}


Way = Callable[[Sequence[Prompt]], States]


def babelscope(model: Model) -> Way:
    def way(prompts: Sequence[Prompt]) -> States:
        captured = capture(model, prompts, load_task("sentiment").labels)
        return States(captured.last, captured.mean, captured.logprob)

    return way


def hugging_face(model: Model) -> Way:
    """A careful user's loop: batches, mask, positions, and logits for the last position only."""

    @torch.inference_mode()
    def way(prompts: Sequence[Prompt]) -> States:
        encoded, labels = _encode(model, prompts)
        parts = []
        for batch in _padded(encoded):
            output = model.net(
                input_ids=batch.ids, **batch.inputs(), output_hidden_states=True, logits_to_keep=1, use_cache=False
            )
            parts.append(_gathered(output.hidden_states, output.logits, batch, labels))
        return _joined(parts)

    return way


def transformer_lens(model: Model, **options: int) -> Way:
    """TransformerBridge.run_with_cache, residual stream only. `options` go to the forward."""
    bridge, names = bridged(model)

    @torch.inference_mode()
    def way(prompts: Sequence[Prompt]) -> States:
        encoded, labels = _encode(model, prompts)
        parts = []
        for batch in _padded(encoded):
            logits, cache = bridge.run_with_cache(
                batch.ids, names_filter=names, **batch.inputs(), **options, use_cache=False
            )
            parts.append(_gathered([cache[name] for name in names], logits, batch, labels))
        return _joined(parts)

    return way


def bridged(model: Model) -> tuple[Any, list[str]]:
    """TransformerLens's bridge, which takes the model over, and its names of the residual stream."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        str(model.folder), hf_model=model.net, tokenizer=model.tokenizer, dtype=model.dtype, device="cpu"
    )
    names = ["blocks.0.hook_resid_pre", *(f"blocks.{i}.hook_resid_post" for i in range(bridge.cfg.n_layers))]
    return bridge, names


def nnsight(model: Model, **options: int) -> Way:
    """A trace of each batch that gathers the two positions of the residual stream. `options` go to the forward."""
    from nnsight import TransformersModel, save

    traced = TransformersModel(model.net, task="text-generation", tokenizer=model.tokenizer)

    @torch.inference_mode()
    def way(prompts: Sequence[Prompt]) -> States:
        encoded, labels = _encode(model, prompts)
        parts = []
        for batch in _padded(encoded):
            with traced.trace(input_ids=batch.ids, **batch.inputs(), **options, use_cache=False):
                blocks = traced.model.layers
                hidden = [blocks[0].input, *(block.output for block in blocks)]
                gathered = save(_gathered(hidden, traced.output.logits, batch, labels))
            parts.append(gathered)
        return _joined(parts)

    return way


def one_by_one(model: Model) -> Way:
    """A prompt at a time, every layer's last token through final norm and unembedding, as scripts for one paper do."""

    @torch.inference_mode()
    def way(prompts: Sequence[Prompt]) -> States:
        encoded, labels = _encode(model, prompts)
        last, logprob = [], []
        for prompt in encoded:
            output = model.net(input_ids=torch.tensor([prompt.ids]), output_hidden_states=True, use_cache=False)
            *before, final = (hidden[0, -1:] for hidden in output.hidden_states)  # the final one is normed already
            lens = [model.logits(model.final_norm(state)).float().log_softmax(-1) for state in before]
            lens.append(model.logits(final).float().log_softmax(-1))
            last.append(torch.cat([*before, final]))
            logprob.append(lens[-1][0, labels])
        return States(torch.stack(last), None, torch.stack(logprob))

    return way


WAYS: dict[str, Callable[[Model], Way]] = {
    "babelscope": babelscope,
    "Hugging Face, batches of 16": hugging_face,
    "TransformerLens run_with_cache": transformer_lens,
    "TransformerLens run_with_cache, last logits only": partial(transformer_lens, logits_to_keep=1),
    "nnsight trace": nnsight,
    "nnsight trace, last logits only": partial(nnsight, logits_to_keep=1),
    "one by one, all layers unembedded": one_by_one,
}
OURS, HUGGING_FACE, LENS, LENS_LAST, NNSIGHT, NNSIGHT_LAST, ONE_BY_ONE = WAYS
TARGETS = {HUGGING_FACE: 5.0, LENS: 10.0, NNSIGHT: 10.0}
PART = {LENS: 2, LENS_LAST: 2, NNSIGHT: 2, NNSIGHT_LAST: 2, ONE_BY_ONE: 16}  # slow ways run one prompt in so many
if not importlib.util.find_spec("nnsight"):
    del WAYS[NNSIGHT], WAYS[NNSIGHT_LAST]


def run(sizes: Sizes) -> Outcome:
    seconds, tokens, dtype = apart(times, sizes)
    peaks = {name: apart(peak, name, sizes) for name in WAYS}
    rows = []
    for name, measured in seconds.items():
        ratios = speed_ratios(measured, seconds[OURS]) if name != OURS else []
        rows.append(
            timed(
                name,
                measured,
                tokens,
                peaks[name],
                ratios,
                peaks[OURS] / peaks[name] if ratios else None,
                at_least(statistics.median(ratios), TARGETS[name]) if name in TARGETS else "",
            )
        )
    agreement = "; ".join(f"{name}: {text}" for name, text in apart(parity, sizes).items())
    left_out = [] if NNSIGHT in WAYS else ["nnsight is not installed here, and was left out."]
    return Outcome(
        "Capture with a shared prefix",
        rows,
        [
            f"{sizes.prompts} six-shot prompts, {tokens:,} tokens with the shared demonstrations, {dtype}. "
            "Every way tokenises, keeps last-token and mean states of all layers (one by one: last only) and scores "
            "the labels. The others run batches of 16. Hugging Face unembeds the last position only; TransformerLens "
            "and nnsight every position, as they do unless told otherwise.",
            *left_out,
            f"Of the slow ways a part of the prompts was run, and the seconds scaled: "
            f"{'; '.join(f'{name}: 1 in {part}' for name, part in PART.items() if name in WAYS)}. Peaks are those of "
            f"{sizes.memory_prompts} prompts (one by one: fewer).",
            f"Largest difference from babelscope in float32 over {sizes.parity_prompts} prompts (states "
            f"before the last block's output, relative to their norm; label scores in nats): {agreement}.",
        ],
    )


def times(sizes: Sizes) -> tuple[dict[str, list[float]], int, str]:
    prompts = six_shot(sizes.prompts)
    ways = _ways("auto")
    for way in ways.values():
        way(prompts[:1])
    chosen = {name: _part(prompts, name) for name in WAYS}
    seconds = interleaved({name: (lambda n=name: ways[n](chosen[n])) for name in WAYS}, sizes.rounds)
    seconds = {name: [s * sizes.prompts / len(chosen[name]) for s in values] for name, values in seconds.items()}
    tokens = sum(len(prompt.ids) for prompt in encode_prompts(open_tokenizer(MODEL), prompts, None))
    return seconds, tokens, choose_precision("auto", torch.device("cpu")).name


def peak(name: str, sizes: Sizes) -> float:
    prompts = _part(six_shot(sizes.memory_prompts), name)
    model = open_real() if name == OURS else open_plain()
    way = WAYS[name](model)
    warm_up(model)
    return peak_increase(lambda: way(prompts))


def parity(sizes: Sizes) -> dict[str, str]:
    """How far the others' results are from ours, so that only like is compared with like."""
    prompts = six_shot(sizes.parity_prompts)
    ours, *others = (way(prompts) for way in _ways("float32").values())
    found = {}
    for name, other in zip(list(WAYS)[1:], others, strict=True):
        # Hugging Face hands out the last block's output only after the final norm: it is not compared.
        states = _distance(other.last[:, :-1], ours.last[:, :-1])
        if other.mean is not None and ours.mean is not None:
            states = max(states, _distance(other.mean[:, :-1], ours.mean[:, :-1]))
        found[name] = f"{states:.0e} and {(other.logprob - ours.logprob).abs().max():.0e}"
    return found


def _ways(dtype: str) -> dict[str, Way]:
    """All ways, with models of their own for the bridges, which rewrite what they are given."""
    plain = open_plain(dtype)
    models = {OURS: open_real(dtype), HUGGING_FACE: plain, ONE_BY_ONE: plain}
    models |= {name: open_plain(dtype) for name in WAYS if name not in models}
    return {name: build(models[name]) for name, build in WAYS.items()}


def _part(prompts: list[Prompt], name: str) -> list[Prompt]:
    return prompts[: max(1, len(prompts) // PART.get(name, 1))]


def _distance(other: Tensor, ours: Tensor) -> float:
    return float(((other - ours).norm(dim=-1) / ours.norm(dim=-1)).max())


def _encode(model: Model, prompts: Sequence[Prompt]) -> tuple[list[EncodedPrompt], list[int]]:
    encoded = encode_prompts(model.tokenizer, prompts, model.context_length)
    sequences = encode_labels(model.tokenizer, prompts[0], encoded[0], load_task("sentiment").labels)
    if any(len(sequence) > 1 for sequence in sequences):
        raise RuntimeError("The simple ways score labels of one token only; this model splits them.")
    return encoded, [sequence[0] for sequence in sequences]


def _padded(encoded: Sequence[EncodedPrompt]) -> Iterator[Padded]:
    for begin in range(0, len(encoded), BATCH):
        rows = encoded[begin : begin + BATCH]
        shape = (len(rows), max(len(row.ids) for row in rows))
        ids, mask, weights = (
            torch.zeros(shape, dtype=torch.long),
            torch.zeros(shape, dtype=torch.long),
            torch.zeros(shape),
        )
        for i, row in enumerate(rows):
            shift = shape[1] - len(row.ids)
            ids[i, shift:] = torch.tensor(row.ids)
            mask[i, shift:] = 1
            weights[i, shift + row.start : shift + row.end] = 1 / (row.end - row.start)
        yield Padded(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), weights)


def _gathered(hidden: Sequence[Tensor], logits: Tensor, batch: Padded, labels: Sequence[int]) -> States:
    weights = batch.weights.unsqueeze(1)
    mean = [torch.bmm(weights, layer.float()).squeeze(1).to(layer.dtype) for layer in hidden]
    scores = logits[:, -1].float().log_softmax(-1)[:, labels]
    return States(torch.stack([layer[:, -1] for layer in hidden], 1), torch.stack(mean, 1), scores)


def _joined(parts: Sequence[States]) -> States:
    means = [part.mean for part in parts if part.mean is not None]
    return States(torch.cat([p.last for p in parts]), torch.cat(means), torch.cat([p.logprob for p in parts]))
