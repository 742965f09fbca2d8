"""What must be true of everything that is printed on a terminal of 80 columns."""

from collections.abc import Iterable, Mapping

from rich.cells import cell_len

WIDTH = 80


def assert_fits(printed: str, rows: Iterable[Mapping[str, object]]) -> None:
    """No line is wider, and every number of the rows stands there whole."""
    wide = [line for line in printed.splitlines() if cell_len(line.rstrip()) > WIDTH]
    assert wide == []
    words = set(printed.split())
    for row in rows:
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert (f"{value:.4g}" if isinstance(value, float) else str(value)) in words, (name, value)
