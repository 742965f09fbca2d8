"""A study that was never run, for the report's tests: every table that the page reads, with planted values."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from babelscope.viz.page_data import Study
from babelscope.viz.style import LANGUAGES

HOSTILE = "<script>window.hacked = 1</script> \"quoted\" & 'so' \u202eright to left"
LABELS = ("negative", "positive")


def make_study(
    languages: Sequence[str] = tuple(LANGUAGES),
    n_ids: int = 12,
    layers: Sequence[int] = (1, 5, 9),
    conditions: Sequence[str] = ("base", "aligned"),
    name: str = "",
) -> Study:
    """The point of (sw, the last id) stands alone in the top right corner of every panel."""
    rng, ids = np.random.default_rng(0), [f"id{i:03d}" for i in range(n_ids)]
    asked = pd.MultiIndex.from_product([languages, ids], names=["language", "id"]).to_frame(index=False)
    texts = asked.assign(label=np.tile(np.array(LABELS)[np.arange(n_ids) % 2], len(languages)))
    texts["text"] = [f"{HOSTILE} of {i} in {code}" for code, i in zip(asked["language"], asked["id"], strict=True)]
    answers = [
        texts[["language", "id"]].assign(
            condition=condition,
            predicted=texts["label"] if condition == "base" else "positive",
            probability=0.75,
        )
        for condition in conditions
    ]
    axes = [conditions, layers, languages, ids]
    points = pd.MultiIndex.from_product(axes, names=["condition", "layer", "language", "id"]).to_frame(index=False)
    points["position"] = "mean"
    points[["pc1", "pc2"]] = rng.uniform(0, 0.8, (len(points), 2))
    points.loc[(points["language"] == languages[-1]) & (points["id"] == ids[-1]), ["pc1", "pc2"]] = 1.0
    looked_at = ids[:2]
    lens = pd.MultiIndex.from_product(
        [languages, looked_at, conditions, layers, range(1, 6)],
        names=["language", "id", "condition", "layer", "rank"],
    ).to_frame(index=False)
    lens["token"] = [f"{HOSTILE[:8]}{rank}" for rank in lens["rank"]]
    lens["probability"] = 0.5 / lens["rank"]
    tables = {
        "pca": points,
        "pca_variance": _variance(layers),
        "logit_lens_examples": lens,
        "alignment_matrix": _pairs(languages, conditions, layers, rng),
        **_accuracy(languages, conditions, n_ids),
    }
    steps = np.arange(11)
    curve = pd.DataFrame({"step": steps, "loss": 2 - steps / 10, "val_loss": np.where(steps % 5, np.nan, 2.0)})
    return Study(name, tables, texts, pd.concat(answers), dict.fromkeys(conditions[1:], curve))


def _variance(layers: Sequence[int]) -> pd.DataFrame:
    return pd.DataFrame(
        [(layer, "mean", i, 0.5 / i, 1 - i / 100, 0.25, -0.125) for layer in layers for i in (1, 2)],
        columns=[
            *("layer", "position", "component", "explained_variance_ratio", "stability"),
            *("silhouette_language", "silhouette_id"),
        ],
    )


def _pairs(
    languages: Sequence[str], conditions: Sequence[str], layers: Sequence[int], rng: np.random.Generator
) -> pd.DataFrame:
    rows = [
        (a, b, condition, layer, "mean", "retrieval", rng.uniform())
        for a, b, condition, layer in product(languages, languages, conditions, layers)
        if a != b
    ]
    return pd.DataFrame(
        rows, columns=["language_a", "language_b", "condition", "layer", "position", "quantity", "value"]
    )


def _accuracy(languages: Sequence[str], conditions: Sequence[str], n: int) -> dict[str, pd.DataFrame]:
    values = pd.DataFrame(
        [
            (code, condition, code == "en", n, 0.5 + i / 100, 0.4 + i / 100, 0.6 + i / 100)
            for condition in conditions
            for i, code in enumerate(languages)
        ],
        columns=["language", "condition", "trained", "n", "accuracy", "ci_low", "ci_high"],
    )
    deltas = pd.DataFrame(
        [
            (code, condition, (-1) ** i * i / 50, -0.1, 0.1, 0.01, 0.2 if i % 3 else 0.04)
            for condition in conditions[1:]
            for i, code in enumerate(languages)
        ],
        columns=["language", "condition", "delta", "ci_low", "ci_high", "p_value", "p_holm"],
    )
    return {"accuracy": values, "accuracy_delta": deltas}
