"""What a bridged model says next, with edits that go on while it speaks."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Int

from .bridge import Bridged
from .edits import Edit, Places
from .run import Ids, editing


@torch.inference_mode()
def continued(
    bridged: Bridged, rows: Sequence[Ids], n_tokens: int, edits: Sequence[Edit] = (), barred: Sequence[int] = ()
) -> Int[torch.Tensor, "row token"]:
    """The likeliest next tokens, one by one (greedy decoding); on the CPU.

    An edit of a row's last token is made at every token that follows as well.

    Args:
        rows: tokens of one length, run as one batch.
        barred: tokens that are never said, such as the end of the text.

    Raises:
        ValueError: rows of several lengths.
    """
    from transformers import DynamicCache

    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"rows have {sorted({len(row) for row in rows})} tokens; expected one length")
    model, every = bridged.model, range(len(rows))
    ids, past, said = torch.tensor([list(row) for row in rows]), DynamicCache(), []
    for step in range(n_tokens):
        now = edits if step == 0 else [_onwards(edit, len(rows[0]) - 1) for edit in edits]
        hooks = [hook for edit in now if (hook := editing(edit, every, 0)) is not None]
        with bridged.bridge.hooks(fwd_hooks=hooks):
            states = model.body(input_ids=ids.to(model.device), past_key_values=past, use_cache=True).last_hidden_state
        logits = model.logits(states[:, -1].contiguous())
        logits[:, list(barred)] = -torch.inf
        ids = logits.argmax(-1, keepdim=True).cpu()
        said.append(ids)
    return torch.cat(said, dim=1)


def _onwards(edit: Edit, last: int) -> Edit:
    """The edit at the one new token of the rows whose token `last` it changes."""
    (ends,) = (edit.places.tokens == last).nonzero(as_tuple=True)
    places = Places(edit.places.rows[ends], torch.zeros_like(ends))
    return replace(edit, places=places, change=lambda found, which: edit.change(found, ends[which]))
