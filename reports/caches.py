"""What the caches of a run say of single examples, and of themselves, for its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from ..settings import TestSettings, load_study

if TYPE_CHECKING:
    from ..activations.store import Cache

_FINGERPRINTS = ("model_sha256", "tokenizer_sha256", "adapter_sha256", "prompts_sha256")
_VERSIONS = ("babelscope_version", "torch_version", "transformers_version")
_FIELDS = {"full": "full", "paper": "prefix"}  # setting -> field of activations.layout.Scores


@dataclass(frozen=True)
class RunCaches:
    """The caches that were given, or else those in `folder`, where those of a test lie in a folder of its name."""

    folder: Path
    tests: dict[str, TestSettings]
    given: Mapping[str, Path]  # by condition, the base first

    @classmethod
    def of(cls, run: Path, given: Mapping[str, Path]) -> Self:
        """Of a study's folder, or of any other, which has no settings."""
        settings = run / "study.yaml"
        tests = load_study(settings).every_test() if settings.is_file() else {}
        return cls(run / "activations", tests, given)

    def texts_and_answers(self, test: str) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        """(language, id, label, text) of every example, and (language, id, condition, predicted, probability).

        The probability is that of the predicted label among the labels. (None, None) where there is no base. Conditions
        that read other prompts than the base does (translation pairs in context) are left out.

        Args:
            test: one of a study with several; "" for the only one.

        Raises:
            CacheError: a cache is damaged.
        """
        from ..activations.store import Cache

        paths = self.given or _by_condition(self._place(test))
        if "base" not in paths:
            return None, None
        settings = self.tests.get(test) or next(iter(self.tests.values()), TestSettings())
        answers = []
        with Cache(paths["base"]) as base:
            examples, prompts = base.examples(), base.attributes["prompts_sha256"]
        for condition, path in paths.items():
            with Cache(path) as cache:
                if cache.attributes["prompts_sha256"] == prompts:
                    answers.append(_answers(condition, cache, _FIELDS[settings.scoring]))
        return examples[["language", "id", "label", "text"]], pd.concat(answers, ignore_index=True)

    def curves(self) -> dict[str, pd.DataFrame]:
        """`training.csv` by adapter: of those beside `folder`, or those with which the given caches were made."""
        from ..activations.store import Cache

        tables = {path.parent.name: path for path in sorted(self.folder.parent.glob("adapters/*/training.csv"))}
        for condition, path in self.given.items():
            with Cache(path) as cache:
                if adapter := cache.attributes["adapter"]:
                    tables[condition] = Path(adapter) / "training.csv"
        return {name: pd.read_csv(path) for name, path in tables.items() if path.is_file()}

    def fingerprints(self) -> dict[str, str]:
        """By cache, in its own words: command, versions, and the sha256 of model, tokenizer, adapter and prompts."""
        from ..activations.store import Cache

        own, of_tests = self.folder.glob("*.h5"), self.folder.glob("*/*.h5")
        there = sorted([*own, *(path for path in of_tests if not path.parent.name.endswith(".shards"))])
        named = self.given or {str(path.relative_to(self.folder).with_suffix("")): path for path in there}
        found = {}
        for name, path in named.items():
            with Cache(path) as cache:
                told = {"made by": cache.attributes["command"]}
                told |= {field: cache.attributes[field] for field in (*_VERSIONS, *_FINGERPRINTS)}
            lines = [f"{field.replace('_', ' ')}: {value}" for field, value in told.items() if value]
            found[f"cache {name}"] = "\n".join(lines)
        return found

    def _place(self, test: str) -> Path:
        seeds = self.tests[test].demonstration_seeds if test in self.tests else []
        name = f"{test}@{seeds[0]}" if len(seeds) > 1 else test  # probes look at the first one
        return self.folder / name if (self.folder / name).is_dir() else self.folder


def _by_condition(place: Path) -> dict[str, Path]:
    """The base first."""
    return {path.stem: path for path in sorted(place.glob("*.h5"), key=lambda path: (path.name != "base.h5", path))}


def _answers(condition: str, cache: "Cache", field: str) -> pd.DataFrame:
    chances = softmax(getattr(cache.scores(), field).astype(np.float64), axis=1)
    return cache.examples()[["language", "id"]].assign(
        condition=condition,
        predicted=np.array(cache.labels)[chances.argmax(axis=1)],
        probability=chances.max(axis=1),
    )
