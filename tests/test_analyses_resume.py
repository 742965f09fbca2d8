"""Every probe that runs the model again goes on, after a kill or an error, with the parts that it had finished."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.analyses import Settings, Tables, analyse
from babelscope.analyses.parts import Parts
from babelscope.errors import DataError
from babelscope.models import adapted, open_model
from babelscope.tasks import Asking, load_task

PROBES = ("repair", "concept", "patchscopes", "subspace", "attribution", "neurons")
SETTINGS = Settings(draws=20, limit=4, layers=(2,), device="cpu")


@pytest.fixture(scope="module")
def caches(
    tiny_folder: Callable[[str], Path],
    tiny_adapter: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Cache]:
    folder = tmp_path_factory.mktemp("resumed")
    request = Request(load_task("sentiment"), ("en", "zh", "sw"), Asking(shots=1), limit=8, dtype="float32")
    base = open_model(str(tiny_folder("llama")), dtype="float32", device="cpu")
    write_cache(base, request, folder / "base.h5")
    with adapted(base, tiny_adapter()) as model:
        write_cache(model, request, folder / "aligned.h5")
    return {name: Cache(folder / f"{name}.h5") for name in ("base", "aligned")}


@pytest.mark.parametrize(
    ("probe", "conditions"), [*((probe, ("base",)) for probe in PROBES), ("transplant", ("base", "aligned"))]
)
def test_no_finished_part_is_made_again(
    probe: str,
    conditions: tuple[str, ...],
    caches: dict[str, Cache],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed half way, then stopped by an error in its statistics, then run to the end."""
    made: list[str] = []
    get, most = Parts.get, 10**6

    def counted(kept: Parts, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        def once() -> np.ndarray:
            if len(made) == most:
                raise KeyboardInterrupt
            array = make()
            made.append(name)
            return array

        return get(kept, name, once)

    def run(settings: Settings) -> Tables:
        return analyse(probe, {name: caches[name] for name in conditions}, settings)

    monkeypatch.setattr(Parts, "get", counted)
    whole = run(SETTINGS)
    every = made.copy()
    made.clear()
    most, kept = len(every) // 2, replace(SETTINGS, scratch=tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        run(kept)
    assert made == every[:most] != []
    most = 10**6
    with pytest.raises(DataError, match="0 draws"):
        run(replace(kept, draws=0))
    resumed = run(kept)
    assert made == every
    assert list(resumed) == list(whole)
    for name, table in whole.items():
        # What a run shares with the one before rounds otherwise, and p of differences that are next to 0 follow.
        found, expected = (one.drop(columns=["p_value", "p_holm"], errors="ignore") for one in (resumed[name], table))
        pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-5)
    assert not any((tmp_path / "parts").iterdir())
