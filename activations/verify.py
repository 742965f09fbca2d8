"""Is every byte of a cache as it was written, and if not, which rows are lost?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..display import Displayed
from ..errors import CacheError
from ..progress import Progress, Steps, silent
from .layout import Shard, first_layer
from .sealed import fault, seal_of
from .store import Cache


@dataclass(frozen=True, repr=False)
class Damage(Displayed):
    """A shard that is not what was written."""

    shard: Shard
    file: str
    what: str
    arrays: tuple[str, ...]  # arrays with layers that cannot be read, such as `states/last: layers 3, 7`


def verify(path: Path | str, on_progress: Progress = silent) -> list[Damage]:
    """Read every byte of a cache and compare all checksums. Empty when everything is as it was written.

    Raises:
        CacheError: the index itself is damaged; see `Cache`.
    """
    with Cache(path) as cache:
        shards = cache.shards if cache.arrays else []  # without states, the index holds everything
        step, damages = Steps(on_progress, len(shards)), []
        for shard, seal in zip(shards, cache.seals, strict=False):
            file = cache.folder / shard.file_name
            what = fault(file) or ("" if seal_of(file) == seal else "whole, but not the file of this cache")
            if what:
                damages.append(Damage(shard, str(file), what, _unreadable(cache, shard)))
            step()
    return damages


def _unreadable(cache: Cache, shard: Shard) -> tuple[str, ...]:
    found = []
    for name in cache.arrays:
        places = enumerate(cache.places(name, shard), first_layer(name))
        layers = [layer for layer, place in places if not _reads(cache, shard, name, place)]
        if layers:
            found.append(f"{name}: layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}")
    return tuple(found)


def _reads(cache: Cache, shard: Shard, array: str, place: np.ndarray) -> bool:
    try:
        cache.read_layer(shard, array, place)
    except CacheError:
        return False
    return True
