"""The model behind a cache, for analyses that must run it again."""

from pathlib import Path

from ..activations.store import Cache
from ..errors import DataError
from ..models import Model, fingerprints, open_model, resolve


def open_base(cache: Cache, device: str) -> Model:
    """The model that `cache` was made with, in the same precision and without its adapter.

    Raises:
        ModelError: it is not here.
        DataError: what is here by that name is not what made the cache.
    """
    name = cache.attributes["model"]
    check_same_model(name, cache)
    return open_model(name, dtype=cache.attributes["compute_dtype"], device=device)


def check_same_model(name: str, cache: Cache) -> None:
    if fingerprints(resolve(name))["model_sha256"] != cache.attributes["model_sha256"]:
        raise DataError(
            f"{cache.path} was made with another version of {name!r} than is here now (model_sha256 differs)."
        )


def adapter_of(cache: Cache) -> Path | None:
    """The adapter that `cache` was made with; None for a cache of the base. See `models.adapted`.

    It is looked for where it was then, and in a study's folder that has moved since.

    Raises:
        DataError: it is not there, or has changed.
    """
    wanted = cache.attributes["adapter_sha256"]
    if not wanted:
        return None
    recorded = Path(cache.attributes["adapter"])
    moved = [above / "adapters" / recorded.name for above in cache.path.resolve().parents[:3]]
    for adapter in (recorded, *moved):
        if adapter.is_dir() and fingerprints(resolve(cache.attributes["model"]), adapter)["adapter_sha256"] == wanted:
            return adapter
    raise DataError(
        f"{cache.path} was made with the adapter {recorded}, which is not there any more, or not the same "
        "(adapter_sha256 differs). Put it back, or cache the adapter that is there."
    )
