"""A long analysis that was cut short goes on with the parts that it finished."""

from pathlib import Path

import numpy as np
import pytest
from babelscope.analyses.parts import parts


def test_finished_parts_are_kept_until_the_analysis_ends(tmp_path: Path) -> None:
    made: list[int] = []

    def whole(fail_at: int | None, inputs: str = "same") -> list[float]:
        with parts(tmp_path, {"inputs": inputs}) as kept:
            return [float(kept.get(f"layer{i}", lambda i=i: part(i, fail_at)).sum()) for i in range(3)]

    def part(i: int, fail_at: int | None) -> np.ndarray:
        if i == fail_at:
            raise KeyboardInterrupt
        made.append(i)
        return np.full(4, i)

    with pytest.raises(KeyboardInterrupt):
        whole(fail_at=2)
    with pytest.raises(KeyboardInterrupt):
        whole(fail_at=1, inputs="other")  # has no part of the first one's
    assert whole(fail_at=None) == [0, 4, 8]
    assert made == [0, 1, 0, 2]
    assert whole(fail_at=None) == [0, 4, 8]  # what is done is not kept
    assert made == [0, 1, 0, 2, 0, 1, 2]


def test_without_a_folder_nothing_is_kept() -> None:
    with parts(None, {}) as kept:
        assert kept.get("a", lambda: np.ones(2)).sum() == 2
