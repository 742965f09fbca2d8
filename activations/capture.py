"""One forward pass per prompt, read at the chosen positions of every layer.

The pass is the plain Hugging Face forward of the model's body; hooks gather the positions as they go by, so that no
[batch, token, d_model] state outlives its layer. What all prompts of a language share (demonstrations, usually) runs
once, and its keys and values serve every batch. Rows are padded on the right: causal attention then never reaches the
padding, so a row's states do not depend on its batch mates.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped

from ..errors import CacheError
from ..memory import halving, memory_for
from ..models import Model
from ..progress import Progress, silent
from ..tasks import Prompt
from .gather import Pool, at, gathering, mean
from .layout import first_layer, is_ragged
from .past import TOKEN_BUDGET, batches, for_batch
from .scoring import Asked, Vote, Words, word_scores
from .tokens import EncodedPrompt, encode_labels, encode_prompts, label_beginnings, shared_prefix

if TYPE_CHECKING:
    from transformers import Cache


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Captured:
    """States and scores of consecutive prompts of one language.

    arrays: by name, `STREAM/POSITION`, on the CPU. Streams are `states` (residual stream before the final norm, layer
        0 = what enters the first block), `attention` and `mlp` (what these add to it in each block), and `neurons` (the
        MLP's activations). Positions are `last` (the answer position), `mean` (over the question's tokens) and `all`
        (every token from the question's first to the answer position; rows are then tokens, `n_kept` of each prompt).
    logprob: natural log-probability of each label word's whole token sequence after the prompt.
    prefix_logprob: that of the next token being any beginning of the word, as arXiv 2405.13816 decodes.
    """

    arrays: Mapping[str, Shaped[torch.Tensor, "row layer width"]]
    logprob: Float[torch.Tensor, "row label"]
    prefix_logprob: Float[torch.Tensor, "row label"]
    n_tokens: Int[np.ndarray, "row"]
    n_kept: Int[np.ndarray, "row"]

    @property
    def last(self) -> Float[torch.Tensor, "row layer d_model"]:
        return self.arrays["states/last"]

    @property
    def mean(self) -> Float[torch.Tensor, "row layer d_model"]:
        return self.arrays["states/mean"]


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


@torch.inference_mode()
def capture(
    model: Model,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    keep: Sequence[str] = ("states/last", "states/mean"),
    share_prefix: bool = True,
    token_budget: int = TOKEN_BUDGET,
    on_progress: Progress = silent,
) -> Captured:
    """States and label scores of prompts of one language, in their order; all of them are held at once.

    Args:
        labels: label words as the model is to say them.
        keep: names of the arrays to return, see `Captured`; without any, there are scores alone.
        share_prefix: run the tokens that all prompts share once: less work, and the same results up to last digits.
        token_budget: how many tokens a batch holds at most; speed and memory change with it, results in their last
            digits alone. A batch that finds no memory is split.
        on_progress: counts prompts; tokens are those that run, shared ones once, padding left out.

    Raises:
        DataError, UsageError: see `encode_prompts` and `encode_labels`.
        CacheError: a state or score is NaN or infinite.
        NoMemoryError: there is no memory for a single prompt, for the tokens that all share, or for what is kept.
    """
    first = encode_prompts(model.tokenizer, prompts[:1], None)[0]
    words = Words(encode_labels(model.tokenizer, prompts[0], first, labels), label_beginnings(model.tokenizer, labels))
    # All but the last token of a label ride behind the prompt.
    room = None if model.context_length is None else model.context_length - max(map(len, words.sequences)) + 1
    encoded = encode_prompts(model.tokenizer, prompts, room)
    n_shared = shared_prefix(encoded) if share_prefix else 0
    language = prompts[0].example.language
    with memory_for(f"the {n_shared} tokens that all prompts in {language!r} begin with"):
        prefix = _prefix_cache(model, encoded[0].ids[:n_shared]) if n_shared else None
    n_kept = np.array([len(prompt.ids) - prompt.start for prompt in encoded])
    ends = n_kept.cumsum()
    with memory_for(f"the states of {len(prompts)} prompts in {language!r}"):
        rows_of = {name: int(ends[-1]) if is_ragged(name) else len(encoded) for name in keep}
        arrays = {name: torch.empty(n, *model.shape_of(name), dtype=model.dtype) for name, n in rows_of.items()}
    asked: list[Asked] = []
    later = words.long[1:] if _within_sliding_window(model, encoded, words) else ()

    def run(batch: list[_Row]) -> None:
        past = for_batch(prefix, len(batch)) if prefix is not None else _empty_cache(model) if later else None
        plain = [i for i, row in enumerate(batch) if row.label == words.carried]
        hooked, final = _forward(model, batch, encoded, past, keep, plain)
        found = [_asked(batch, encoded, final, words)]
        found += [_later_label(model, batch, encoded, past, label, words.sequences[label]) for label in later]
        examples = [batch[i].example for i in plain]
        tokens: Any = np.concatenate([np.arange(ends[e] - n_kept[e], ends[e]) for e in examples]) if examples else []
        for name, values in hooked.items():
            arrays[name][tokens if is_ragged(name) else examples] = values
        # Nothing can fail from here on: a batch that is split and run again is asked once.
        asked.extend(found)

    rows = _rows(encoded, words, n_shared, later)
    planned = list(batches([len(row.own) for row in rows], n_shared, token_budget))
    log.info(
        "%s: %d prompts in %d batches of up to %d rows and %d tokens, behind %d prefix tokens that run once",
        *(language, len(prompts), len(planned), max(map(len, planned)), token_budget, n_shared),
    )
    done, tokens = 0, n_shared
    on_progress(0, len(prompts), tokens)
    for chosen in planned:
        _split_for_memory(run, [rows[i] for i in chosen], prompts)
        done += len(chosen)
        tokens += sum(len(rows[i].own) for i in chosen)
        on_progress(done * len(prompts) // len(rows), len(prompts), tokens)
    with memory_for(f"the scores of {len(prompts)} prompts in {language!r}"):
        scores = word_scores(model, asked, len(encoded), len(words.sequences))
        captured = Captured(arrays, *scores, np.array([len(prompt.ids) for prompt in encoded]), n_kept)
        _check_finite(captured, prompts)
    return captured


def _split_for_memory(run: Callable[[list[_Row]], None], batch: list[_Row], prompts: Sequence[Prompt]) -> None:
    """Run a batch, in smaller parts if there is no memory for it."""
    example = prompts[batch[0].example].example
    done = 0

    def parts(size: int) -> None:
        nonlocal done
        while done < len(batch):
            run(batch[done : done + size])
            done += size

    halving(parts, len(batch), 2, f"a single prompt such as {example.id!r} in {example.language!r}")


def _rows(window: Sequence[EncodedPrompt], words: Words, n_shared: int, later: Sequence[int]) -> list[_Row]:
    """A row for each prompt, and for each label of several tokens beyond the first one that is not scored `later`.

    Causal attention lets the first long label ride behind its prompt: the prompt's own states do not see it.
    """
    return [
        _Row(i, prompt.ids[n_shared:] + (words.sequences[k][:-1] if k is not None else ()), n_shared, k)
        for i, prompt in enumerate(window)
        for k in [k for k in words.long if k not in later] or (None,)
    ]


def _forward(
    model: Model,
    batch: list[_Row],
    window: Sequence[EncodedPrompt],
    past: "Cache | None",
    keep: Sequence[str],
    plain: list[int],
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Run the body; `past` grows. Returns the arrays [row, layer, width] of the `plain` rows, and all final states."""
    width = max(len(row.own) for row in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    for i, row in enumerate(batch):
        ids[i, : len(row.own)] = torch.tensor(row.own)
    pools = {name: _pool(name, batch, window, plain, width, model.device) for name in keep} if plain else {}
    with gathering(model, pools, len(batch)) as hooked:
        final = model.body(
            input_ids=ids.to(model.device), past_key_values=past, use_cache=past is not None
        ).last_hidden_state
    # Layers may lie on several devices.
    home = {name: [layer.to(layers[0].device) for layer in layers] for name, layers in hooked.items()}
    return {name: torch.stack(layers, dim=1).cpu() for name, layers in home.items()}, final


def _pool(
    name: str,
    batch: list[_Row],
    window: Sequence[EncodedPrompt],
    plain: list[int],
    width: int,
    device: torch.device,
) -> Pool:
    """What an array keeps of the `plain` rows of a batch."""
    position = name.rsplit("/", 1)[-1]
    answers = [batch[i].answer(window) for i in plain]
    begins = [window[batch[i].example].start - batch[i].first_own for i in plain]
    if position == "last":
        return at(torch.tensor(plain, device=device), torch.tensor(answers, device=device))
    if position == "all":
        spans = [torch.arange(begin, answer + 1) for begin, answer in zip(begins, answers, strict=True)]
        rows = torch.tensor(plain).repeat_interleave(torch.tensor([len(span) for span in spans]))
        return at(rows.to(device), torch.cat(spans).to(device))
    weights = torch.zeros(len(plain), width)
    for n, (i, begin) in enumerate(zip(plain, begins, strict=True)):
        prompt = window[batch[i].example]
        weights[n, begin : begin + prompt.end - prompt.start] = 1 / (prompt.end - prompt.start)
    return mean(torch.tensor(plain, device=device), weights.to(device))


def _asked(batch: list[_Row], window: Sequence[EncodedPrompt], final: torch.Tensor, words: Words) -> Asked:
    """What the final states of a batch are asked.

    The state at the answer position scores every label's first token and beginnings; the states behind it score the
    rest of the label that the row carries.
    """
    wanted: list[tuple[int, int, Vote]] = []  # row, token position
    for i, row in enumerate(batch):
        answer = row.answer(window)
        if row.label == words.carried:
            wanted += [(i, answer, Vote(row.example, k, seq[0])) for k, seq in enumerate(words.sequences)]
            wanted += [
                (i, answer, Vote(row.example, k, token, begins=True))
                for k, tokens in enumerate(words.beginnings)
                for token in tokens
            ]
        if row.label is not None:
            rest = enumerate(words.sequences[row.label][1:], start=1)
            wanted += [(i, answer + n, Vote(row.example, row.label, token)) for n, token in rest]
    places = sorted({(i, position) for i, position, _ in wanted})
    number = {place: n for n, place in enumerate(places)}
    index = torch.tensor(places, device=final.device)
    # A contiguous 2-D gather: `lm_head` over a slice such as final[:, -1:] takes a far slower path in torch.
    return Asked(final[index[:, 0], index[:, 1]], [(number[i, position], vote) for i, position, vote in wanted])


def _within_sliding_window(model: Model, window: Sequence[EncodedPrompt], words: Words) -> bool:
    """Whether every layer sees whole prompts. A sliding layer counts padding, and would lose the beginnings of rows."""
    config = model.net.config.get_text_config()
    reach = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    longest = max(len(prompt.ids) for prompt in window) + 2 * max(map(len, words.sequences))
    return reach is None or longest < reach


def _later_label(
    model: Model,
    batch: list[_Row],
    window: Sequence[EncodedPrompt],
    past: "Cache | None",
    label: int,
    sequence: tuple[int, ...],
) -> Asked:
    """The states that score a label's tokens after the first one.

    These are appended to the keys and values of a batch that has run, with its padding and its riding label masked.
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
        past_key_values=for_batch(past, len(batch)),
        use_cache=True,
    ).last_hidden_state
    votes = [Vote(row.example, label, token) for row in batch for token in sequence[1:]]
    return Asked(final.flatten(0, 1), list(enumerate(votes)))


def _prefix_cache(model: Model, ids: tuple[int, ...]) -> "Cache":
    cache = _empty_cache(model)
    model.body(input_ids=torch.tensor([ids], device=model.device), past_key_values=cache, use_cache=True)
    return cache


def _empty_cache(model: Model) -> "Cache":
    from transformers import DynamicCache

    return DynamicCache(config=model.net.config)


def _check_finite(captured: Captured, prompts: Sequence[Prompt]) -> None:
    scores = {"log-probabilities": captured.logprob, "prefix log-probabilities": captured.prefix_logprob}
    for name, values in {**captured.arrays, **scores}.items():
        bad = ~torch.isfinite(values)
        if name not in scores:
            bad = bad.any(-1)
        if bad.any():
            row, place = bad.nonzero()[0].tolist()
            where = f"label {place}" if name in scores else f"layer {place + first_layer(name)}"
            if is_ragged(name):
                ends = captured.n_kept.cumsum()
                row, token = int(np.searchsorted(ends, row, side="right")), row
                where = f"token {token - ends[row] + captured.n_kept[row]} of {captured.n_kept[row]} kept, {where}"
            example = prompts[row].example
            raise CacheError(
                f"{name} of example {example.id!r} in {example.language!r}, {where}, is not finite. "
                "Try --dtype float32, or check the adapter."
            )
