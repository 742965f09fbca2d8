"""Which neurons serve which languages, before and after alignment, and what languages lose without them."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ..activations.neurons import count_active, n_special, silenced
from ..activations.surprisal import EncodedTexts, bits, encode_texts
from ..errors import UsageError
from ..models import Model, adapted
from ..probes.neuron_ablation import Ablation, ablation_tables, random_neurons
from ..probes.neurons import LanguageNeurons, change_tables, language_neurons, layer_table, neuron_table, overlap_table
from ..progress import Progress, Steps
from .conditions import Conditions, Tables, filled
from .corpus import corpus
from .opening import adapter_of, open_base
from .parts import Parts, parts
from .questions import identities

FOLDS = 8  # parts of the texts over which neurons are counted: how far their halves agree tells what the sets are worth
TEXTS = 80  # per language, unless the settings have a limit
TESTED = 10  # of them: those that ablations are tested on, and nothing is counted over
TESTED_TOKENS = 16  # of each such text: more texts rather than longer ones, because intervals are over texts


def neurons(conditions: Conditions, on_progress: Progress) -> Tables:
    """LAPE and the three classes in every condition, their change, and the cost in bits per byte of losing them.

    Neurons are counted over the texts of `corpus` but the last `TESTED` of each language (under half of them if they
    are few), on whose beginnings ablations are tested.

    Raises:
        DataError, UsageError: see `corpus`; fewer than two languages.
    """
    s, languages = conditions.settings, conditions.languages
    if len(languages) < 2:
        raise UsageError(
            f"Neurons of a language are told from those of others; {conditions.base.path} has one language."
        )
    texts = corpus(conditions, TEXTS)
    base = open_base(conditions.base, s.device)
    n_tested = max(1, min(TESTED, (min(map(len, texts.values())) - 1) // 2))
    counted = [encode_texts(base.tokenizer, texts[code][:-n_tested]).rows for code in languages]
    tested = [encode_texts(base.tokenizer, texts[code][-n_tested:], TESTED_TOKENS) for code in languages]
    n_folds = min(FOLDS, min(map(len, counted)) // 2 * 2)
    folds = [[rows[fold::n_folds] for rows in counted] for fold in range(n_folds)]
    tokens = np.array([[sum(len(row) - n_special(base, rows) for row in rows) for rows in fold] for fold in folds])
    progress = Steps(on_progress, len(conditions.caches) * (len(languages) * (n_folds + 2) + 1))
    counts: dict[str, np.ndarray] = {}
    found: dict[str, LanguageNeurons] = {}
    ablations: dict[str, Ablation] = {}
    inputs = {"neurons": identities(conditions), "texts": texts, "folds": n_folds, "tested": n_tested, "seed": s.seed}
    with parts(s.scratch, inputs) as kept:
        for name, cache in conditions.caches.items():
            make = _Making(kept, name, progress)
            with adapted(base, adapter_of(cache)) as model:
                counts[name] = _counts(model, folds, languages, make)
                found[name] = language_neurons(counts[name].sum(0), tokens.sum(0))
                ablations[name] = _ablation(model, tested, found[name], languages, s.seed, make)
        changes, classes = change_tables(counts, tokens, languages)
        pairs, selectivity, selectivity_delta = ablation_tables(ablations, languages, s.draws, s.seed)

    def every(table: Callable[[LanguageNeurons, Sequence[str], str], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([table(one, languages, name) for name, one in found.items()], ignore_index=True)

    return filled(
        {
            "neurons": every(neuron_table),
            "neurons_by_layer": every(layer_table),
            "neurons_overlap": every(overlap_table),
            "neurons_change": changes,
            "neurons_classes": classes,
            "neurons_ablation": pairs,
            "neurons_selectivity": selectivity,
            "neurons_selectivity_delta": selectivity_delta,
        }
    )


class _Making:
    """Makes the parts of one condition, or takes them from where they are kept."""

    def __init__(self, kept: Parts, condition: str, done: Callable[[], None]) -> None:
        self.kept, self.condition, self.done = kept, condition, done

    def __call__(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        array = self.kept.get(f"{self.condition}-{name}", make)
        self.done()
        return array


def _counts(
    model: Model, folds: Sequence[Sequence[Sequence[tuple[int, ...]]]], languages: Sequence[str], make: _Making
) -> np.ndarray:
    """How often each neuron is active: [fold, language, layer, neuron]."""
    return np.stack(
        [
            np.stack(
                [
                    make(f"active-{code}-{fold}", partial(count_active, model, rows))
                    for code, rows in zip(languages, by_language, strict=True)
                ]
            )
            for fold, by_language in enumerate(folds)
        ]
    )


def _ablation(
    model: Model,
    texts: Sequence[EncodedTexts],
    found: LanguageNeurons,
    languages: Sequence[str],
    seed: int,
    make: _Making,
) -> Ablation:
    everything = [row for one in texts for row in one.rows]
    n_bytes = np.stack([one.n_bytes for one in texts])

    def without(chosen: np.ndarray, rows: Sequence[tuple[int, ...]]) -> np.ndarray:
        with silenced(model, chosen):
            return bits(model, rows)

    whole = make("bits", partial(bits, model, everything)).reshape(n_bytes.shape) / n_bytes
    costly, random = [], []
    for i, (code, mine) in enumerate(zip(languages, found.active, strict=True)):
        costly.append(make(f"without-{code}", partial(without, mine, everything)).reshape(n_bytes.shape) / n_bytes)
        control = partial(without, random_neurons(mine, seed, code), texts[i].rows)
        random.append(make(f"random-{code}", control) / n_bytes[i])
    return Ablation(whole, np.stack(costly), np.stack(random), found.active.sum((1, 2)))
