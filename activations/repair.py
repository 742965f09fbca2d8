"""Capture again what a cache has lost, and nothing else."""

from collections.abc import Callable
from pathlib import Path

from ..errors import CacheError
from ..files import working_in
from ..models import Model, fingerprints
from ..progress import Progress, Together, silent
from .cache import capture_shard
from .index import PromptTable, write_index
from .layout import IDENTITY, check_same
from .sealed import seal_of
from .shards import read_stored
from .store import Cache
from .verify import Damage, verify


def repair(
    path: Path | str,
    open_model: Callable[[], Model],
    on_progress: Progress = silent,
) -> list[tuple[Damage, bool]]:
    """Capture the rows of damaged and missing shards again, from the prompts that the cache holds.

    Returns what was damaged, and whether each shard has the same bytes as before: with another machine, number of
    threads or version of torch the last digits may differ; the index then gets the new checksums.

    Args:
        open_model: called only if there is something to do.

    Raises:
        CacheError: the model or adapter is not the one that made the cache.
        BusyError: another process writes to the cache.
    """
    path = Path(path)
    damages = verify(path)
    if not damages:
        return []
    model = open_model()
    with Cache(path) as cache, working_in(cache.folder, CacheError):
        attributes, prompts = cache.attributes, cache.prompts()
        _check_model(model, attributes, path)
        identity = {field: attributes[field] for field in IDENTITY}
        seals, repaired = cache.seals, []
        tell = Together(on_progress, sum(damage.shard.end - damage.shard.begin for damage in damages))
        for damage in damages:
            shard = damage.shard
            own, words = prompts[shard.begin : shard.end], cache.answer_words[shard.language]
            capture_shard(model, own, words, shard, Path(damage.file), identity, attributes["compression"], tell)
            repaired.append((damage, seal_of(Path(damage.file)) == seals[shard.number]))
        if not all(same for _, same in repaired):
            arrays = [cache.shape_of(name) for name in cache.arrays]
            new = {d.shard.number: read_stored(Path(d.file), d.shard, arrays, identity) for d in damages}
            stored = [new.get(shard.number) or cache.stored(shard) for shard in cache.shards]
            write_index(
                path,
                cache.folder,
                cache.shards,
                stored,
                arrays,
                PromptTable.of(prompts),
                cache.content_free(),
                attributes,
            )
    return repaired


def _check_model(model: Model, attributes: dict[str, object], path: Path) -> None:
    now = fingerprints(model.folder, model.adapter) | {"compute_dtype": model.precision.name}
    check_same(attributes, now, path, "Repair needs the model, adapter and dtype that made the cache.")
