"""What a layer already knows, read through a map that is trained to read it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from ..activations.tokens import vocabulary_texts
from ..errors import DataError, UsageError
from ..models import open_tokenizer
from ..models.unembedding import Unembedding, open_unembedding
from ..probes.logit_lens import lens_scores, lens_tables
from ..probes.tuned_lens import Translator, constant_translator
from ..progress import Progress, Together
from .conditions import Conditions, Tables, filled
from .lens_packs import BLOCK, Gathered, Pack, PackScores, make_packs, read_states
from .lens_store import FILE, load_translators, save_translators
from .lens_training import train_translators, training_record
from .lens_words import LensWords
from .opening import check_same_model
from .threads import in_threads

HELD_OUT = 0.2  # of the ids; translations of one id are on one side
QUANTITIES = ("english_mass", "target_mass", "entropy_bits", "kl_to_final_bits")


def tuned_lens(conditions: Conditions, on_progress: Progress) -> Tables:
    """A lens per layer, trained on the base's states; compared with the logit lens at other ids' answer positions.

    Trained at all positions where the base's cache has kept them (`--keep last,mean,all`), else at the answer position.
    One lens serves all conditions, so that what differs between them is the states. It is kept in `lenses/`, where a
    later run on the same states finds it. The lens `constant` reads the mean final state of the answer positions,
    whatever the layer holds: what a tuned lens knows beyond it is in the states.

    Raises:
        DataError: fewer than five ids, of which none could be held out.
        UsageError: no layer below the last was chosen.
        CacheError: what is kept is damaged.
    """
    ids = conditions.rows.shape[1]
    if ids < 5:
        raise DataError(f"{conditions.base.path}: a tuned lens needs 5 ids that all languages have; there are {ids}.")
    order = np.random.default_rng(conditions.settings.seed).permutation(ids)
    held_out, seen = (conditions.rows[:, np.sort(part)] for part in np.split(order, [max(1, round(HELD_OUT * ids))]))
    held_out = held_out[:, : conditions.settings.lens_limit]
    name = conditions.base.attributes["model"]
    check_same_model(name, conditions.base)
    head = open_unembedding(name, dtype=conditions.base.attributes["compute_dtype"])
    words = LensWords.of(conditions, vocabulary_texts(open_tokenizer(name)))
    layers = [layer for layer in conditions.layers() if layer < conditions.base.n_layers]
    if not layers:
        raise UsageError("The tuned lens translates layers below the last; --layers names none.")
    packs = make_packs(conditions, held_out.shape[1])
    on_progress = Together(on_progress, len(layers) + 3 * len(packs))

    translators = _translators(conditions, layers, seen, head, on_progress)
    final = read_states(conditions.base, [conditions.base.n_layers], seen, torch.float32)[0]
    constant = dict.fromkeys(layers, constant_translator(final))
    tables = []
    for lens, through in {"logit": {}, "tuned": translators, "constant": constant}.items():
        read = layers[:1] if through is constant else layers  # which reads the same at every layer
        found = _score(conditions, read, held_out, head, words, through, packs, on_progress)
        for layer in layers if through is constant else [None]:
            where = {"lens": lens} | ({} if layer is None else {"layer": layer})
            tables.append([table.assign(**where) for table in _tables(conditions, read, found, words)])
    values, deltas = (pd.concat(column, ignore_index=True) for column in zip(*tables, strict=True))
    return filled({"tuned_lens": values, "tuned_lens_delta": deltas})


def _translators(
    conditions: Conditions,
    layers: Sequence[int],
    rows: Int[np.ndarray, "language id"],
    head: Unembedding,
    on_progress: Progress,
) -> dict[int, Translator]:
    """Those that an earlier run trained on the same, or else new ones, which are kept."""
    scratch = conditions.settings.scratch
    if scratch is None:
        return train_translators(conditions, layers, rows, head, on_progress)
    path, record = scratch.parent / "lenses" / FILE, training_record(conditions, layers, rows)
    if path.is_file():
        kept, trained_on = load_translators(path)
        if trained_on == record:
            on_progress(len(layers), len(layers))
            return kept
    trained = train_translators(conditions, layers, rows, head, on_progress)
    save_translators(path, trained, record)
    return trained


def _score(
    conditions: Conditions,
    layers: Sequence[int],
    rows: Int[np.ndarray, "language id"],
    head: Unembedding,
    words: LensWords,
    through: Mapping[int, Translator],
    packs: Sequence[Pack],
    on_progress: Progress,
) -> dict[str, Gathered]:
    """Lens scores by condition; layers without a translator are read as they are."""

    def score(pack: Pack) -> PackScores:
        chosen, cache = rows[list(pack.languages)], conditions.caches[pack.condition]
        states = read_states(cache, [*layers, cache.n_layers], chosen, torch.float32)
        read = torch.stack([through[n].apply(x) if n in through else x for n, x in zip(layers, states, strict=False)])
        dtype = head.weight.dtype
        found = lens_scores(read.to(dtype), states[-1].to(dtype), head, words.asked(pack.languages, chosen), BLOCK)
        return found, np.zeros(found.entropy_bits.shape, np.float32)

    scored = list(zip(packs, in_threads(score, packs, on_progress), strict=True))
    return {
        name: Gathered.of([scores for pack, scores in scored if pack.condition == name], *rows.shape)
        for name in conditions.caches
    }


def _tables(
    conditions: Conditions, layers: Sequence[int], found: Mapping[str, Gathered], words: LensWords
) -> tuple[pd.DataFrame, pd.DataFrame]:
    s = conditions.settings
    values: list[pd.DataFrame] = []
    deltas: list[pd.DataFrame] = []
    wordless = {code for code, none in zip(conditions.languages, words.without_target, strict=True) if none}
    for n, layer in enumerate(layers):
        scores = {
            name: np.concatenate([of.mass[:, :, n], np.stack([of.entropy_bits, of.kl_to_final_bits], -1)[:, :, n]], -1)
            for name, of in found.items()
        }
        tables = lens_tables(scores, QUANTITIES, conditions.languages, layer, s.draws, s.seed)
        for kept, table in zip((values, deltas), tables, strict=True):
            kept.append(table[~(table["language"].isin(wordless) & (table["quantity"] == "target_mass"))])
    return pd.concat(values, ignore_index=True), pd.concat(deltas, ignore_index=True)
