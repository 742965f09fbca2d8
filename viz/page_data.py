"""What the report's interactive sections show, as plain records in JSON's types: from tables alone, no files."""

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

from ..probes.paired_tables import ALL
from .alignment_matrix import by_family
from .page_arrays import alignment, clouds, lens, packed, sampled_ids, unshown
from .projection_kinds import KINDS
from .style import ALIGNED, BASE, THEMES, condition_tones, language_color, language_marker
from .tables import conditions_in

STEPS = 400  # of a training curve; longer ones are thinned
_OF_CONDITIONS = ("accuracy", *(kind.points for kind in KINDS.values()), "logit_lens_examples", "alignment_matrix")
_SHADES = 33
_DARK = 0.62  # lightness that colours have at least on a dark page
# The base is the paler of the first two on a white page, and must stay the quieter one on a dark page.
_ON_DARK = {BASE.color: BASE.color, ALIGNED.color: "#f2f2f2"}
# name in the page: what it is called, and how its columns are in accuracy.csv and accuracy_delta.csv
_QUANTITIES = {
    "accuracy": ("Accuracy", ("accuracy", "ci_low", "ci_high"), ""),
    "auc": ("AUC", ("auc", "auc_ci_low", "auc_ci_high"), "auc_"),
    "calibrated": (
        "Calibrated accuracy",
        ("accuracy_calibrated", "calibrated_ci_low", "calibrated_ci_high"),
        "calibrated_",
    ),
}


@dataclass(frozen=True)
class Study:
    """One test of a run, as the page shows it.

    `texts`: language, id, label, text, a row per example; `answers`: language, id, condition, predicted, probability;
    both None where there are no caches. `curves`: adapter -> `training.csv`.
    """

    name: str
    tables: Mapping[str, pd.DataFrame]
    texts: pd.DataFrame | None = None
    answers: pd.DataFrame | None = None
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def page_data(studies: Sequence[Study]) -> dict[str, Any]:
    """Everything that the page's scripts read. A section whose table is absent or empty is null."""
    sections = [_sections(study, len(studies)) for study in studies]
    codes = by_family([code for one in sections for code in one["languages"]])
    conditions = list(dict.fromkeys(name for one in sections for name in one["conditions"]))
    tones = condition_tones(conditions)
    return {
        "languages": [
            {"code": code, "marker": language_marker(code), **_tints(language_color(code))} for code in codes
        ],
        "conditions": [{"name": name, **_tints(tones[name].color)} for name in conditions],
        "scales": {"value": _shades("viridis"), "change": _shades(THEMES["light"].diverging)},
        "studies": sections,
    }


def _sections(study: Study, n_studies: int) -> dict[str, Any]:
    tables = {name: table for name, table in study.tables.items() if len(table)}
    named = [table for name, table in tables.items() if name in _OF_CONDITIONS]
    named += [] if study.answers is None else [study.answers]
    conditions = conditions_in(pd.concat([t[["condition"]] for t in named])) if named else ["base"]
    conditions += [name for name in study.curves if name not in conditions]
    found = [t["language"] for t in (*tables.values(), study.texts) if t is not None and "language" in t]
    found += [tables["alignment_matrix"]["language_a"]] if "alignment_matrix" in tables else []
    codes = [str(code) for column in found for code in pd.unique(column)]
    languages = by_family([code for code in codes if code != ALL])  # means over languages are no language
    ids, n_ids = sampled_ids(tables, study.texts, len(languages), len(conditions), n_studies)
    return {
        "name": study.name,
        "languages": languages,
        "conditions": conditions,
        "ids": ids,
        "n_ids": n_ids,
        "accuracy": _accuracy(tables),
        "examples": _examples(study, languages, ids),
        "clouds": clouds(tables, conditions, languages, ids),
        "unshown": unshown(tables),
        "lens": lens(tables.get("logit_lens_examples"), conditions, languages, ids),
        "alignment": alignment(tables.get("alignment_matrix"), conditions),
        "training": [_curve(name, curve) for name, curve in study.curves.items() if len(curve)] or None,
    }


def _accuracy(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]] | None:
    """By quantity: value and interval of each condition and language, and differences from the base."""
    if "accuracy" not in tables:
        return None
    found = []
    for name, columns, prefix in _QUANTITIES.values():
        if not set(columns) <= set(tables["accuracy"]):
            continue
        values: dict[str, dict[str, Any]] = {}
        for row in tables["accuracy"].to_dict("records"):
            value = [plain(row[column]) for column in columns]
            of = {"n": plain(row["n"]), "trained": plain(row["trained"]), "value": value}
            values.setdefault(str(row["condition"]), {})[str(row["language"])] = of
        deltas: dict[str, dict[str, Any]] = {}
        # accuracy's own columns carry no prefix
        fields = [f"{prefix}{column}" for column in ("delta", "ci_low", "ci_high", "p_value", "p_holm")]
        for row in tables["accuracy_delta"].to_dict("records") if "accuracy_delta" in tables else ():
            deltas.setdefault(str(row["condition"]), {})[str(row["language"])] = [plain(row.get(f)) for f in fields]
        found.append({"name": name, "values": values, "deltas": deltas})
    return found


def _examples(study: Study, languages: Sequence[str], ids: Sequence[str]) -> dict[str, Any] | None:
    """Texts [language][id], labels, and each condition's answer with its probability (a byte, 255 being 1)."""
    if study.texts is None or study.answers is None:
        return None
    axes = pd.MultiIndex.from_product([languages, ids])
    texts = study.texts.set_index(["language", "id"]).reindex(axes)
    labels = sorted({*study.texts["label"], *study.answers["predicted"]})
    answered: dict[str, Any] = {}
    for name, own in study.answers.groupby("condition", sort=False):
        rows = own.set_index(["language", "id"]).reindex(axes)
        probability = rows["probability"].fillna(0).to_numpy(float)
        answered[str(name)] = {
            "predicted": packed(_codes(rows["predicted"], labels)),
            "probability": packed((probability * 255).round().astype(np.uint8)),
        }
    return {
        "labels": labels,
        "label": packed(_codes(texts["label"], labels)),
        "text": texts["text"].fillna("").to_numpy(object).reshape(len(languages), len(ids)).tolist(),
        "answers": answered,
    }


def _codes(column: pd.Series, labels: Sequence[str]) -> np.ndarray:
    """Index of each label; 255 where there is none."""
    return pd.Index(labels).get_indexer(pd.Index(column)).astype(np.uint8)  # -1 is 255


def _curve(name: str, curve: pd.DataFrame) -> dict[str, Any]:
    kept = np.unique(np.linspace(0, len(curve) - 1, min(STEPS, len(curve))).round().astype(int))
    of_steps = curve.iloc[kept]
    validated = curve.dropna(subset=["val_loss"])
    return {
        "name": name,
        "training": [[int(step), plain(loss)] for step, loss in zip(of_steps["step"], of_steps["loss"], strict=True)],
        "validation": [
            [int(step), plain(loss)] for step, loss in zip(validated["step"], validated["val_loss"], strict=True)
        ],
    }


def plain(value: Any) -> Any:
    """A cell as JSON knows it; null for what is not a number."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def _tints(color: str) -> dict[str, str]:
    hue, light, saturation = colorsys.rgb_to_hls(*to_rgb(color))
    lighter = to_hex(colorsys.hls_to_rgb(hue, max(light, _DARK), 0.8 * saturation))
    return {"light": color, "dark": _ON_DARK.get(color, lighter)}


def _shades(name: str) -> list[str]:
    return [to_hex(colormaps[name](i / (_SHADES - 1))) for i in range(_SHADES)]
