"""Rows of tokens through a bridged model, with edits on the way; what comes out at their last tokens.

What all rows of a call share before the first edited token runs once, and its keys and values serve every row. So a
prompt whose last token is edited in many ways, each in a row of its own, costs one token a row. Rows are padded on the
right, as in activations.capture: a row does not depend on the others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float

from ..activations.past import TOKEN_BUDGET, batches, for_batch
from ..activations.scoring import Asked, Vote, word_scores
from ..memory import halving, memory_for
from .bridge import Bridged
from .edits import Edit, Places

Ids = Sequence[int]


@dataclass(frozen=True)
class Outcome:
    """What a run leaves at the last token of each row, on the model's device.

    normed: the last layer's state after the final norm: what `Model.logits` takes.
    read: TransformerLens's name of a hook point -> the activation there, such as [row, head, d_head].
    """

    normed: Float[torch.Tensor, "row d_model"]
    read: dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Batch:
    rows: list[int]
    tails: list[tuple[int, ...]]  # what follows the shared tokens
    n_shared: int


def hook_name(layer: int) -> str:
    """TransformerLens's name of the residual stream at a layer of our caches."""
    return f"blocks.{layer - 1}.hook_out" if layer else "blocks.0.hook_in"


@torch.inference_mode()
def run(
    bridged: Bridged,
    rows: Sequence[Ids],
    edits: Sequence[Edit] = (),
    read: Sequence[str] = (),
    token_budget: int = TOKEN_BUDGET,
) -> Outcome:
    """Run rows of tokens with edits; where edits meet, they act in their order.

    Args:
        read: names of hook points, see `hook_name` for residual states, and TransformerLens for others:
            `blocks.3.attn.hook_z` (heads), `blocks.3.hook_attn_out`, `blocks.3.hook_mlp_out`.
        token_budget: tokens in one batch, padding counted; speed changes with it, results do not.
    """
    normed: list[torch.Tensor] = []
    found: dict[str, list[torch.Tensor]] = {name: [] for name in read}
    order: list[int] = []
    for batch, final, activations in _forwards(bridged, rows, _n_shared(rows, edits), edits, read, token_budget):
        order += batch.rows
        normed.append(final[_lasts(batch)])
        for name in read:
            found[name].append(activations[name])
    back = torch.tensor(order).argsort()
    return Outcome(torch.cat(normed)[back], {name: torch.cat(values)[back] for name, values in found.items()})


@torch.inference_mode()
def label_log_probabilities(
    bridged: Bridged,
    rows: Sequence[Ids],
    labels: Sequence[Ids],
    edits: Sequence[Edit] = (),
    token_budget: int = TOKEN_BUDGET,
) -> Float[torch.Tensor, "row label"]:
    """Natural log-probability of each label's whole token sequence after each row; float32, on the CPU.

    Args:
        labels: token sequences, see `activations.tokens.encode_labels`. Each one of several tokens costs a pass.
    """
    asked: list[Asked] = []
    n_shared = _n_shared(rows, edits)  # without the last token of a row, where the label is scored
    long = [k for k, label in enumerate(labels) if len(label) > 1]
    riding: list[int | None] = [*long] or [None]
    for carried in riding:  # the label that rides behind every row of this pass
        behind = tuple(labels[carried][:-1]) if carried is not None else ()
        # What the first pass scores: all labels of one token, at the answer position. Every pass: the one that rides.
        scored = [k for k in range(len(labels)) if k == carried or (k not in long and carried in (None, *long[:1]))]
        longer = [(*row, *behind) for row in rows]
        for batch, final, _ in _forwards(bridged, longer, n_shared, edits, (), token_budget):
            every = torch.arange(len(batch.rows))
            answers = torch.tensor([len(rows[i]) - 1 - n_shared for i in batch.rows])
            for step in range(max((len(labels[k]) for k in scored), default=0)):
                said = [(k, labels[k][step]) for k in scored if step < len(labels[k])]
                votes = [(i, Vote(row, k, token)) for i, row in enumerate(batch.rows) for k, token in said]
                asked.append(Asked(final[every, answers + step], votes))
    with memory_for(f"the scores of {len(rows)} rows of tokens"):
        return word_scores(bridged.model, asked, len(rows), len(labels))[0]


def _forwards(
    bridged: Bridged,
    rows: Sequence[Ids],
    n_shared: int,
    edits: Sequence[Edit],
    read: Sequence[str],
    token_budget: int,
) -> Iterator[tuple[_Batch, torch.Tensor, dict[str, torch.Tensor]]]:
    """Batch by batch: the rows, their normed final states [row, token, d_model], what was read at their last tokens."""
    with memory_for(f"the {n_shared} tokens that all rows begin with"):
        past = bridged.past(rows[0][:n_shared])
    for chosen in batches([len(row) - n_shared for row in rows], n_shared, token_budget):
        finished: list[tuple[_Batch, torch.Tensor, dict[str, torch.Tensor]]] = []

        def parts(size: int, chosen: list[int] = chosen, finished: list[Any] = finished) -> None:
            while (done := sum(len(batch.rows) for batch, _, _ in finished)) < len(chosen):
                part = chosen[done : done + size]
                batch = _Batch(part, [tuple(rows[i][n_shared:]) for i in part], n_shared)
                finished.append((batch, *_forward(bridged, batch, past, edits, read)))

        halving(parts, len(chosen), 2, "a single row of tokens")
        yield from finished


def _n_shared(rows: Sequence[Ids], edits: Sequence[Edit]) -> int:
    """How many leading tokens all rows share before the first edited one, and before the last of the shortest row."""
    edited = [int(edit.places.tokens.min()) for edit in edits if len(edit.places)]
    limit = min([len(row) - 1 for row in rows] + edited)
    first = rows[0]
    for n in range(limit):
        if any(row[n] != first[n] for row in rows):
            return n
    return limit


def _forward(
    bridged: Bridged, batch: _Batch, past: Any, edits: Sequence[Edit], read: Sequence[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model, width = bridged.model, max(map(len, batch.tails))
    ids = torch.zeros(len(batch.rows), width, dtype=torch.long)
    for i, tail in enumerate(batch.tails):
        ids[i, : len(tail)] = torch.tensor(tail)
    found: dict[str, torch.Tensor] = {}
    hooks: list[tuple[str, Callable[..., Any]]] = []
    hooks += [hook for edit in edits if (hook := editing(edit, batch.rows, batch.n_shared)) is not None]
    hooks += [(name, _reading(name, _lasts(batch), found)) for name in read]  # what edits have left
    with bridged.bridge.hooks(fwd_hooks=hooks):
        final = model.body(
            input_ids=ids.to(model.device),
            past_key_values=for_batch(past, len(batch.rows)) if past is not None else None,
            use_cache=past is not None,
        ).last_hidden_state
    return final, found


def _lasts(batch: _Batch) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(len(batch.rows)), torch.tensor([len(tail) - 1 for tail in batch.tails])


def editing(edit: Edit, batch: Sequence[int], n_shared: int) -> tuple[str, Callable[..., torch.Tensor]] | None:
    """The hook that makes an edit in a batch of rows, run from token `n_shared` on; None where it concerns no row."""
    which, rows, tokens = _within(edit.places, batch, n_shared)
    if not len(which):
        return None

    def change(hidden: torch.Tensor, hook: Any) -> torch.Tensor:
        changed = hidden.clone()
        changed[rows, tokens] = edit.change(hidden[rows, tokens], which).to(hidden.dtype)
        return changed

    return hook_name(edit.layer), change


def _within(places: Places, batch: Sequence[int], n_shared: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Those of the places that are in a batch: their numbers, and row and token within the batch."""
    at = places.rows[:, None] == torch.tensor(batch)[None, :]
    which, row = at.nonzero(as_tuple=True)
    return which, row, places.tokens[which] - n_shared


def _reading(
    name: str, lasts: tuple[torch.Tensor, torch.Tensor], found: dict[str, torch.Tensor]
) -> Callable[..., None]:
    def read(activation: torch.Tensor, hook: Any) -> None:
        found[name] = activation[lasts]

    return read
