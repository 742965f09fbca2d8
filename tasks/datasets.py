"""Any dataset that the Hugging Face library `datasets` opens, through a map of its columns.

A map is a TOML file. Ready ones lie in `data/datasets/` and are called by name (xnli, paws-x); one's own is given as a
path. Its keys are the fields of `Map`; `{language}` and `{split}` may stand in `config` and `files`.
"""

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files as resource_files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError, UsageError
from ..quiet import explaining
from .kinds import KINDS
from .languages import language
from .records import Task
from .rows import Faults, Row
from .tables import SPLITS, task_of_rows


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelMap(_Strict):
    """Where a row's label stands, and what its numbers mean; without names, the column holds our labels."""

    column: str
    names: list[str] | None = None
    skip: list[int | str] = []  # rows with these are left out: -1 stands for "no label" in many datasets


class Map(_Strict):
    """How the columns of a dataset are read as one of our tasks."""

    task: str
    dataset: str  # hub id; or parquet, json, csv for local `files`
    languages: Annotated[list[str], Field(min_length=1)]
    fields: dict[str, str]  # our field -> their column
    label: LabelMap
    splits: dict[str, str] = {"test": "test"}  # ours -> theirs
    config: str | None = None
    files: str | None = None  # local files, in the map's folder: "{language}/{split}.parquet"
    id: str | None = None  # column; None: rows are parallel by their number


@cache
def ready_maps() -> dict[str, Path]:
    folder = Path(str(resource_files(__package__) / "data" / "datasets"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_dataset(name: str, path: Path, faults: Faults) -> Task:
    """Read the task `name` through the map in `path`.

    Raises:
        UsageError: the map is of another task, is wrong, or `datasets` is not installed.
        DataError: the dataset cannot be opened.
    """
    columns = _read_map(name, path)
    return task_of_rows(name, columns.dataset, _rows(columns, path.parent, faults), faults)


def _read_map(name: str, path: Path) -> Map:
    try:
        columns = Map.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a map of columns: {error}") from error
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UsageError(f"{path} is not a map of columns:\n" + "\n".join(faults)) from error
    if columns.task != name:
        raise UsageError(f"{path} maps a dataset to the task {columns.task!r}, not to {name!r}.")
    for code in columns.languages:
        language(code)
    for kind, found, known in (
        ("fields", set(columns.fields), set(KINDS[name].fields)),
        ("label.names", set(columns.label.names or KINDS[name].labels), set(KINDS[name].labels)),
    ):
        if found != known:
            raise UsageError(f"{path}: {kind} are {', '.join(sorted(found))}; expected {', '.join(sorted(known))}.")
    for pattern in filter(None, (columns.config, columns.files)):
        try:
            pattern.format(language="", split="")
        except (KeyError, ValueError, IndexError) as error:
            raise UsageError(f"{path}: {pattern!r} may hold {{language}} and {{split}} and no other braces.") from error
    if "test" not in columns.splits or not set(columns.splits) <= set(SPLITS):
        raise UsageError(f"{path}: splits must have `test` and nothing besides {', '.join(SPLITS)}.")
    return columns


def _rows(columns: Map, folder: Path, faults: Faults) -> Iterator[tuple[str, int, Row]]:
    for code in columns.languages:
        for split, theirs in columns.splits.items():
            table = _open(columns, folder, code, theirs)
            where = f"{columns.dataset} {code} {theirs}"
            wanted = [*columns.fields.values(), columns.label.column, *([columns.id] if columns.id else [])]
            if missing := [column for column in wanted if column not in table.column_names]:
                faults.add(where, 0, missing[0], f"is not among its columns: {', '.join(table.column_names)}")
                continue
            for number, row in enumerate(table, start=1):
                if row[columns.label.column] not in columns.label.skip:
                    yield where, number, _renamed(columns, row, code, split)


def _renamed(columns: Map, row: Row, code: str, split: str) -> Row:
    label, names = row[columns.label.column], columns.label.names
    if names is not None and isinstance(label, int):
        label = names[label] if 0 <= label < len(names) else f"number {label}"
    ours: dict[str, Any] = {field: row[column] for field, column in columns.fields.items()}
    ours |= {"language": code, "split": split, "label": label}
    if columns.id:
        ours["id"] = str(row[columns.id])
    return ours


def _open(columns: Map, folder: Path, code: str, split: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            "The library `datasets` is not installed. Run `pip install 'babelscope[datasets]'`."
        ) from error
    datasets.disable_progress_bars()
    places = {"language": code, "split": split}
    files = None
    if columns.files is not None:
        path = folder / columns.files.format_map(places)
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{path} is outside the folder of the map, {folder}. Put the files beside the map.")
        if not path.is_file():
            raise DataError(f"{path} does not exist; the map names it for {code}, {split}.")
        files = {split: str(path)}
    config = columns.config.format_map(places) if columns.config else None
    with explaining(f"Dataset {columns.dataset!r} ({code}, {split}) cannot be opened", DataError):
        return datasets.load_dataset(columns.dataset, config, data_files=files, split=split)
