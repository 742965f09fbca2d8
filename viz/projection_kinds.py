"""The kinds of projection: their tables and coordinates, and what is told of how far to trust them."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

SILHOUETTES = ("silhouette_language", "silhouette_id")


@dataclass(frozen=True)
class Kind:
    """A projection, under the name of the probe that makes it."""

    title: str
    points: str  # tables
    quality: str
    coordinates: tuple[str, str]  # columns of the first
    measures: tuple[str, ...]  # columns of the second, beside the silhouettes
    told: Callable[[pd.DataFrame], list[str]]  # lines, of one layer's rows of the second
    follows: bool = False  # whether places can be compared over layers


def _components(rows: pd.DataFrame) -> list[str]:
    first = rows.sort_values("component").head(2)
    share = " · ".join(f"PC{row.component} {row.explained_variance_ratio:.0%}" for row in first.itertuples())
    stability = " · ".join(f"{value:.2f}" for value in first["stability"])
    return [share, f"stability {stability}", *_silhouettes(rows)]


def _over_seeds(rows: pd.DataFrame) -> list[str]:
    return [f"trustworthiness {rows['trustworthiness'].mean():.2f}", _disparity(rows), *_silhouettes(rows)]


def _over_layers(rows: pd.DataFrame) -> list[str]:
    def beside(column: str, decimals: int) -> str:
        own, separate = rows[[column, f"{column}_separate"]].mean()
        return f"{own:.{decimals}f} ({separate:.{decimals}f})"

    return [
        f"trust {beside('trustworthiness', 3)}",
        _disparity(rows),
        "no layer before" if rows["displacement"].isna().all() else f"displacement {beside('displacement', 2)}",
        f"sil. language {beside('silhouette_language', 2)}",
        f"sil. meaning {rows['silhouette_id'].mean():.2f}",
    ]


def _disparity(rows: pd.DataFrame) -> str:
    return f"Procrustes {rows['procrustes_disparity'].mean():.2f} ({len(rows)} seeds)"


def _silhouettes(rows: pd.DataFrame) -> list[str]:
    language, meaning = (f"{rows[column].mean():.2f}" for column in SILHOUETTES)
    return [f"silhouette: language {language}", f"silhouette: meaning {meaning}"]


KINDS = {
    "pca": Kind(
        "PCA",
        "pca",
        "pca_variance",
        ("pc1", "pc2"),
        ("component", "explained_variance_ratio", "stability"),
        _components,
    ),
    "umap": Kind(
        "UMAP",
        "umap",
        "umap_quality",
        ("umap1", "umap2"),
        ("trustworthiness", "procrustes_disparity"),
        _over_seeds,
    ),
    "aligned-umap": Kind(
        "AlignedUMAP",
        "aligned_umap",
        "aligned_umap_quality",
        ("umap1", "umap2"),
        (
            *("trustworthiness", "trustworthiness_separate", "procrustes_disparity"),
            *("displacement", "displacement_separate", "silhouette_language_separate"),
        ),
        _over_layers,
        follows=True,
    ),
}
