"""What happens to answers and to the language of the output when the directions of language are removed or added?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from ..errors import DataError
from ..interventions.bridge import Bridged
from ..interventions.edits import Edit, Places, adding, removing, tokens_between
from ..interventions.generate import continued
from ..interventions.run import label_log_probabilities
from ..probes.answer_estimates import answer_estimates
from ..probes.language_subspace import language_subspace, random_basis, steering_vector
from ..probes.random_controls import control_draw
from ..probes.steering import Edited, share_estimates, steering_tables
from ..progress import Progress, Steps
from ..tasks.identify import identify
from .conditions import Conditions, Tables, filled
from .opening import open_base
from .parts import parts
from .questions import Questions, engine_of, identities, questions

N_IDS = 8  # questions per language whose runs are edited, unless half of the ids is less
DEPTHS = 4  # layers that are edited, spread from the first block to the last, unless the settings name some
EDITS = ("remove", "remove random", "steer", "steer random")
READ = {"last": "last", "question": "mean", "text": "mean"}  # where an edit is made -> cached states it comes from
PREFIX, SAID = 16, 8  # tokens of a text that are read, and tokens that continue it


@dataclass(frozen=True)
class _Directions:
    """What edits at one layer of one language's runs need."""

    basis: Float[torch.Tensor, "direction d_model"]
    along: Float[torch.Tensor, "direction d_model"]  # as many random directions
    origin: Float[torch.Tensor, "d_model"]
    steering: Float[torch.Tensor, "d_model"]  # towards the pivot
    random: Float[torch.Tensor, "d_model"]  # as long

    def edit(self, name: str, layer: int, places: Places) -> Edit:
        return {
            "remove": partial(removing, basis=self.basis, origin=self.origin),
            "remove random": partial(removing, basis=self.basis, origin=self.origin, along=self.along),
            "steer": partial(adding, vector=self.steering),
            "steer random": partial(adding, vector=self.random),
        }[name](layer, places)


Layers = Mapping[int, _Directions]


def subspace(conditions: Conditions, on_progress: Progress) -> Tables:
    """Remove the language subspace, and steer towards the pivot, in every other language's runs, layer by layer.

    Directions come from the later half of the ids, runs are of the first ones. Answers are scored with the edit at the
    answer position (`last`) and at all tokens of the question; `text` is a text's beginning, which the model continues.

    Raises:
        DataError: fewer than two ids.
    """
    s, codes = conditions.settings, conditions.languages
    half = len(conditions.ids) // 2
    if not half:
        raise DataError(f"{conditions.base.path}: directions and runs need ids of their own; two, found one.")
    n_ids = half if s.limit is not None else min(half, N_IDS)
    layers, base = conditions.layers(DEPTHS), open_base(conditions.base, conditions.settings.device)
    asked = questions(Conditions(conditions.caches, replace(s, limit=n_ids)), base, n_ids)
    others = [code for code in codes if code != s.pivot]
    inputs = {"subspace": identities(conditions), "layers": layers, "ids": [half, n_ids], "seed": s.seed, "to": s.pivot}
    runs: list[Edited] = []
    texts: list[pd.DataFrame] = []
    step = Steps(on_progress, len(conditions.caches) * len(others))
    with parts(s.scratch, inputs) as kept:
        for condition in conditions.caches:
            scores, said = [], []
            with engine_of(base, conditions, condition) as engine:
                states = _states(conditions, condition, layers, half)
                for code in others:
                    to = {
                        place: _directions(states[read], codes, code, s.pivot, s.seed) for place, read in READ.items()
                    }
                    language = codes.index(code)
                    answered = partial(_answered, engine, asked, language, to)
                    spoken = partial(_spoken, engine, asked, language, to["text"])
                    scores.append(kept.get(f"{condition}-{code}-answers", answered))
                    said.append(kept.get(f"{condition}-{code}-texts", spoken))
                    step()
            truth = asked.truth[[codes.index(code) for code in others]]
            runs += _answers(np.stack(scores, axis=2), truth, others, layers, condition, s.draws, s.seed)
            table = _texts(base.tokenizer, np.stack(said, axis=1), others, conditions.ids, layers, condition)
            runs += _languages(table, others, s.pivot, layers, condition, s.draws, s.seed)
            texts.append(table)
        values, deltas, changes = steering_tables(runs, others, n_ids)
    return filled(
        {
            "subspace": values,
            "subspace_delta": deltas,
            "subspace_change": changes,
            "subspace_texts": pd.concat(texts, ignore_index=True),
        }
    )


def _states(
    conditions: Conditions, condition: str, layers: Sequence[int], half: int
) -> dict[str, dict[int, Float[np.ndarray, "language id d_model"]]]:
    cache, rows = conditions.caches[condition], conditions.rows[:, half:]
    return {
        position: {layer: cache.states(position, layer)[rows] for layer in layers}
        for position in sorted(set(READ.values()))
    }


def _directions(
    states: Mapping[int, Float[np.ndarray, "language id d_model"]], codes: list[str], code: str, pivot: str, seed: int
) -> dict[int, _Directions]:
    found = {}
    for layer, by_language in states.items():
        space = language_subspace(by_language)
        vector = steering_vector(by_language[codes.index(code)], by_language[codes.index(pivot)])
        width = len(vector)
        draw = control_draw(seed, layer, code)
        along = random_basis(len(space.basis), width, draw)
        (random,) = random_basis(1, width, draw) * np.linalg.norm(vector)
        arrays = (space.basis, along, space.origin, vector, random)
        found[layer] = _Directions(*(torch.from_numpy(array).float() for array in arrays))
    return found


def _ways(layers: Sequence[int]) -> list[tuple[str, int]]:
    return [(edit, layer) for edit in EDITS for layer in layers]


def _answered(engine: Bridged, asked: Questions, language: int, to: Mapping[str, Layers]) -> np.ndarray:
    """Log-probabilities [question, last][1 + way, id, label]; the first of the second axis without an edit."""
    ways = _ways(list(to["last"]))
    labels = asked.labels[language]
    scores = np.zeros((2, 1 + len(ways), len(asked.encoded[language]), len(labels)))
    for i, prompt in enumerate(asked.encoded[language]):
        copies = [prompt.ids] * (1 + len(ways))
        # The earlier one first: what it has run serves the later one.
        for p, (name, span) in enumerate(
            {"question": (prompt.start, prompt.end), "last": (len(prompt.ids) - 1, len(prompt.ids))}.items()
        ):
            edits = [
                to[name][layer].edit(edit, layer, tokens_between([n], *span))
                for n, (edit, layer) in enumerate(ways, start=1)
            ]
            scores[p, :, i] = label_log_probabilities(engine, copies, labels, edits).numpy()
    return scores


def _spoken(engine: Bridged, asked: Questions, language: int, to: Layers) -> np.ndarray:
    """Tokens [1 + way, id, token] that continue each question's beginning; the first without an edit."""
    tokenizer, ways = engine.model.tokenizer, _ways(list(to))
    texts = [tokenizer(prompt.example.text)["input_ids"] for prompt in asked.prompts[language]]
    first = int(texts[0][0] == tokenizer.bos_token_id)  # which carries no language, and much else
    length = min(min(map(len, texts)), first + PREFIX)
    rows = [tuple(text[:length]) for text in texts]
    n = len(rows)
    edits = [
        to[layer].edit(edit, layer, tokens_between(range(k * n, (k + 1) * n), first, length))
        for k, (edit, layer) in enumerate(ways, start=1)
    ]
    # A tokenizer may have special tokens that the model has no logits for.
    special = [token for token in tokenizer.all_special_ids if token < engine.model.unembedding.out_features]
    said = continued(engine, rows * (1 + len(ways)), SAID, edits, special)
    return said.view(1 + len(ways), n, SAID).numpy()


def _answers(
    scores: np.ndarray,
    truth: np.ndarray,
    languages: Sequence[str],
    layers: Sequence[int],
    condition: str,
    draws: int,
    seed: int,
) -> list[Edited]:
    """From scores [position, 1 + way, language, id, label]."""
    runs = []
    for position, by_way in zip(("question", "last"), scores, strict=True):
        plain, *edited = (answer_estimates(one, truth, languages, draws, seed) for one in by_way)
        for (edit, layer), measured in zip(_ways(layers), edited, strict=True):
            runs.append(Edited(condition, position, layer, edit, measured, plain))
    return runs


def _texts(
    tokenizer: object, said: np.ndarray, languages: Sequence[str], ids: Sequence[str], layers: Sequence[int], name: str
) -> pd.DataFrame:
    """language, condition, layer, edit, id, continuation, identified; from tokens [1 + way, language, id, token]."""
    ways = [("none", 0), *_ways(layers)]
    rows = [
        (code, name, layer, edit, ids[i], tokenizer.decode(tokens))  # type: ignore[attr-defined]
        for (edit, layer), by_language in zip(ways, said, strict=True)
        for code, by_id in zip(languages, by_language, strict=True)
        for i, tokens in enumerate(by_id)
    ]
    table = pd.DataFrame(rows, columns=["language", "condition", "layer", "edit", "id", "continuation"])
    return table.assign(identified=table["continuation"].map(identify))


def _languages(
    table: pd.DataFrame, languages: Sequence[str], pivot: str, layers: Sequence[int], name: str, draws: int, seed: int
) -> list[Edited]:
    """Shares of continuations in the run's own language, and in the pivot."""
    own = (table["identified"] == table["language"]).to_numpy()
    other = (table["identified"] == pivot).to_numpy()
    shape = (1 + len(_ways(layers)), len(languages), -1)
    by_way = zip(own.reshape(shape), other.reshape(shape), strict=True)
    plain, *edited = (share_estimates({"own_language": a, "pivot_language": b}, draws, seed) for a, b in by_way)
    return [
        Edited(name, "text", layer, edit, measured, plain)
        for (edit, layer), measured in zip(_ways(layers), edited, strict=True)
    ]
