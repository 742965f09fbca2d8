"""From estimates per condition, language and quantity to the two tidy tables that every layer probe returns."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import DataError
from .statistics import Estimate, holm, paired_delta, percentile_interval

BASE = "base"  # the condition that every difference refers to
ALL = "all"  # in place of a language: all of them together

VALUE_COLUMNS = ("quantity", "value", "ci_low", "ci_high")
DELTA_COLUMNS = ("quantity", "base", "aligned", "delta", "ci_low", "ci_high", "p_value", "p_holm")

Where = Mapping[str, int | str]  # columns that are the same in all rows: the layer, the position


def value_table(
    estimates: Mapping[str, Estimate], languages: Sequence[str], quantities: Sequence[str], where: Where
) -> pd.DataFrame:
    """One row per condition, quantity and language, from estimates whose rows are [language, quantity].

    Columns: language, condition, those of `where`, quantity, value, ci_low, ci_high (95% percentile bootstrap).
    """
    rows: list[dict[str, object]] = []
    for condition, estimate in estimates.items():
        low, high = percentile_interval(estimate.samples)
        for q, quantity in enumerate(quantities):
            for i, language in enumerate(languages):
                numbers = (float(estimate.value[i, q]), float(low[i, q]), float(high[i, q]))
                measured = dict(zip(VALUE_COLUMNS, (quantity, *numbers), strict=True))
                rows.append({"language": language, "condition": condition, **where, **measured})
    return pd.DataFrame(rows, columns=["language", "condition", *where, *VALUE_COLUMNS])


def delta_table(
    estimates: Mapping[str, Estimate], languages: Sequence[str], quantities: Sequence[str], where: Where, n_ids: int
) -> pd.DataFrame:
    """One row per condition but the base, quantity and language: its paired difference from the base over `n_ids` ids.

    Columns: language, condition, those of `where`, quantity, base, aligned, delta, ci_low, ci_high, p_value, p_holm
    (Holm over the languages of one condition and quantity).
    """
    rows: list[dict[str, object]] = []
    for condition, estimate in estimates.items():
        if condition == BASE:
            continue
        delta = paired_delta(estimates[BASE], estimate, n_ids)
        for q, quantity in enumerate(quantities):
            adjusted = holm(delta.p_value[:, q])
            fields = (delta.base, delta.aligned, delta.delta, delta.ci_low, delta.ci_high, delta.p_value)
            for i, language in enumerate(languages):
                numbers = (*(float(field[i, q]) for field in fields), float(adjusted[i]))
                measured = dict(zip(DELTA_COLUMNS, (quantity, *numbers), strict=True))
                rows.append({"language": language, "condition": condition, **where, **measured})
    return pd.DataFrame(rows, columns=["language", "condition", *where, *DELTA_COLUMNS])


def records(
    rows: Sequence[str], names: Mapping[str, object], columns: Sequence[str], numbers: Sequence[np.ndarray]
) -> list[dict[str, object]]:
    """Records of a tidy table, one per language in `rows`: `names` are the same in all, `numbers` are [row] each."""
    return [
        {"language": language} | dict(names) | dict(zip(columns, (x[i].item() for x in numbers), strict=True))
        for i, language in enumerate(rows)
    ]


def require_base(conditions: Mapping[str, object]) -> None:
    """Raise DataError unless one of the conditions is the base that differences refer to."""
    if BASE not in conditions:
        raise DataError(
            f"no condition is called {BASE!r} among {list(conditions)}: differences refer to it; name it so"
        )


def check_parallel(
    arrays: Mapping[str, Float[np.ndarray, "language id feature"]], languages: Sequence[str], what: str
) -> tuple[int, int, int]:
    """The common shape (languages, ids, features) of all conditions' arrays, at least one of each.

    Raises:
        DataError: no condition, repeated languages, other shapes than expected, or numbers that are not finite.
    """
    if not arrays:
        raise DataError(f"{what}: no condition was given, expected at least one")
    if len(set(languages)) != len(languages):
        raise DataError(f"{what}: languages {list(languages)} repeat; expected each once")
    first, reference = next(iter(arrays.items()))
    if reference.ndim != 3 or reference.shape[0] != len(languages) or 0 in reference.shape:
        raise DataError(
            f"{what} of condition {first!r} have shape {reference.shape}, expected [language, id, feature] with "
            f"{len(languages)} languages and nothing empty"
        )
    for condition, array in arrays.items():
        if array.shape != reference.shape:
            raise DataError(
                f"{what} of condition {condition!r} have shape {array.shape}, those of {first!r} {reference.shape}: "
                "conditions must hold the same languages, ids and features"
            )
        if not np.isfinite(array).all():
            language = languages[int(np.argwhere(~np.isfinite(array))[0, 0])]
            raise DataError(f"{what} of condition {condition!r}, language {language!r}, hold NaN or infinity")
    languages_, ids, features = reference.shape
    return languages_, ids, features
