"""What every figure asks of the table it is given: its columns, some rows, and an order of conditions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..errors import DataError, UsageError

SIGNIFICANT = 0.05  # of Holm-adjusted p values, in every figure
SPOKEN = ("language", "language_a", "language_b", "ablated")  # columns that hold languages
POOLED = ("all", "random")  # what stands in them beside languages: means over all, and a control


def select(
    tables: Mapping[str, pd.DataFrame], languages: Sequence[str] | None = None, layers: Sequence[int] | None = None
) -> dict[str, pd.DataFrame]:
    """The rows of some languages and layers; a table of which nothing remains is left out.

    Rows for all languages together remain as they are: they were computed over all. Tables without a column of
    languages, or of layers, keep all their rows. None: whatever there is.

    Raises:
        UsageError: a language or a layer that is in none of the tables.
    """
    for what, columns, wanted in (("language", SPOKEN, languages), ("layer", ("layer",), layers)):
        present = {value for table in tables.values() for column in columns for value in table.get(column, ())}
        for value in wanted or ():
            if value not in present:
                known = ", ".join(map(str, sorted(present - set(POOLED)))) or "none"
                raise UsageError(f"No {what} {value!r} in the tables. They have: {known}.")
    kept = {}
    for name, table in tables.items():
        rows = table
        for columns, wanted in ((SPOKEN, [*(languages or ()), *POOLED] if languages else None), (("layer",), layers)):
            for column in [column for column in columns if wanted and column in rows]:
                rows = rows[rows[column].isin(list(wanted or ()))]
        if len(rows) or not len(table):
            kept[name] = rows
    return kept


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise DataError unless `table` has rows and all `columns`; `what` names the table in the message."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(
            f"{what}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"expected {', '.join(columns)}, found {', '.join(map(str, table.columns)) or 'none'}"
        )
    if table.empty:
        raise DataError(f"{what}: the table has no rows, so there is nothing to draw; was its probe run?")


def rows_where(table: pd.DataFrame, column: str, value: object, what: str) -> pd.DataFrame:
    """The rows whose `column` is `value`.

    Raises:
        DataError: there are none; the message names the values that do occur.
    """
    rows = table[table[column] == value]
    if rows.empty:
        found = ", ".join(map(str, pd.unique(table[column])))
        raise DataError(f"{what}: no rows with {column} = {value!r}; expected one of {found}")
    return rows


def conditions_in(table: pd.DataFrame) -> list[str]:
    """The conditions of a table, `base` first, others in their order of appearance."""
    names = [str(name) for name in pd.unique(table["condition"])]
    return sorted(names, key=lambda name: name != "base")


def grid(table: pd.DataFrame, rows: str, columns: str, value: str) -> pd.DataFrame:
    """`value` with the values of `rows` (in order of appearance) down and those of `columns` (sorted) across.

    Raises:
        DataError: two rows of the table claim the same cell.
    """
    twice = table.duplicated([rows, columns])
    if twice.any():
        first = table[twice].iloc[0]
        raise DataError(f"{value}: {rows} {first[rows]!r}, {columns} {first[columns]!r} occurs twice; expected once")
    wide = table.pivot(index=rows, columns=columns, values=value)
    return wide.loc[list(pd.unique(table[rows]))].astype(np.float64)
