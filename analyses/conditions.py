"""Caches of one experiment, and the choices that all analyses share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..activations.store import Cache, together
from ..display import Displayed
from ..errors import CacheError, DataError, UsageError

Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Settings(Displayed):
    """Choices that all analyses share."""

    draws: int = 5000  # bootstrap samples
    seed: int = 0
    pivot: str = "en"  # the language that others are compared with
    layers: tuple[int, ...] | None = None  # None: all for curves, a spread of `panels` for projections
    panels: int = 5
    limit: int | None = None  # ids per language
    scoring: str = "full"  # of answers: full, or paper (see activations.layout.Scores)
    lens_limit: int | None = None  # ids per language for the lens, which is the costly one
    device: str = "auto"  # of analyses that run the model
    corpus: Path | None = None  # folder of CODE.txt, a text a line, for analyses that want running text
    scratch: Path | None = None  # where long analyses keep finished parts until the whole is done; None: nowhere


@dataclass(frozen=True)
class Conditions:
    """Caches of one experiment, by condition, and the rows in which all languages speak of the same ids."""

    caches: Mapping[str, Cache]
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        if "base" not in self.caches:
            raise UsageError(f"No cache stands for the condition 'base' among {', '.join(self.caches)}.")
        together(self.caches.values())
        ordered = {"base": self.caches["base"], **self.caches}
        object.__setattr__(self, "caches", ordered)  # the base first, however the mapping was written

    @property
    def base(self) -> Cache:
        return self.caches["base"]

    @cached_property
    def examples(self) -> pd.DataFrame:
        return self.base.examples()

    @cached_property
    def languages(self) -> list[str]:
        return list(dict.fromkeys(self.examples["language"]))

    @cached_property
    def ids(self) -> list[str]:
        """Ids that every language has, in the order of the first one."""
        by_language = [set(group["id"]) for _, group in self.examples.groupby("language")]
        common = set.intersection(*by_language)
        ids = [i for i in self.examples.loc[self.examples["language"] == self.languages[0], "id"] if i in common]
        if not ids:
            raise DataError(f"{self.base.path}: no id is in every language, so nothing is parallel.")
        return ids[: self.settings.limit]

    @cached_property
    def rows(self) -> np.ndarray:
        """Row of the cache for each [language, id]."""
        row_of = {key: row for row, key in enumerate(zip(self.examples["language"], self.examples["id"], strict=True))}
        return np.array([[row_of[code, i] for i in self.ids] for code in self.languages])

    def require(self, positions: Sequence[str], pivot: bool) -> None:
        """Check what an analysis needs before it begins.

        Raises:
            CacheError: a cache has not kept a position.
            UsageError: the pivot, or another language beside it, is not in the caches.
        """
        for cache in self.caches.values():
            if missing := set(positions) - set(cache.positions):
                kept = ", ".join(cache.arrays) or "scores alone"
                raise CacheError(
                    f"{cache.path} has no states at {' and '.join(sorted(missing))}; it has {kept}. "
                    "Cache them with --keep last,mean."
                )
        if pivot and (self.settings.pivot not in self.languages or len(self.languages) < 2):
            raise UsageError(
                f"The pivot {self.settings.pivot!r} is compared with other languages; {self.base.path} has "
                f"{' '.join(self.languages)}. Choose another --pivot, or cache more languages."
            )

    def trained(self, condition: str) -> list[str] | None:
        """Languages in the training pairs of a condition's adapter; None for an adapter of unknown making."""
        attributes = self.caches[condition].attributes
        languages: list[str] = attributes["trained_languages"]
        return languages if languages or not attributes["adapter_sha256"] else None

    def states(self, position: str, layer: int) -> dict[str, Float[np.ndarray, "language id d_model"]]:
        return {name: cache.states(position, layer)[self.rows] for name, cache in self.caches.items()}

    def layers(self, spread: int | None = None) -> list[int]:
        """The chosen layers, or all, or `spread` of them from the first block to the last."""
        n = self.base.n_layers
        if self.settings.layers is not None:
            for layer in self.settings.layers:
                if not 0 <= layer <= n:
                    raise UsageError(f"Layer {layer} was asked for; {self.base.path} has layers 0 to {n}.")
            return list(self.settings.layers)
        if spread is None or spread > n:
            return list(range(n + 1))
        return sorted({round(x) for x in np.linspace(1, n, spread)})


def filled(tables: Tables) -> Tables:
    """The base alone has no differences: no table rather than an empty one."""
    return {name: table for name, table in tables.items() if len(table)}
