"""Which tokens a lens looks for: those that begin an answer word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..activations.tokens import word_tokens
from ..probes.logit_lens import Asked, padded
from .conditions import Conditions


@dataclass(frozen=True)
class LensWords:
    """By language, in the order of the conditions: sets of tokens that begin words."""

    english: list[list[int]]
    target: list[list[int]]  # of the language's own answer words, without what begins an English one
    right: list[dict[str, list[int]]]  # label -> tokens that begin the word for it, and no other label's
    labels: np.ndarray  # of the cache's rows

    @classmethod
    def of(cls, conditions: Conditions, vocabulary: Mapping[str, Sequence[int]]) -> Self:
        cache = conditions.base
        english, target, right = [], [], []
        for code in conditions.languages:
            own = () if code == "en" else tuple(cache.label_words[code].values())
            of_english, of_own = word_tokens(vocabulary, [cache.labels, own])
            english.append(of_english)
            target.append(of_own)
            answers = dict(zip(cache.labels, cache.answer_words[code], strict=True))
            right.append({label: _only(label, answers, vocabulary) for label in answers})
        return cls(english, target, right, conditions.examples["label"].to_numpy(dtype=str))

    def asked(self, chosen: Sequence[int], rows: np.ndarray) -> Asked:
        """What is asked of the states of some languages, [language, id] being rows of the cache."""
        n = rows.shape[1]
        sets = padded([tokens for i in chosen for tokens in (self.english[i], self.target[i])])
        right = padded([self.right[i][label] for i, of in zip(chosen, rows, strict=True) for label in self.labels[of]])
        words = sets.view(len(chosen), 2, -1).repeat_interleave(n, dim=0)
        return Asked(words, right, [slice(i * n, (i + 1) * n) for i in range(len(chosen))])

    @property
    def without_target(self) -> np.ndarray:
        """Languages that have no token of their own: English, and German with "positiv"."""
        return np.array([not tokens for tokens in self.target])


def _only(label: str, answers: Mapping[str, str], vocabulary: Mapping[str, Sequence[int]]) -> list[int]:
    others = [word for other, word in answers.items() if other != label]
    return word_tokens(vocabulary, [others, [answers[label]]])[1]
