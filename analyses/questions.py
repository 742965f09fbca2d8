"""The questions of a cache as token rows, for analyses that run the model again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from ..activations.layout import IDENTITY
from ..activations.tokens import EncodedPrompt, encode_labels, encode_prompts
from ..interventions.bridge import Bridged, bridged
from ..models import Model, adapted
from ..tasks import Prompt
from .conditions import Conditions
from .opening import adapter_of


@dataclass(frozen=True)
class Questions:
    """Questions that all languages share, in token rows; the first index is the language, the second the id."""

    prompts: list[list[Prompt]]
    encoded: list[list[EncodedPrompt]]
    words: list[list[str]]  # [language][label]: the answer words
    labels: list[list[tuple[int, ...]]]  # the same as tokens
    truth: Int[np.ndarray, "language id"]  # which label is right


def questions(conditions: Conditions, model: Model, n_ids: int) -> Questions:
    """The first ids of the caches: `n_ids`, or what the settings' limit says."""
    cache = conditions.base
    rows = conditions.rows if conditions.settings.limit is not None else conditions.rows[:, :n_ids]
    everything = cache.prompts()
    prompts = [[everything[row] for row in group] for group in rows]
    encoded = [encode_prompts(model.tokenizer, group, model.context_length) for group in prompts]
    words = [cache.answer_words[code] for code in conditions.languages]
    labels = [
        encode_labels(model.tokenizer, group[0], first[0], said)
        for said, group, first in zip(words, prompts, encoded, strict=True)
    ]
    truth = [[cache.labels.index(prompt.example.label) for prompt in group] for group in prompts]
    return Questions(prompts, encoded, words, labels, np.array(truth))


@contextmanager
def engine_of(base: Model, conditions: Conditions, condition: str) -> Iterator[Bridged]:
    """The model of one condition, bridged; `base` is as it was afterwards."""
    with adapted(base, adapter_of(conditions.caches[condition])) as model, bridged(model) as engine:
        yield engine


def identities(conditions: Conditions) -> dict[str, dict[str, object]]:
    """What made each condition's cache: parts of an analysis are kept under it."""
    return {name: {field: cache.attributes[field] for field in IDENTITY} for name, cache in conditions.caches.items()}
