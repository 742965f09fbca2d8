"""How long the probes take on the caches of a complete study, and its alignment matrices alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from babelscope.activations.store import Cache
from babelscope.analyses import ANALYSES, Conditions, Settings, analyse
from babelscope.probes.alignment_measures import measure

from .measure import apart, interleaved
from .subjects import Sizes
from .table import Outcome, at_most, timed

# What asks caches alone. The lens reads as many ids as the demo study's does: at 120 of them its products alone, 31
# TFLOP, take over a minute here.
CURVES = {"accuracy": None, "logit-lens": 20, "pca": None, "umap": None, "alignment": None, "linear": None}
FITTED = ("tuned-lens", "aligned-umap")  # caches too, but they are trained
FEW = Settings(limit=12, lens_limit=2, draws=20, layers=(1, 2))
SECONDS, MATRICES, LONGEST = 90, 20, 600


def run(sizes: Sizes, study: Path) -> Outcome:
    """Seconds of the probes that read caches alone."""
    curves = {name: apart(seconds, name, study, limit) for name, limit in CURVES.items()}
    fitted = {name: apart(seconds, name, study) for name in FITTED}
    total, matrices = sum(curves.values()), apart(matrix_seconds, study)
    return Outcome(
        f"Probes of caches, {apart(shape_of, study)}",
        [
            *(timed(name, [taken]) for name, taken in curves.items()),
            timed("these together", [total], target=at_most(total, SECONDS, "seconds")),
            timed("matrices of all pairs, every measure, one position", [matrices], target=_within(matrices, MATRICES)),
            *(timed(name, [taken], target=_within(taken, LONGEST)) for name, taken in fitted.items()),
        ],
        [
            "Each in a process of its own, after imports and a run on 12 ids that compiles and warms up; tables with "
            f"their intervals and tests, without figures. The logit lens reads {CURVES['logit-lens']} ids, as in the "
            f"demo study. {' and '.join(FITTED)} are fitted, and counted apart."
        ],
    )


def run_model(sizes: Sizes, study: Path) -> Outcome:
    """Seconds of the probes that open the model: most of an hour in all."""
    names = [name for name in ANALYSES if name not in (*CURVES, *FITTED)]
    taken = {name: apart(seconds, name, study) for name in names}
    return Outcome(
        f"Probes that run the model, {apart(shape_of, study)}",
        [timed(name, [value], target=_within(value, LONGEST)) for name, value in taken.items()],
        ["At their default sizes, which are smaller than the caches; opening the model is counted."],
    )


def _within(taken: float, bound: float) -> str:
    return at_most(taken, bound, "seconds")


def seconds(name: str, study: Path, lens_limit: int | None = None) -> float:
    with _opened(study) as caches:
        if name in CURVES or name in FITTED:
            analyse(name, caches, FEW)
        settings = Settings(panels=4, lens_limit=lens_limit)
        return interleaved({name: lambda: analyse(name, caches, settings)}, 1)[name][0]


def matrix_seconds(study: Path) -> float:
    with _opened(study) as caches:
        conditions = Conditions(caches)
        states = [conditions.states("mean", layer) for layer in conditions.layers()]
        measure(states[0], conditions.languages, [])
        ways = {"matrices": lambda: [measure(layer, conditions.languages, []) for layer in states]}
        return interleaved(ways, 1)["matrices"][0]


def shape_of(study: Path) -> str:
    with _opened(study) as caches:
        conditions = Conditions(caches)
        languages, ids = len(conditions.languages), len(conditions.ids)
        return f"{languages} languages x {ids} prompts x {len(conditions.layers())} layers, {len(caches)} conditions"


@contextmanager
def _opened(study: Path) -> Iterator[dict[str, Cache]]:
    folder = study / "activations"
    with Cache(folder / "base.h5") as base, Cache(folder / "aligned.h5") as aligned:
        yield {"base": base, "aligned": aligned}
