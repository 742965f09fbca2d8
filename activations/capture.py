"""One forward pass per prompt, read at the chosen positions of every layer.

The pass is the plain Hugging Face forward of the model's body; hooks gather the positions as they go by, so that no
[batch, token, d_model] state outlives its layer. What all prompts of a language share (demonstrations, usually) runs
once, and its keys and values serve every batch. Rows are padded on the right: causal attention then never reaches the
padding, so a row's states do not depend on its batch mates.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int

from ..errors import CacheError
from ..models import Model
from ..tasks import Prompt
from .tokens import EncodedPrompt, encode_labels, encode_prompts, label_beginnings, shared_prefix

if TYPE_CHECKING:
    from transformers import Cache

TOKEN_BUDGET = 2048  # tokens of own text in one batch, padding counted; more is slower where caches are small
PREFIX_COPIES = 8  # times the budget: keys and values in one batch, each row counted with its copy of the prefix
WINDOW = 256  # prompts that are sorted by length together, and written together


@dataclass(frozen=True)
class Captured:
    """States and scores of consecutive prompts of one language.

    last, mean: residual stream before the final norm, layer 0 = what enters the first block.
    logprob: natural log-probability of each label word's whole token sequence after the prompt.
    prefix_logprob: that of the next token being any beginning of the word, as arXiv 2405.13816 decodes.
    """

    last: Float[torch.Tensor, "row layer d_model"]
    mean: Float[torch.Tensor, "row layer d_model"]
    logprob: Float[torch.Tensor, "row label"]
    prefix_logprob: Float[torch.Tensor, "row label"]
    n_tokens: Int[np.ndarray, "row"]


@dataclass(frozen=True)
class _Words:
    """The answer words as tokens: each one's sequence, and every token that begins it."""

    sequences: list[tuple[int, ...]]
    beginnings: list[list[int]]

    @cached_property
    def long(self) -> tuple[int, ...]:
        """Labels of more than one token."""
        return tuple(k for k, sequence in enumerate(self.sequences) if len(sequence) > 1)

    @property
    def carried(self) -> int | None:
        """The label that rides in the row whose states are kept."""
        return self.long[0] if self.long else None


@dataclass(frozen=True)
class _Row:
    """One row of a batch: a prompt's own tokens, with all but the last token of one label behind them."""

    example: int
    own: tuple[int, ...]
    first_own: int  # where `own` begins in the prompt
    label: int | None  # which label's remaining tokens this row scores, if any

    def answer(self, window: Sequence[EncodedPrompt]) -> int:
        """The answer position, counted in `own`."""
        return len(window[self.example].ids) - self.first_own - 1


def capture(
    model: Model,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    share_prefix: bool = True,
    token_budget: int = TOKEN_BUDGET,
) -> Iterator[Captured]:
    """States and label scores of the prompts of one language, in their order, up to `WINDOW` at a time.

    Args:
        labels: label words as the model is to say them.
        share_prefix: run the tokens that all prompts share once (same result, less work).
        token_budget: how many tokens a batch holds at most; speed and memory change with it, results do not.

    Raises:
        DataError, UsageError: see `encode_prompts` and `encode_labels`.
        CacheError: a state is NaN or infinite.
    """
    first = encode_prompts(model.tokenizer, prompts[:1], None)[0]
    words = _Words(encode_labels(model.tokenizer, prompts[0], first, labels), label_beginnings(model.tokenizer, labels))
    # All but the last token of a label ride behind the prompt.
    room = None if model.context_length is None else model.context_length - max(map(len, words.sequences)) + 1
    for begin in range(0, len(prompts), WINDOW):
        window = encode_prompts(model.tokenizer, prompts[begin : begin + WINDOW], room)
        n_shared = shared_prefix(window) if share_prefix else 0
        captured = _capture_window(model, window, words, n_shared, token_budget)
        _check_finite(captured, prompts[begin : begin + WINDOW])
        yield captured


@torch.inference_mode()
def _capture_window(
    model: Model,
    window: Sequence[EncodedPrompt],
    words: _Words,
    n_shared: int,
    token_budget: int,
) -> Captured:
    prefix = _prefix_cache(model, window[0].ids[:n_shared]) if n_shared else None
    shape = (len(window), model.n_layers + 1, model.d_model)
    last, mean = (torch.empty(shape, dtype=model.dtype) for _ in range(2))
    full, prefix_sum = (torch.zeros(len(window), len(words.sequences)) for _ in range(2))
    later = words.long[1:] if _within_sliding_window(model, window, words) else ()
    for batch in _batches(_rows(window, words, n_shared, later), n_shared, token_budget):
        past = _for_batch(prefix, len(batch)) if prefix is not None else _empty_cache(model) if later else None
        hooked, final = _forward(model, batch, window, past)
        plain = [i for i, row in enumerate(batch) if row.label == words.carried]
        examples = [batch[i].example for i in plain]
        last[examples] = hooked["last"][plain].cpu()
        mean[examples] = hooked["mean"][plain].cpu()
        _add_scores(model, batch, window, final, words, full, prefix_sum)
        for label in later:
            _add_later_label(model, batch, window, past, words.sequences[label], full[:, label])
    return Captured(
        last, mean, full, prefix_sum.clamp_min(1e-30).log(), np.array([len(prompt.ids) for prompt in window])
    )


def _rows(window: Sequence[EncodedPrompt], words: _Words, n_shared: int, later: Sequence[int]) -> list[_Row]:
    """A row for each prompt, and for each label of several tokens beyond the first one that is not scored `later`.

    Causal attention lets the first long label ride behind its prompt: the prompt's own states do not see it.
    """
    return [
        _Row(i, prompt.ids[n_shared:] + (words.sequences[k][:-1] if k is not None else ()), n_shared, k)
        for i, prompt in enumerate(window)
        for k in [k for k in words.long if k not in later] or (None,)
    ]


def _batches(rows: list[_Row], n_shared: int, token_budget: int) -> Iterator[list[_Row]]:
    """Rows of similar length together, at most `token_budget` tokens with padding; prefixes are bounded for memory."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(row.own), reverse=True):
        size, width = len(batch) + 1, len(batch[0].own) if batch else 0
        if batch and (size * width > token_budget or size * (n_shared + width) > PREFIX_COPIES * token_budget):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _forward(
    model: Model, batch: list[_Row], window: Sequence[EncodedPrompt], past: "Cache | None"
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Run the body; `past` grows. Returns hooked states {position: [row, layer, d_model]}, and all final states."""
    width = max(len(row.own) for row in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    weights = torch.zeros(len(batch), width)
    for i, row in enumerate(batch):
        prompt = window[row.example]
        ids[i, : len(row.own)] = torch.tensor(row.own)
        weights[i, prompt.start - row.first_own : prompt.end - row.first_own] = 1 / (prompt.end - prompt.start)
    answer = torch.tensor([row.answer(window) for row in batch])
    with _gathering(model, answer.to(model.device), weights.to(model.device)) as hooked:
        final = model.body(
            input_ids=ids.to(model.device), past_key_values=past, use_cache=past is not None
        ).last_hidden_state
    return {position: torch.stack(layers, dim=1) for position, layers in hooked.items()}, final


@contextmanager
def _gathering(model: Model, answer: torch.Tensor, weights: torch.Tensor) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Hooks on the residual stream: into the first block, and out of every block."""
    hooked: dict[str, list[torch.Tensor]] = {"last": [], "mean": []}
    rows = torch.arange(len(answer), device=answer.device)

    def gather(hidden: torch.Tensor) -> None:
        hooked["last"].append(hidden[rows, answer])
        mean = torch.bmm(weights.unsqueeze(1), hidden.float()).squeeze(1)  # float32: sums of bfloat16 lose digits
        hooked["mean"].append(mean.to(hidden.dtype))

    def entering(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        gather(args[0] if args else kwargs["hidden_states"])

    def leaving(block: Any, args: tuple[Any, ...], output: Any) -> None:
        gather(output[0] if isinstance(output, tuple) else output)

    blocks = model.blocks
    handles = [blocks[0].register_forward_pre_hook(entering, with_kwargs=True)]
    handles += [block.register_forward_hook(leaving) for block in blocks]
    try:
        yield hooked
    finally:
        for handle in handles:
            handle.remove()


def _add_scores(
    model: Model,
    batch: list[_Row],
    window: Sequence[EncodedPrompt],
    final: torch.Tensor,
    words: _Words,
    full: torch.Tensor,
    prefix: torch.Tensor,
) -> None:
    """Add what this batch can score to `full` and `prefix` [prompt, label]; see `Captured`.

    The state at the answer position scores every label's first token and beginnings; the states behind it score the
    rest of the label that the row carries. Only these positions are unembedded.
    """
    wanted: list[tuple[int, int, int, int]] = []  # row, token position, label, label token
    begun: list[tuple[int, int, int, int]] = []
    for i, row in enumerate(batch):
        answer = row.answer(window)
        if row.label == words.carried:
            wanted += [(i, answer, k, sequence[0]) for k, sequence in enumerate(words.sequences)]
            begun += [(i, answer, k, token) for k, tokens in enumerate(words.beginnings) for token in tokens]
        if row.label is not None:
            wanted += [(i, answer + n, row.label, token) for n, token in enumerate(words.sequences[row.label]) if n > 0]
    places = sorted({(i, position) for i, position, _, _ in wanted})
    at = {place: n for n, place in enumerate(places)}
    index = torch.tensor(places, device=final.device)
    rows = torch.tensor([at[i, position] for i, position, _, _ in wanted + begun], device=final.device)
    tokens = torch.tensor([token for _, _, _, token in wanted + begun], device=final.device)
    # A contiguous 2-D gather: `lm_head` over a slice such as final[:, -1:] takes a far slower path in torch.
    scores = model.token_log_probabilities(final[index[:, 0], index[:, 1]], rows, tokens).cpu()
    full.index_put_(_prompt_and_label(batch, wanted), scores[: len(wanted)], accumulate=True)
    # Every prompt's beginnings are at hand at once, so their probabilities can be summed in place.
    prefix.index_put_(_prompt_and_label(batch, begun), scores[len(wanted) :].exp(), accumulate=True)


def _within_sliding_window(model: Model, window: Sequence[EncodedPrompt], words: _Words) -> bool:
    """Whether every layer sees whole prompts. A sliding layer counts padding, and would lose the beginnings of rows."""
    config = model.net.config.get_text_config()
    reach = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    longest = max(len(prompt.ids) for prompt in window) + 2 * max(map(len, words.sequences))
    return reach is None or longest < reach


def _add_later_label(
    model: Model,
    batch: list[_Row],
    window: Sequence[EncodedPrompt],
    past: "Cache | None",
    sequence: tuple[int, ...],
    scores: torch.Tensor,
) -> None:
    """Add the log-probabilities of a label's tokens after the first one to `scores` [prompt].

    They are appended to the keys and values of a batch that has run, with its padding and its riding label masked.
    """
    assert past is not None
    filled, rest = past.get_seq_length(), len(sequence) - 1
    ends = torch.tensor([len(window[row.example].ids) for row in batch])  # prompt tokens of each row
    seen = torch.arange(filled) < ends[:, None]
    mask = torch.cat([seen, torch.ones(len(batch), rest, dtype=torch.bool)], dim=1).long()
    positions = ends[:, None] + torch.arange(rest)
    final = model.body(
        input_ids=torch.tensor([sequence[:-1]] * len(batch), device=model.device),
        attention_mask=mask.to(model.device),
        position_ids=positions.to(model.device),
        past_key_values=_for_batch(past, len(batch)),
        use_cache=True,
    ).last_hidden_state
    rows = torch.arange(len(batch) * rest, device=model.device)
    tokens = torch.tensor([*sequence[1:]] * len(batch), device=model.device)
    found = model.token_log_probabilities(final.reshape(len(rows), -1), rows, tokens).view(len(batch), rest).sum(1)
    scores[[row.example for row in batch]] += found.cpu()


def _prompt_and_label(
    batch: Sequence[_Row], wanted: Sequence[tuple[int, int, int, int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    prompts = torch.tensor([batch[i].example for i, _, _, _ in wanted], dtype=torch.long)  # long even if there are none
    return prompts, torch.tensor([label for _, _, label, _ in wanted], dtype=torch.long)


@torch.inference_mode()
def _prefix_cache(model: Model, ids: tuple[int, ...]) -> "Cache":
    cache = _empty_cache(model)
    model.body(input_ids=torch.tensor([ids], device=model.device), past_key_values=cache, use_cache=True)
    return cache


def _empty_cache(model: Model) -> "Cache":
    from transformers import DynamicCache

    return DynamicCache(config=model.net.config)


def _for_batch(prefix: "Cache", size: int) -> "Cache":
    """A cache of its own for one batch: the forward appends to what it is given."""
    cache = copy.copy(prefix)
    cache.layers = [copy.copy(layer) for layer in prefix.layers]
    for layer in cache.layers:
        # Views: the forward's own concatenation makes the only copy.
        layer.keys = layer.keys.expand(size, -1, -1, -1)
        layer.values = layer.values.expand(size, -1, -1, -1)
    return cache


def _check_finite(captured: Captured, prompts: Sequence[Prompt]) -> None:
    for position, states in (("last", captured.last), ("mean", captured.mean)):
        bad = ~torch.isfinite(states).all(-1)
        if bad.any():
            row, layer = bad.nonzero()[0].tolist()
            example = prompts[row].example
            raise CacheError(
                f"The state of example {example.id!r} in {example.language!r}, position {position!r}, layer {layer}, "
                "is not finite. Try --dtype float32, or check the adapter."
            )
