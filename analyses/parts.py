"""Finished parts of a long analysis, kept on disk until the whole is done: a run that was killed goes on there."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_whole
from ..fingerprints import sha256_of


@dataclass(frozen=True)
class Parts:
    """Arrays by name, made once. Without a folder they are made every time."""

    folder: Path | None

    def get(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array `name`, from the folder or else from `make()`."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.npy"
        if path.is_file():
            return np.asarray(np.load(path, allow_pickle=False))
        array = make()
        held = io.BytesIO()
        np.save(held, array, allow_pickle=False)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, held.getvalue())
        return array


@contextmanager
def parts(scratch: Path | None, inputs: Any) -> Iterator[Parts]:
    """Parts of one analysis of `inputs` (anything that JSON can tell); they are removed when it ends without an error.

    Another analysis, or other inputs, have other parts.
    """
    kept = Parts(scratch / sha256_of(inputs)[:16] if scratch else None)
    yield kept
    if kept.folder is not None:
        shutil.rmtree(kept.folder, ignore_errors=True)
