"""What hooks, gathering, scoring and tokenising add to the forward pass itself."""

import statistics
from collections.abc import Callable

import torch
from babelscope.activations.capture import capture
from babelscope.activations.past import TOKEN_BUDGET, batches
from babelscope.activations.tokens import encode_prompts
from babelscope.models import Model
from babelscope.tasks import Prompt, load_task

from .measure import apart, interleaved, speed_ratios
from .subjects import Sizes, open_real, six_shot
from .table import Outcome, at_least, timed

OURS, BARE = "babelscope, no shared prefix", "bare forward of the body"


def run(sizes: Sizes) -> Outcome:
    seconds, tokens = apart(times, sizes)
    ratios = speed_ratios(seconds[BARE], seconds[OURS])
    target = at_least(statistics.median(ratios), 0.97)
    return Outcome(
        "Capture without a shared prefix",
        [
            timed(OURS, seconds[OURS], tokens),
            timed(BARE, seconds[BARE], tokens, speed=ratios, target=target),
        ],
        ["The bare forward gets the very batches that capture makes, as ready tensors; no hooks, no logits."],
    )


def times(sizes: Sizes) -> tuple[dict[str, list[float]], int]:
    model = open_real()
    prompts = six_shot(sizes.prompts)
    labels = load_task("sentiment").labels
    bare, tokens = _bare(model, prompts)
    bare()
    ways = {OURS: lambda: capture(model, prompts, labels, share_prefix=False), BARE: bare}
    return interleaved(ways, sizes.rounds), tokens


def _bare(model: Model, prompts: list[Prompt]) -> tuple[Callable[[], None], int]:
    """The forward over capture's own batches, and how many tokens they hold without padding."""
    rows = [torch.tensor(row.ids) for row in encode_prompts(model.tokenizer, prompts, model.context_length)]
    padded = [
        torch.nn.utils.rnn.pad_sequence([rows[i] for i in batch], batch_first=True)
        for batch in batches([len(row) for row in rows], 0, TOKEN_BUDGET)
    ]

    @torch.inference_mode()
    def forward() -> None:
        for ids in padded:
            model.body(input_ids=ids, use_cache=False)

    return forward, sum(map(len, rows))
