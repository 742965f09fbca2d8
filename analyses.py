"""Each analysis once: which arrays of the caches a probe needs, and the tidy tables that come out.

Probes know arrays, not files; this is where caches meet them. `ANALYSES` is the list that the CLI and studies offer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from .activations.store import Cache, together
from .activations.tokens import vocabulary_texts, word_tokens
from .errors import DataError, UsageError
from .models import fingerprints, open_tokenizer, resolve
from .probes.accuracy import (
    Answers,
    accuracy_delta_table,
    accuracy_group_table,
    accuracy_table,
    label_prior,
    predicted_share_table,
)
from .probes.alignment import alignment_tables
from .probes.grid import Cell, grid_delta_table, grid_group_table, grid_table, measure
from .probes.logit_lens import lens_scores, lens_tables, top_tokens
from .probes.pca import pca_table
from .probes.umap_projection import umap_table
from .settings import TRANSLATE_TEST
from .tasks import language
from .unembedding import open_unembedding

Tables = dict[str, pd.DataFrame]
Progress = Callable[[int, int], None]
TOP_TOKENS = 5
SCORINGS = {"full": "full", "paper": "prefix"}  # setting -> field of activations.store.Scores


@dataclass(frozen=True)
class Settings:
    """Choices that all analyses share."""

    draws: int = 5000  # bootstrap samples
    seed: int = 0
    pivot: str = "en"  # the language that others are compared with
    layers: tuple[int, ...] | None = None  # None: all for curves, a spread of `panels` for projections
    panels: int = 5
    limit: int | None = None  # ids per language
    scoring: str = "full"  # of answers: full, or paper (see activations.store.Scores)
    lens_limit: int | None = None  # ids per language for the lens, which is the costly one


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


def accuracy(conditions: Conditions, on_progress: Progress) -> Tables:
    """Accuracy, AUC and predicted labels by language; paired differences; means over groups of languages."""
    s = conditions.settings
    answers = {name: read_answers(name, cache, s.scoring, s.limit) for name, cache in conditions.caches.items()}
    base, others = answers["base"], [name for name in answers if name != "base"]
    draws, seed = conditions.settings.draws, conditions.settings.seed
    marked = {name: conditions.trained(name) for name in others}
    marked["base"] = sorted({code for codes in marked.values() for code in codes or ()})

    def concat(make: Callable[[str, list[str]], pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
        tables = [make(name, marked[name] or []) for name in names]
        for name, table in zip(names, tables, strict=True):
            if marked[name] is None and "trained" in table:
                table["trained"] = None
        return pd.concat(tables, ignore_index=True)

    tables = {
        "accuracy": concat(lambda name, codes: accuracy_table([answers[name]], codes, draws, seed), list(answers)),
        "predicted_share": predicted_share_table(list(answers.values())),
    }
    if others:
        tables["accuracy_delta"] = concat(
            lambda name, codes: accuracy_delta_table(base, [answers[name]], codes, draws, seed), others
        )
        groups = concat(lambda name, codes: accuracy_group_table(base, [answers[name]], codes, draws, seed), others)
        unknown = [name for name in others if marked[name] is None]
        tables["accuracy_groups"] = groups[~groups["condition"].isin(unknown) | (groups["group"] == "all")]
    on_progress(1, 1)
    return tables


def read_answers(name: str, cache: Cache, scoring: str, limit: int | None = None) -> Answers:
    """All rows of a cache, whether or not other languages have their ids, with the prior of their language."""
    examples = cache.examples()
    if limit is not None:
        examples = examples.groupby("language", sort=False).head(limit)
    field = SCORINGS[scoring]
    spoken, blank = cache.content_free()
    priors = {
        code: label_prior(getattr(blank, field)[[language == code for language in spoken]])
        for code in dict.fromkeys(spoken)
    }
    return Answers(
        condition=name,
        labels=cache.labels,
        language=examples["language"].to_numpy(dtype=str),
        id=examples["id"].to_numpy(dtype=str),
        truth=np.array([cache.labels.index(label) for label in examples["label"]]),
        logprob=getattr(cache.scores(), field)[examples.index],
        prior=np.stack([priors[code] for code in examples["language"]]),
    )


@dataclass(frozen=True)
class CellFiles:
    """The caches of one condition in one test, one per repeat; see probes.grid.Cell."""

    test: str
    condition: str
    train_set: str
    trained: frozenset[str]
    scoring: str
    caches: tuple[Path, ...]


def grid(
    files: Sequence[CellFiles],
    against: Mapping[str, Sequence[str]],
    settings: Settings,
    translate_test: str | None = None,
) -> Tables:
    """Every condition in every test, beside its base and its control: grid, grid_delta, grid_groups.

    Args:
        against: condition -> the conditions it is compared with.
        translate_test: a language; the base's answers to its examples then stand for those to their translations.
    """
    cells = [_cell(one) for one in files]
    if translate_test is not None:
        cells += [
            oracle for cell in cells if cell.condition == "base" and (oracle := _translated(cell, translate_test))
        ]
        against = {**against, TRANSLATE_TEST: ("base",)}
    measured = measure(cells, settings.draws, settings.seed)
    return _filled(
        {
            "grid": grid_table(measured),
            "grid_delta": grid_delta_table(measured, against),
            "grid_groups": grid_group_table(measured, against, settings.seed),
        }
    )


def _cell(files: CellFiles) -> Cell:
    answers = []
    for path in files.caches:
        with Cache(path) as cache:
            answers.append(read_answers(files.condition, cache, files.scoring))
    return Cell(files.test, files.condition, files.train_set, files.trained, tuple(answers))


def _translated(base: Cell, code: str) -> Cell | None:
    """The base asked in `code` whatever the language: a faultless translator. None where there are no parallels."""
    moved = []
    for answers in base.answers:
        row_of = {i: row for row, (language, i) in enumerate(answers.keys) if language == code}
        if not row_of or any(i not in row_of for i in answers.id.tolist()):
            return None
        rows = [row_of[i] for i in answers.id.tolist()]
        prior = None if answers.prior is None else answers.prior[rows]
        moved.append(replace(answers, condition=TRANSLATE_TEST, logprob=answers.logprob[rows], prior=prior))
    return replace(base, condition=TRANSLATE_TEST, train_set=f"none, asked in {code}", answers=tuple(moved))


def logit_lens(conditions: Conditions, on_progress: Progress) -> Tables:
    """Lens probability of English and of the language's own answer words, entropy, likeliest tokens, by layer.

    Reads the final norm and the unembedding from the model's files; the model itself is not opened.
    """
    name = conditions.base.attributes["model"]
    _check_same_model(name, conditions.base)
    unembed = open_unembedding(name, dtype=conditions.base.attributes["compute_dtype"])
    tokenizer = open_tokenizer(name)
    words = _word_sets(conditions, vocabulary_texts(tokenizer))
    quantities = ("english_mass", "target_mass", "entropy_bits")
    chosen = conditions.rows[:, : conditions.settings.lens_limit]
    layers = conditions.layers()
    values, deltas, likeliest = [], [], []
    for n, layer in enumerate(layers):
        scores = {}
        for condition, cache in conditions.caches.items():
            states = torch.from_numpy(cache.states("last", layer)[chosen]).to(unembed.weight.dtype)
            by_language = [
                lens_scores(states[i], unembed, words[code], chunk=128) for i, code in enumerate(conditions.languages)
            ]
            scores[condition] = np.stack([np.column_stack([s.mass, s.entropy_bits]) for s in by_language])
            for code, s in zip(conditions.languages, by_language, strict=True):
                tokens, probabilities = top_tokens(s.mean_probability, TOP_TOKENS)
                likeliest += [
                    {
                        "language": code,
                        "condition": condition,
                        "layer": layer,
                        "rank": rank + 1,
                        "token": tokenizer.decode([int(token)]),
                        "mean_probability": float(p),
                    }
                    for rank, (token, p) in enumerate(zip(tokens, probabilities, strict=True))
                ]
        value, delta = lens_tables(
            scores, quantities, conditions.languages, layer, conditions.settings.draws, conditions.settings.seed
        )
        values.append(_with_words(value, words))
        deltas.append(_with_words(delta, words))
        on_progress(n + 1, len(layers))
    return _filled(
        {
            "logit_lens": pd.concat(values, ignore_index=True),
            "logit_lens_delta": pd.concat(deltas, ignore_index=True),
            "logit_lens_tokens": pd.DataFrame(likeliest),
        }
    )


def _check_same_model(name: str, cache: Cache) -> None:
    if fingerprints(resolve(name))["model_sha256"] != cache.attributes["model_sha256"]:
        raise DataError(
            f"{cache.path} was made with another version of {name!r} than is here now (model_sha256 differs)."
        )


def _word_sets(conditions: Conditions, vocabulary: Mapping[str, Sequence[int]]) -> dict[str, list[torch.Tensor]]:
    """Per language, the tokens that begin an English answer word and those that begin one of its own."""
    own = conditions.base.label_words
    english = conditions.base.labels
    sets = {}
    for code in conditions.languages:
        found = word_tokens(vocabulary, [english, () if code == "en" else tuple(own[code].values())])
        sets[code] = [torch.tensor(tokens, dtype=torch.long) for tokens in found]
    return sets


def _with_words(table: pd.DataFrame, words: Mapping[str, Sequence[torch.Tensor]]) -> pd.DataFrame:
    """Without the target mass of languages that have no token of their own: English, and German with "positiv"."""
    wordless = [code for code, (_, target) in words.items() if len(target) == 0]
    return table[~(table["language"].isin(wordless) & (table["quantity"] == "target_mass"))]


def pca(conditions: Conditions, on_progress: Progress) -> Tables:
    """Two principal components of each chosen layer, in one basis for all conditions."""

    def fit(states: dict[str, np.ndarray], layer: int, position: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        return pca_table(states, conditions.languages, conditions.ids, layer, position)

    points, variance = _project(conditions, fit, on_progress)
    return {"pca": points, "pca_variance": variance}


def umap(conditions: Conditions, on_progress: Progress) -> Tables:
    """UMAP of each chosen layer, one embedding for all conditions, with trustworthiness and silhouette."""

    def fit(states: dict[str, np.ndarray], layer: int, position: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        return umap_table(states, conditions.languages, conditions.ids, layer, position, conditions.settings.seed)

    points, quality = _project(conditions, fit, on_progress)
    return {"umap": points, "umap_quality": quality}


def _project(
    conditions: Conditions,
    fit: Callable[[dict[str, np.ndarray], int, str], tuple[pd.DataFrame, pd.DataFrame]],
    on_progress: Progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean-pooled states of a spread of layers, as in arXiv 2405.13816."""
    layers = conditions.layers(conditions.settings.panels)
    results = []
    for n, layer in enumerate(layers):
        results.append(fit(conditions.states("mean", layer), layer, "mean"))
        on_progress(n + 1, len(layers))
    points, quality = zip(*results, strict=True)
    return pd.concat(points, ignore_index=True), pd.concat(quality, ignore_index=True)


def alignment(conditions: Conditions, on_progress: Progress) -> Tables:
    """PC1 correlation and translation retrieval with the pivot language, by layer and position."""
    s = conditions.settings
    if s.pivot not in conditions.languages:
        raise UsageError(
            f"Pivot {s.pivot!r} ({language(s.pivot).name}) is not in the cache: {' '.join(conditions.languages)}."
        )
    if len(conditions.languages) < 2:
        raise UsageError(f"Alignment needs a language besides the pivot {s.pivot!r}; {conditions.base.path} has none.")
    todo = [(position, layer) for position in ("last", "mean") for layer in conditions.layers()]
    values, deltas = [], []
    for n, (position, layer) in enumerate(todo):
        value, delta = alignment_tables(
            conditions.states(position, layer), conditions.languages, layer, position, s.pivot, s.draws, s.seed
        )
        values.append(value)
        deltas.append(delta)
        on_progress(n + 1, len(todo))
    return _filled(
        {"alignment": pd.concat(values, ignore_index=True), "alignment_delta": pd.concat(deltas, ignore_index=True)}
    )


def _filled(tables: Tables) -> Tables:
    """The base alone has no differences: no table rather than an empty one."""
    return {name: table for name, table in tables.items() if len(table)}


ANALYSES: dict[str, Callable[[Conditions, Progress], Tables]] = {
    "accuracy": accuracy,
    "logit-lens": logit_lens,
    "pca": pca,
    "umap": umap,
    "alignment": alignment,
}


def analyse(
    name: str,
    caches: Mapping[str, Cache],
    settings: Settings | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Tables:
    """Run one of `ANALYSES` on the caches of one experiment. Returns tidy tables by name.

    Args:
        caches: condition -> opened cache; the one called `base` is what others are compared with.

    Raises:
        UsageError: no such analysis, no base, or a layer or pivot that the caches do not have.
        CacheError: caches of different models, tasks or prompts.
    """
    if name not in ANALYSES:
        raise UsageError(f"Unknown probe {name!r}. Known: {', '.join(ANALYSES)}.")
    return ANALYSES[name](Conditions(caches, settings or Settings()), on_progress)
