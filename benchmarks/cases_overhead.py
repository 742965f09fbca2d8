"""What hooks, gathering, scoring and tokenising add to the forward pass itself."""

from collections.abc import Callable

import torch

from babelscope.activations.capture import TOKEN_BUDGET, _batches, _rows, capture
from babelscope.activations.tokens import encode_labels, encode_prompts
from babelscope.models import Model
from babelscope.tasks import Prompt, load_task

from .measure import apart, interleaved, speed_ratios
from .subjects import Sizes, open_real, six_shot
from .table import Outcome, Row, at_least

CASE = "overhead"
OURS, BARE = "babelscope, no shared prefix", "bare forward of the body"


def run(sizes: Sizes) -> Outcome:
    seconds, tokens = apart(times, sizes)
    ratios = speed_ratios(seconds[BARE], seconds[OURS])
    counted = [tokens] * sizes.rounds
    return Outcome(
        [
            Row(CASE, OURS, seconds[OURS], counted),
            Row(CASE, BARE, seconds[BARE], counted, speed_ratio=ratios, target=at_least(ratios, 0.95)),
        ],
        ["overhead: the bare forward gets the very batches that capture makes, as ready tensors; no hooks, no logits."],
    )


def times(sizes: Sizes) -> tuple[dict[str, list[float]], int]:
    model = open_real()
    prompts = six_shot(sizes.prompts)
    labels = load_task("sentiment").labels
    bare, tokens = _bare(model, prompts, labels)
    bare()
    ways = {OURS: lambda: capture(model, prompts, labels, share_prefix=False), BARE: bare}
    return interleaved(ways, sizes.rounds), tokens


def _bare(model: Model, prompts: list[Prompt], labels: tuple[str, ...]) -> tuple[Callable[[], None], int]:
    """The forward over capture's own batches, and how many tokens they hold without padding."""
    encoded = encode_prompts(model.tokenizer, prompts, model.context_length)
    sequences = encode_labels(model.tokenizer, prompts[0], encoded[0], labels)
    rows = [
        [torch.tensor(row.own) for row in batch] for batch in _batches(_rows(encoded, sequences, 0), 0, TOKEN_BUDGET)
    ]
    batches = [torch.nn.utils.rnn.pad_sequence(batch, batch_first=True) for batch in rows]

    @torch.inference_mode()
    def forward() -> None:
        for ids in batches:
            model.body(input_ids=ids, use_cache=False)

    return forward, sum(len(row) for batch in rows for row in batch)
