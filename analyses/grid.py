"""Every condition in every test of a study, beside its base and its control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..activations.store import Cache
from ..probes.grid import Cell, grid_delta_table, grid_group_table, grid_table, measure
from ..progress import Progress, Steps, silent
from ..settings import TRANSLATE_TEST
from .accuracy import read_answers
from .conditions import Settings, Tables, filled


@dataclass(frozen=True)
class CellFiles:
    """The caches of one condition in one test, one per repeat; see probes.grid.Cell."""

    test: str
    condition: str
    train_set: str
    trained: frozenset[str]
    scoring: str
    caches: tuple[Path, ...]


def grid(
    files: Sequence[CellFiles],
    against: Mapping[str, Sequence[str]],
    settings: Settings,
    translate_test: str | None = None,
    on_progress: Progress = silent,
) -> Tables:
    """Every condition in every test, beside its base and its control: grid, grid_delta, grid_groups.

    Args:
        against: condition -> the conditions it is compared with.
        translate_test: a language; the base's answers to its examples then stand for those to their translations.
    """
    step = Steps(on_progress, len(files) + 4)
    cells = [_cell(one, step) for one in files]
    if translate_test is not None:
        cells += [
            oracle for cell in cells if cell.condition == "base" and (oracle := _translated(cell, translate_test))
        ]
        against = {**against, TRANSLATE_TEST: ("base",)}
    measured = measure(cells, settings.draws, settings.seed)
    step()
    tables = {"grid": grid_table(measured)}
    step()
    tables["grid_delta"] = grid_delta_table(measured, against)
    step()
    tables["grid_groups"] = grid_group_table(measured, against, settings.seed)
    step()
    return filled(tables)


def _cell(files: CellFiles, step: Steps) -> Cell:
    answers = []
    for path in files.caches:
        with Cache(path) as cache:
            answers.append(read_answers(files.condition, cache, files.scoring))
    step()
    return Cell(files.test, files.condition, files.train_set, files.trained, tuple(answers))


def _translated(base: Cell, code: str) -> Cell | None:
    """The base asked in `code` whatever the language: a faultless translator. None where there are no parallels."""
    moved = []
    for answers in base.answers:
        row_of = {i: row for row, (language, i) in enumerate(answers.keys) if language == code}
        if not row_of or any(i not in row_of for i in answers.id.tolist()):
            return None
        rows = [row_of[i] for i in answers.id.tolist()]
        prior = None if answers.prior is None else answers.prior[rows]
        moved.append(replace(answers, condition=TRANSLATE_TEST, logprob=answers.logprob[rows], prior=prior))
    return replace(base, condition=TRANSLATE_TEST, train_set=f"none, asked in {code}", answers=tuple(moved))
