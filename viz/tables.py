"""What every figure asks of the table it is given: its columns, some rows, and an order of conditions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import DataError

SIGNIFICANT = 0.05  # of Holm-adjusted p values, in every figure


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
