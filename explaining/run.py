"""The tables of one condition beside the base, as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

Tables = Mapping[str, pd.DataFrame]
Row = Mapping[str, Any]
Said = tuple[str, Sequence[str]]  # an answer and the figures behind it


@dataclass(frozen=True)
class Run:
    """The tables of one condition beside the base."""

    tables: Tables
    condition: str

    @property
    def group(self) -> str:
        """What grids call it: its repeats are one."""
        return self.condition.split("@")[0]

    def rows(self, table: str, **values: Any) -> list[Row]:
        """Rows of this condition that have these values (or one of several); none where there is no such table."""
        found = self.tables.get(table, pd.DataFrame())
        for column, value in {"condition": self.condition, **values}.items():
            wanted = value if isinstance(value, tuple) else (value,)
            found = found[found[column].isin(wanted)] if column in found else found.iloc[:0]
        return found.to_dict("records")  # type: ignore[return-value]

    def every(self, table: str) -> list[Row]:
        """All rows of a table, whatever the condition."""
        return self.tables.get(table, pd.DataFrame()).to_dict("records")  # type: ignore[return-value]

    def mean(self, quantity: str) -> Row | None:
        """The difference from the base over the languages that were not trained on, or over all where all were."""
        rows = {row["group"]: row for row in self.rows("accuracy_groups", quantity=quantity)}
        return rows.get("untrained", rows.get("all"))
