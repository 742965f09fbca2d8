"""Large tables as small arrays for a web page: whole numbers in base64, one array per layer where a slider picks it."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from .alignment_matrix import by_family
from .alignment_names import NAMES
from .projection_kinds import KINDS

MOST_POINTS = 5000  # of a panel, for the eye rather than the machine
MOST_COORDINATES = 700_000  # points of all panels and layers: 4 MB of the page
MISSING = -32768  # of int16


# column -> what it is called; one that ends in _separate beside it is of pictures that were fitted alone
_MEASURES = {
    "trustworthiness": "trustworthiness",
    "procrustes_disparity": "Procrustes disparity over seeds",
    "displacement": "displacement from the layer before",
    "silhouette_language": "silhouette of languages",
    "silhouette_id": "of meanings",
}


def packed(array: np.ndarray) -> str:
    """Bytes of an array, little-endian, in base64."""
    return base64.b64encode(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()).decode("ascii")


def sampled_ids(
    tables: Mapping[str, pd.DataFrame],
    texts: pd.DataFrame | None,
    n_languages: int,
    n_conditions: int,
    n_studies: int,
) -> tuple[list[str], int]:
    """The ids that the page shows, in order, and how many there are; those that the lens looked at are among them."""
    projected = [tables[kind.points] for kind in KINDS.values() if kind.points in tables]
    every = [i for table in (*projected, texts) if table is not None for i in pd.unique(table["id"])]
    looked_at = pd.unique(tables["logit_lens_examples"]["id"]).tolist() if "logit_lens_examples" in tables else []
    ids = list(dict.fromkeys([*every, *looked_at]))
    panels = sum(table["layer"].nunique() for table in projected) * n_conditions
    room = min(MOST_POINTS // n_studies, MOST_COORDINATES // n_studies // max(panels, 1)) // max(n_languages, 1)
    if len(ids) <= room:
        return ids, len(ids)
    first = set(looked_at)
    # By chance: ids may alternate between labels, and every second one would be of one label.
    drawn = [ids[i] for i in np.random.default_rng(0).permutation(len(ids))]
    kept = set(sorted(drawn, key=lambda i: i not in first)[: max(room, 1)])
    return [i for i in ids if i in kept], len(ids)


def clouds(
    tables: Mapping[str, pd.DataFrame], conditions: Sequence[str], languages: Sequence[str], ids: Sequence[str]
) -> list[dict[str, Any]] | None:
    """Points of each projection: int16 [language, id, axis] by condition and layer, all conditions in one frame.

    `follows`: all layers are in one frame too, and points can be followed over them. Layers whose quality is not known
    are left out, see `unshown`.
    """
    found = []
    for name, position, points, quality in _projections(tables):
        kind = KINDS[name]
        shown = points[points["id"].isin(ids) & points["layer"].isin(quality["layer"])]
        if shown.empty:
            continue
        layers = sorted(int(layer) for layer in pd.unique(shown["layer"]))
        together = (0, 1, 2, 3) if kind.follows else (0, 2, 3)  # axes that share limits
        grid = np.full((len(conditions), len(layers), len(languages), len(ids), 2), np.nan)
        grid[_place(shown, condition=conditions, layer=layers, language=languages, id=ids)] = shown[
            list(kind.coordinates)
        ].to_numpy(float)
        found.append(
            {
                "name": f"{kind.title}, {position}",
                "layers": layers,
                "follows": kind.follows,
                "quality": [_quality(quality[quality["layer"] == layer]) for layer in layers],
                "points": {
                    condition: [packed(layer) for layer in by_layer]
                    for condition, by_layer in zip(conditions, _framed(grid, together), strict=True)
                },
            }
        )
    return found or None


def unshown(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Which pictures the page leaves out, as nothing tells how far to trust them, and the command that does."""
    found = []
    for name, position, points, quality in _projections(tables):
        kind = KINDS[name]
        absent = sorted(set(points["layer"].astype(int)) - set(quality["layer"].astype(int)))
        if absent:
            layers = ", ".join(map(str, absent))
            found.append(
                f"{kind.title}, {position}: layers {layers} are not shown. {kind.quality}.csv does "
                f"not tell how far to trust them; `babelscope probe {name} BASE.h5 ALIGNED.h5 --out DIR` makes "
                "both."
            )
    return found


def _projections(tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
    """Points and their quality, by kind and position."""
    for name, kind in KINDS.items():
        if kind.points in tables:
            quality = tables.get(kind.quality, pd.DataFrame({"layer": [], "position": []}))
            for position, points in tables[kind.points].groupby("position", sort=False):
                yield name, str(position), points, quality[quality["position"] == position]


def _framed(grid: Float[np.ndarray, "condition layer language id 2"], together: tuple[int, ...]) -> np.ndarray:
    """Points stretched to -32767..32767 in both coordinates, with the same limits over the axes `together`."""
    known = np.where(np.isnan(grid), np.inf, grid)
    low = known.min(axis=together, keepdims=True)
    high = np.where(np.isnan(grid), -np.inf, grid).max(axis=together, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    scaled = np.where(high > low, (grid - low) / span, 0.5) * 65534 - 32767
    return np.where(np.isnan(grid), MISSING, scaled.round()).astype(np.int16)


def _quality(rows: pd.DataFrame) -> str:
    """How far to trust the picture, from what its table of quality has."""
    parts = []
    if "explained_variance_ratio" in rows:
        for i, row in enumerate(rows.sort_values("component").head(2).itertuples(), 1):
            parts.append(f"PC{i} {row.explained_variance_ratio:.0%} of variance (stability {row.stability:.2f})")
    for column, name in _MEASURES.items():
        if column in rows:
            separate = f"{column}_separate"
            beside = f" ({rows[separate].mean():.2f} fitted separately)" if separate in rows else ""
            parts.append(f"{name} {rows[column].mean():.2f}{beside}")
    return ", ".join(part for part in parts if "nan" not in part)


def lens(
    table: pd.DataFrame | None, conditions: Sequence[str], languages: Sequence[str], ids: Sequence[str]
) -> dict[str, Any] | None:
    """Likeliest tokens of single examples: index among `tokens` and probability (65535 being 1), in two arrays
    [language, id, layer, rank] of each condition; the ids are those at `ids` of the study's own."""
    if table is None:
        return None
    looked_at = set(pd.unique(table["id"]))
    own = [i for i in ids if i in looked_at]
    shown = table[table["id"].isin(own)]
    layers, ranks = (sorted(int(value) for value in pd.unique(shown[column])) for column in ("layer", "rank"))
    codes, tokens = pd.factorize(shown["token"].fillna("").astype(str))
    shape = (len(conditions), len(languages), len(own), len(layers), len(ranks))
    token, probability = np.zeros(shape, np.uint32), np.zeros(shape, np.uint16)
    place = _place(shown, condition=conditions, language=languages, id=own, layer=layers, rank=ranks)
    token[place] = codes + 1  # 0: none
    probability[place] = (shown["probability"].to_numpy(float) * 65535).round().astype(np.uint16)
    present = set(shown["condition"])
    return {
        "ids": [ids.index(i) for i in own],
        "layers": layers,
        "ranks": len(ranks),
        "tokens": ["", *map(str, tokens)],
        "found": {
            name: {"token": packed(token[i]), "probability": packed(probability[i])}
            for i, name in enumerate(conditions)
            if name in present
        },
    }


def alignment(table: pd.DataFrame | None, conditions: Sequence[str]) -> dict[str, Any] | None:
    """Each measure between all languages: int16 [layer, searching, searched] by condition, from low to high."""
    if table is None:
        return None
    pairs = table[table["language_a"] != table["language_b"]]
    languages = by_family([*pd.unique(pairs["language_a"]), *pd.unique(pairs["language_b"])])
    layers = sorted(int(layer) for layer in pd.unique(pairs["layer"]))
    measures = []
    for (quantity, position), rows in pairs.groupby(["quantity", "position"], sort=False):
        grid = np.full((len(conditions), len(layers), len(languages), len(languages)), np.nan)
        grid[_place(rows, condition=conditions, layer=layers, language_a=languages, language_b=languages)] = rows[
            "value"
        ].to_numpy(float)
        grid = np.where(np.isnan(grid), np.swapaxes(grid, 2, 3), grid)  # a pair that stands once fills both halves
        if not np.isfinite(grid).any():
            continue
        low, high = min(0.0, float(np.nanmin(grid))), float(np.nanmax(grid))
        scaled = (grid - low) / ((high - low) or 1.0) * 32767
        values = np.where(np.isfinite(scaled), scaled.round(), MISSING).astype(np.int16)
        measures.append(
            {
                "name": f"{NAMES.get(str(quantity), str(quantity))}, {position}",
                "low": low,
                "high": high,
                "values": {name: packed(values[i]) for i, name in enumerate(conditions) if np.isfinite(grid[i]).any()},
            }
        )
    return {"languages": languages, "layers": layers, "measures": measures} if measures else None


def _place(table: pd.DataFrame, **axes: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """Where each row stands in an array with these axes, named for columns."""
    found = []
    for column, values in axes.items():
        codes, different = pd.factorize(table[column])
        found.append(pd.Index(values).get_indexer(pd.Index(different))[codes])
    return tuple(found)
