"""Where the time of capture and of a training step goes, and how near the matrix products are to torch's best."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from babelscope.activations.capture import capture
from babelscope.tasks import load_task
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from . import cases_training
from .measure import apart
from .subjects import Sizes, open_real, six_shot
from .table import Outcome, Row

PRODUCTS = ("aten::mm", "aten::addmm")  # of which mm is nearly all
ATTENDING = ("aten::bmm", "aten::baddbmm")  # and torch's own kernel
SHARES = ("matrix products", "products over the vocabulary", "attention", "the rest")


def run(sizes: Sizes) -> Outcome:
    return Outcome(
        "Where the time goes",
        [Row(name, apart(work, sizes)) for name, work in {"capture": _capturing, "training step": _training}.items()],
        [
            "Shares of the operators' own time, by torch.profiler, of one run after another that warmed up. Products "
            "over the vocabulary are the unembedding and, in training, its gradient by the rows of the tokens that "
            "count; the other matrix products are the blocks'. Attention is its products or torch's kernel. The rest "
            "are norms, activation functions, rotations, softmax, masks and copies.",
            "GFLOP/s of all matrix products, beside what plain torch.mm reaches on the same shapes, one at a time and "
            "weighted by how often each was called; attention is not among them.",
        ],
    )


def _capturing(sizes: Sizes) -> dict[str, str]:
    model, prompts = open_real(), six_shot(sizes.prompts)
    return _profiled(lambda: capture(model, prompts, load_task("sentiment").labels), model)


def _training(sizes: Sizes) -> dict[str, str]:
    model = open_real()
    way = cases_training.babelscope(model)
    chosen = cases_training._steps(model, sizes.pairs, 1)
    return _profiled(lambda: way(chosen), model)


def _profiled(work: Callable[[], object], model: Any) -> dict[str, str]:
    work()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as profiler:
        work()
    events = profiler.key_averages(group_by_input_shape=True)
    vocabulary = model.unembedding.weight.shape[0]
    times: Counter[str] = Counter()
    for event in events:
        times[_kind(event, vocabulary)] += event.self_cpu_time_total
    products = [event for event in events if event.key == "aten::mm"]
    flops = sum(event.flops for event in products)
    reached = flops / sum(event.self_cpu_time_total for event in products) / 1e3  # flops per microsecond
    best = flops / sum(event.count * _alone(event, model.dtype) for event in products) / 1e9
    return {
        **{kind: f"{times[kind] / times.total():.0%}" for kind in SHARES},
        "GFLOP/s": f"{reached:,.0f}",
        "GFLOP/s of torch.mm alone": f"{best:,.0f}",
    }


def _kind(event: FunctionEventAvg, vocabulary: int) -> str:
    if event.key in PRODUCTS:
        over_words = max(length for shape in event.input_shapes for length in shape) > vocabulary / 16
        return "products over the vocabulary" if over_words else "matrix products"
    return "attention" if event.key in ATTENDING or "dot_product" in event.key else "the rest"


def _alone(event: FunctionEventAvg, dtype: torch.dtype) -> float:
    """Seconds of the same product by itself: contiguous rows times the transpose of contiguous rows."""
    (n, k), (_, m) = event.input_shapes[:2]
    left, right = torch.randn(n, k, dtype=dtype), torch.randn(m, k, dtype=dtype)
    names = {"torch": torch, "left": left, "right": right.t()}
    return float(Timer("torch.mm(left, right)", globals=names, num_threads=torch.get_num_threads()).timeit(5).median)
