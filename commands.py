"""What the commands do, as functions of the same names: files in, tables and records out."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UsageError
from .progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from .activations.store import Cache
    from .analyses import Settings, Tables
    from .explaining.answers import Answers
    from .models import Model

log = logging.getLogger(__name__)


def list_models() -> "pd.DataFrame":
    """Packaged models: name, whether it is imported, its terms."""
    import pandas as pd

    from .models.packaged import PACKAGED, home

    rows = [
        {"model": name, "imported": (home() / "models" / name / "config.json").is_file(), "terms": package.terms}
        for name, package in PACKAGED.items()
    ]
    return pd.DataFrame(rows)


def doctor(
    model: str,
    adapter: Path | str | None = None,
    *,
    task: str = "sentiment",
    words: str | tuple[str, ...] = "english",
    dtype: str = "float32",
    device: str = "auto",
    on_progress: Progress = silent,
) -> "pd.DataFrame":
    """Check that states and scores of a model can be trusted: what was found, and whether it passed.

    Raises:
        ModelError, UsageError: see `open_model` and `load_task`.
    """
    import pandas as pd

    from .activations.doctor import examine
    from .models import open_model
    from .tasks import load_task

    def opened(dtype: str) -> "Model":
        return open_model(model, adapter, dtype=dtype, device=device)

    return pd.DataFrame(map(asdict, examine(opened(dtype), load_task(task), opened, words, on_progress)))


def list_tasks() -> "pd.DataFrame":
    """Built-in tasks: labels, languages, examples and training questions per language, demonstrations."""
    import pandas as pd

    from .tasks import KINDS, load_task

    rows = []
    for name in KINDS:
        task = load_task(name)
        first = task.languages[0]
        rows.append(
            {
                "task": name,
                "labels": ", ".join(task.labels),
                "languages": len(task.languages),
                "examples": len(task.examples[first]),
                "training_questions": len(task.questions[first]),
                "demonstrations": len(task.wordings[first].demonstrations),
            }
        )
    return pd.DataFrame(rows)


def list_caches(folder: Path | str = ".") -> "pd.DataFrame":
    """Caches in a folder and below it; what should be one and cannot be read is warned of.

    Raises:
        CacheError: no such folder.
    """
    import pandas as pd

    from .activations.inventory import list_caches as search

    entries, errors = search(Path(folder))
    for error in errors:
        log.warning(error)
    return pd.DataFrame(map(asdict, entries))


def list_probes() -> "pd.DataFrame":
    """Probes, and the question that each answers."""
    import pandas as pd

    from .analyses import ANALYSES

    return pd.DataFrame([{"probe": name, "question": analysis.question} for name, analysis in ANALYSES.items()])


def evaluate(
    *caches: Path | str,
    scoring: str = "full",
    limit: int | None = None,
    seed: int = 0,
    on_progress: Progress = silent,
) -> "Tables":
    """Accuracy and AUC with paired tests: tables by name, `accuracy_delta` among them where caches are compared.

    Args:
        caches: the base first, then aligned ones; a condition is called after its file.
        scoring: `full` label sequences, or `paper`: their beginnings.

    Raises:
        CacheError, UsageError: see `probe`.
    """
    from .analyses import Settings
    from .analyses.accuracy import SCORINGS

    if scoring not in SCORINGS:
        raise UsageError(f"--scoring {scoring!r} is none of {', '.join(SCORINGS)}.")
    settings = Settings(limit=limit, seed=seed, scoring=scoring)
    return probe("accuracy", *caches, settings=settings, on_progress=on_progress)


def probe(
    name: str, *caches: Path | str, settings: "Settings | None" = None, on_progress: Progress = silent
) -> "Tables":
    """Run one of `list_probes` on cache files. Returns tidy tables by name; see `analyse` for opened caches.

    Args:
        caches: the base first, then aligned ones; a condition is called after its file.

    Raises:
        CacheError: a file is no cache, or they are of different models, tasks or prompts.
        UsageError: no such probe, two files of one name, or a base that was made with an adapter.
    """
    from .analyses import analyse

    with opened([Path(path) for path in caches]) as conditions:
        return analyse(name, conditions, settings, on_progress)


@contextmanager
def opened(paths: Sequence[Path]) -> "Iterator[Mapping[str, Cache]]":
    """Caches by condition: the first is the base, others are called by their file names.

    Raises:
        UsageError: two files of one name, or a base that was made with an adapter.
    """
    from .activations.store import Cache

    names = ["base", *(path.stem for path in paths[1:])]
    with ExitStack() as stack:
        caches = [stack.enter_context(Cache(path)) for path in paths]
        for name, cache in zip(names, caches, strict=True):
            log.info("%s: %d examples of %s in %s", name, len(cache), cache.attributes["model"], cache.path)
        if len(caches) > 1 and caches[0].attributes["adapter_sha256"]:
            raise UsageError(f"{paths[0]} was made with an adapter. The first cache is the base; give that one first.")
        if len(set(names)) < len(names):
            raise UsageError(f"Conditions are named by their files, and two are alike: {', '.join(names)}. Rename one.")
        yield dict(zip(names, caches, strict=True))


def explain(folder: Path | str) -> "Answers":
    """What the tables of a run say of alignment, and what they cannot.

    Raises:
        StudyError: there are no tables.
    """
    from .results import explanations

    return explanations(Path(folder))


def plot(
    *sources: Path | str,
    out: Path | str,
    languages: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    style: str = "light",
    width: str = "two",
    formats: Sequence[str] = ("png", "pdf"),
    animate: str | None = None,
    probes: Sequence[str] = ("accuracy", "pca"),
    on_progress: Progress = silent,
) -> list[Path]:
    """Draw every figure that tables or caches allow; see `draw_figures` for tables at hand.

    Args:
        sources: folders with CSV tables and single tables, or cache files, the base first.
        languages: those to draw; None: all in the tables.
        layers: the same.
        style: see `draw_figures`, as for width and formats.
        animate: `gif` or `mp4`: projections also as moving pictures, layer after layer.
        probes: what to compute from caches.
        on_progress: each probe, the figures and each moving picture count their own units, one after the other.

    Raises:
        StudyError: there are no tables, or `out` cannot be written.
        UsageError: caches and tables together, nothing that can be drawn, or an option that is not known.
    """
    from .results import draw_animations, draw_figures
    from .viz.tables import select

    tables = select(_tables([Path(source) for source in sources], probes, layers, on_progress), languages, layers)
    paths = draw_figures(tables, Path(out), formats, style, width, on_progress)
    if animate:
        paths += draw_animations(tables, Path(out), animate, style, width, on_progress)
    if not paths:
        raise UsageError(f"No figure can be drawn from {', '.join(tables) or 'no tables'}: other tables are needed.")
    return paths


def _tables(
    sources: Sequence[Path], probes: Sequence[str], layers: Sequence[int] | None, on_progress: Progress
) -> "dict[str, pd.DataFrame]":
    """Tables by name, read from folders and files, or computed from caches."""
    from .analyses import Settings
    from .results import read_table, read_tables

    caches = [source for source in sources if source.suffix == ".h5"]
    if caches and len(caches) < len(sources):
        raise UsageError("Caches and tables do not go together: draw them by two commands.")
    tables: dict[str, pd.DataFrame] = {}
    if caches:
        settings = Settings(layers=None if layers is None else tuple(layers))
        for name in probes:
            tables |= probe(name, *caches, settings=settings, on_progress=on_progress)
    else:
        for source in sources:
            tables |= {source.stem: read_table(source)} if source.suffix == ".csv" else read_tables(source)
    return tables


def report(folder: Path | str, *caches: Path | str, on_progress: Progress = silent) -> Path:
    """Gather tables and figures of a run in report.html, and return its path.

    Args:
        folder: a study's, or the one that probes wrote into.
        caches: those that the probes read, in the same order: single texts, answers and training curves are theirs. A
            study's folder has its own.

    Raises:
        StudyError: there are no tables, one lacks a column, or the page cannot be written.
        CacheError, UsageError: see `probe`; caches for a folder with several tests.
    """
    from .reports.writing import write_report
    from .results import whole

    with whole(Path(folder)):
        if not caches:
            return write_report(Path(folder), on_progress=on_progress)
        with opened([Path(path) for path in caches]) as conditions:
            return write_report(Path(folder), {name: cache.path for name, cache in conditions.items()}, on_progress)
