"""Tables of alignment: what they hold, and intervals against resampling by hand."""

import numpy as np
import pytest
from babelscope.errors import DataError
from babelscope.probes.alignment import matrix_table, mean_tables, pair_tables, pivot_tables
from babelscope.probes.alignment_measures import Contributions, measure
from scipy.stats import pearsonr
from sklearn.decomposition import PCA

LANGUAGES = ("en", "de", "sw")
WHERE = {"layer": 7, "position": "last"}
ITEMS = [[0, 1, 2], [3, 4]]


def states(noise: float = 1.0, languages: int = 3, n: int = 30, d: int = 8, seed: int = 0) -> np.ndarray:
    """Meaning shared by all languages, an offset of each, and noise."""
    rng = np.random.default_rng(seed)
    meaning, offset = 3 * rng.normal(size=(n, d)), rng.normal(size=(languages, 1, d))
    return (meaning + offset + noise * rng.normal(size=(languages, n, d))).astype(np.float32)


def two(items=()) -> dict[str, Contributions]:
    return measure({"base": states(noise=3), "aligned": states(noise=0.3)}, LANGUAGES, items)


def test_columns_and_rows() -> None:
    values, deltas = pivot_tables(two(), LANGUAGES, WHERE, pivot="de", draws=100)
    assert list(values) == ["language", "condition", "layer", "position", "quantity", "value", "ci_low", "ci_high"]
    numbers = ["base", "aligned", "delta", "ci_low", "ci_high", "p_value", "p_holm"]
    assert list(deltas) == ["language", "condition", "layer", "position", "quantity", *numbers]
    quantities = {
        *("retrieval_from_pivot", "retrieval_to_pivot", "mexa", "cka", "anc", "pc1_pearson"),
        *("cosine_gap", "centred_cosine_gap", "centroid_distance"),
    }
    assert set(values["quantity"]) == quantities
    assert len(values) == 2 * 2 * len(quantities)
    assert len(deltas) == 2 * len(quantities)
    assert set(values["language"]) == {"en", "sw"}
    assert values["layer"].eq(7).all()
    assert (values["ci_low"] <= values["value"]).all()
    assert (values["value"] <= values["ci_high"]).all()
    np.testing.assert_allclose(deltas["delta"], deltas["aligned"] - deltas["base"], atol=1e-12)
    assert deltas[deltas["quantity"] != "centroid_distance"]["delta"].gt(0).all()
    assert (deltas["p_holm"] >= deltas["p_value"]).all()


def test_the_tables_agree_with_the_matrix() -> None:
    """With the pivot: its row and column. With others: the mean of a language's pairs. Overall: the mean of all."""
    measured = two(ITEMS)
    matrix = matrix_table(measured, LANGUAGES, WHERE)
    at = matrix.set_index(["condition", "quantity", "language_a", "language_b"])["value"].sort_index()
    assert len(at) == 2 * (2 * 6 + 7 * 3 + 3)  # two directed measures, seven of pairs, one of a language
    pivot = pivot_tables(measured, LANGUAGES, WHERE, "de", 100)[0].set_index(["condition", "quantity", "language"])
    pairs = pair_tables(measured, LANGUAGES, WHERE, 100)[0].set_index(["condition", "quantity", "language"])
    mean = mean_tables(measured, WHERE, 100)[0].set_index(["condition", "quantity"])
    assert "language" not in mean
    for way, key in (("from", ("de", "sw")), ("to", ("sw", "de"))):
        assert pivot.loc[("base", f"dali_{way}_pivot", "sw"), "value"] == pytest.approx(
            at["base", "dali", *key], abs=1e-5
        )
    assert pivot.loc[("aligned", "cka", "sw"), "value"] == pytest.approx(at["aligned", "cka", "de", "sw"], abs=1e-5)
    en = [at["base", "retrieval", a, b] for a, b in (("en", "de"), ("de", "en"), ("en", "sw"), ("sw", "en"))]
    assert pairs.loc[("base", "retrieval", "en"), "value"] == pytest.approx(np.mean(en), abs=1e-5)
    assert pairs.loc[("base", "anisotropy", "sw"), "value"] == pytest.approx(
        at["base", "anisotropy", "sw", "sw"], abs=1e-5
    )
    for name in ("mexa", "retrieval", "anisotropy"):
        assert mean.loc[("aligned", name), "value"] == pytest.approx(at["aligned", name].mean(), abs=1e-5)


def test_intervals_of_hits_and_of_pc1_equal_resampling() -> None:
    array = states(noise=3, n=100)
    measured = measure({"base": array}, LANGUAGES)
    values, _ = pivot_tables(measured, LANGUAGES, WHERE, draws=2000, seed=5)
    found = values.set_index(["quantity", "language"])
    counts = np.random.default_rng(5).multinomial(100, np.full(100, 1 / 100), size=2000)
    drawn = counts @ measured["base"]["retrieval"][0, 2] / 100
    row = found.loc[("retrieval_from_pivot", "sw")]
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), np.quantile(drawn, [0.025, 0.975]), atol=1e-6)
    scores = PCA(1, svd_solver="full").fit_transform(array.reshape(-1, 8).astype(np.float64)).reshape(3, 100)
    drawn = [pearsonr(*np.repeat(scores[[0, 2]], c, axis=1)).statistic for c in counts]
    row = found.loc[("pc1_pearson", "sw")]  # to first order: not the skew
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), np.quantile(drawn, [0.025, 0.975]), atol=0.03)


def test_intervals_of_cka_cover_the_truth() -> None:
    """Fresh samples of one population: the interval of each holds the value of a very large sample 19 times in 20."""
    truth = measure({"base": states(noise=3, n=3000, seed=99)}, LANGUAGES)["base"]["cka"].mean(axis=-1)[0, 1]
    inside = []
    for seed in range(60):
        one = measure({"base": states(noise=3, n=120, seed=seed)}, LANGUAGES)
        values = pivot_tables(one, LANGUAGES, WHERE, draws=400)[0].set_index(["quantity", "language"])
        inside.append(values.loc[("cka", "de"), "ci_low"] <= truth <= values.loc[("cka", "de"), "ci_high"])
    assert 0.85 <= np.mean(inside) <= 1


def test_order_of_ids_changes_no_value() -> None:
    order = np.random.default_rng(0).permutation(30)
    first, second = (
        pair_tables(measure({"base": states(2)[:, o], "aligned": states(1)[:, o]}, LANGUAGES), LANGUAGES, WHERE, 50)
        for o in (np.arange(30), order)
    )
    np.testing.assert_allclose(first[0]["value"], second[0]["value"], atol=1e-5)
    np.testing.assert_allclose(first[1]["delta"], second[1]["delta"], atol=1e-5)


def test_no_change_is_no_difference() -> None:
    measured = measure({"base": states(), "aligned": states()}, LANGUAGES, ITEMS)
    for deltas in (
        pivot_tables(measured, LANGUAGES, WHERE, draws=100)[1],
        pair_tables(measured, LANGUAGES, WHERE, draws=100)[1],
        mean_tables(measured, WHERE, draws=100)[1],
    ):
        assert deltas[["delta", "ci_low", "ci_high"]].eq(0).all(axis=None)
        assert deltas[["p_value", "p_holm"]].eq(1).all(axis=None)


def test_a_language_that_never_varies_leaves_the_others_defined(recwarn: pytest.WarningsRecorder) -> None:
    array = states()
    array[1] = array[1, :1]
    values, _ = pair_tables(measure({"base": array}, LANGUAGES), LANGUAGES, WHERE, draws=50)
    cka = values[values["quantity"] == "cka"].set_index("language")["value"]
    assert cka.isna().to_dict() == {"en": False, "de": True, "sw": False}
    mean = mean_tables(measure({"base": array}, LANGUAGES), WHERE, draws=50)[0].set_index("quantity")["value"]
    assert mean["cka"] == pytest.approx(cka["en"])
    assert not list(recwarn)


@pytest.mark.parametrize(
    ("conditions", "languages", "message"),
    [
        ({"base": states()}, ("fr", "de", "sw"), r"pivot 'en' is not among the languages \['fr'"),
        ({"aligned": states()}, LANGUAGES, "no condition is called 'base' among"),
        ({}, LANGUAGES, "no condition was given"),
        ({"base": states()}, ("en", "de"), r"shape \(3, 30, 8\), expected .* 2 languages"),
        ({"base": states()}, ("en", "de", "de"), "repeat"),
        ({"base": states(), "aligned": states(n=29)}, LANGUAGES, r"'aligned' have shape \(3, 29, 8\), those of 'base'"),
        ({"base": states() * np.float32([[[1]], [[np.nan]], [[1]]])}, LANGUAGES, "language 'de', hold NaN"),
    ],
)
def test_malformed_input_is_refused(
    conditions: dict[str, np.ndarray], languages: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        pivot_tables(measure(conditions, languages), languages, WHERE, draws=10)
