"""What the caches of a run say of single examples, and of themselves, for its report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from .settings import TestSettings, load_study

if TYPE_CHECKING:
    from .activations.store import Cache

_FINGERPRINTS = ("model_sha256", "tokenizer_sha256", "adapter_sha256", "prompts_sha256")
_VERSIONS = ("babelscope_version", "torch_version", "transformers_version")
_FIELDS = {"full": "full", "paper": "prefix"}  # setting -> field of activations.layout.Scores


@dataclass(frozen=True)
class RunCaches:
    """The caches in `folder`/activations, if there are any; those of a test lie in a folder of its name."""

    folder: Path
    tests: dict[str, TestSettings]

    @classmethod
    def of(cls, run: Path) -> Self:
        """Of a study's folder, or of any other, which has no settings."""
        settings = run / "study.yaml"
        tests = load_study(settings).every_test() if settings.is_file() else {}
        return cls(run / "activations", tests)

    def texts_and_answers(self, test: str) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        """(language, id, label, text) of every example, and (language, id, condition, predicted, probability).

        The probability is that of the predicted label among the labels. (None, None) where there is no base. Conditions
        that read other prompts than the base does (translation pairs in context) are left out.

        Args:
            test: one of a study with several; "" for the only one.

        Raises:
            CacheError: a cache is damaged.
        """
        from .activations.store import Cache

        place = self._place(test)
        if not (place / "base.h5").is_file():
            return None, None
        settings = self.tests.get(test) or next(iter(self.tests.values()), TestSettings())
        answers = []
        with Cache(place / "base.h5") as base:
            examples, prompts = base.examples(), base.attributes["prompts_sha256"]
        for path in _base_first(place):
            with Cache(path) as cache:
                if cache.attributes["prompts_sha256"] == prompts:
                    answers.append(_answers(path.stem, cache, _FIELDS[settings.scoring]))
        return examples[["language", "id", "label", "text"]], pd.concat(answers, ignore_index=True)

    def fingerprints(self) -> dict[str, str]:
        """By cache, in its own words: command, versions, and the sha256 of model, tokenizer, adapter and prompts."""
        from .activations.store import Cache

        found = {}
        own, of_tests = self.folder.glob("*.h5"), self.folder.glob("*/*.h5")
        for path in sorted([*own, *(path for path in of_tests if not path.parent.name.endswith(".shards"))]):
            with Cache(path) as cache:
                told = {"made by": cache.attributes["command"]}
                told |= {name: cache.attributes[name] for name in (*_VERSIONS, *_FINGERPRINTS)}
            lines = [f"{name.replace('_', ' ')}: {value}" for name, value in told.items() if value]
            found[f"cache {path.relative_to(self.folder).with_suffix('')}"] = "\n".join(lines)
        return found

    def _place(self, test: str) -> Path:
        seeds = self.tests[test].demonstration_seeds if test in self.tests else []
        name = f"{test}@{seeds[0]}" if len(seeds) > 1 else test  # probes look at the first one
        return self.folder / name if (self.folder / name).is_dir() else self.folder


def _base_first(place: Path) -> Iterator[Path]:
    yield place / "base.h5"
    yield from (path for path in sorted(place.glob("*.h5")) if path.name != "base.h5")


def _answers(condition: str, cache: "Cache", field: str) -> pd.DataFrame:
    chances = softmax(getattr(cache.scores(), field).astype(np.float64), axis=1)
    return cache.examples()[["language", "id"]].assign(
        condition=condition,
        predicted=np.array(cache.labels)[chances.argmax(axis=1)],
        probability=chances.max(axis=1),
    )
