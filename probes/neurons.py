"""Which neurons serve which languages: LAPE, three classes, and how far the classes can be trusted.

LAPE (language activation probability entropy) is of Tang et al. 2024 (arXiv 2402.16438), the three classes are of Zhang
et al. 2025 (arXiv 2505.21505). Layers are counted as in caches: block i is layer i, from 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.special import entr

from ..errors import DataError
from .paired_tables import BASE, require_base

CLASSES = ("general", "specific", "related")
EVERY = "all"  # in the column `language`: neurons whatever their languages
RATE = 0.01  # share of neurons, those of least entropy, that can be a language's
QUANTILE = 0.95  # of all activation probabilities: above it a neuron is active in a language


@dataclass(frozen=True)
class LanguageNeurons:
    """What was found in one condition.

    lape: entropy in bits over languages of the normalised activation probability, in [0, log2(languages)].
    probability: of an activation above 0, in [0, 1].
    active: the languages of each language neuron; none for general neurons.
    """

    lape: Float[np.ndarray, "layer neuron"]
    probability: Float[np.ndarray, "language layer neuron"]
    active: Bool[np.ndarray, "language layer neuron"]

    @property
    def classes(self) -> Int[np.ndarray, "layer neuron"]:
        """Index into `CLASSES`: specific to one language, related to several but not all, or general."""
        return np.asarray(np.minimum(self.active.sum(0), 2))


def language_neurons(
    counts: Int[np.ndarray, "language layer neuron"],
    tokens: Int[np.ndarray, "language"],
    rate: float = RATE,
    quantile: float = QUANTILE,
) -> LanguageNeurons:
    """Language neurons from how many of a language's tokens each neuron is active at.

    With p[language] = counts / tokens: LAPE is the entropy of p / sum(p). Neurons that are nowhere active, that is with
    no p above the `quantile` of all p, are out; of the others the `rate` x all neurons of least LAPE are candidates, as
    in Tang et al. A candidate serves the languages in which it is active: one makes it specific, several related, and
    all of them general, as every neuron that is no candidate (Zhang et al.; the bonus for a high p that they take from
    the entropy, its weight tuned until no candidate is active in all languages, is left out).

    Raises:
        DataError: fewer than two languages, a language without tokens, or counts above the tokens.
    """
    if len(counts) < 2:
        raise DataError(f"Language neurons need at least two languages to tell apart; counts are of {len(counts)}.")
    if (tokens < 1).any() or (counts > tokens[:, None, None]).any() or (counts < 0).any():
        raise DataError(
            "Counts of active neurons must lie between 0 and each language's number of tokens, which must be positive; "
            f"tokens are {tokens.tolist()}, counts reach {counts.max(axis=(1, 2)).tolist()}."
        )
    p = counts / tokens[:, None, None]
    total = p.sum(0)
    alive = total > 0
    # The entropy of p / total is log(total) + sum(-p log p) / total: no array of the shares is needed.
    lape = np.divide(entr(p).sum(0), total, out=np.zeros_like(total), where=alive)
    lape = np.maximum(lape + np.log(total, out=np.zeros_like(total), where=alive), 0) / np.log(2)
    nth = round(quantile * p.size) - 1
    above = p > np.partition(p.ravel(), nth)[nth]
    ranked = np.where(above.any(0), lape, np.inf)
    least = np.argsort(ranked, axis=None, kind="stable")[: round(rate * lape.size)]
    candidate = np.zeros(lape.shape, dtype=bool)
    candidate.ravel()[least] = True
    candidate &= np.isfinite(ranked) & ~above.all(0)
    return LanguageNeurons(lape, p, above & candidate)


def neuron_table(found: LanguageNeurons, languages: Sequence[str], condition: str) -> pd.DataFrame:
    """One row per language neuron: condition, layer, neuron, class, languages, lape_bits, probability (its highest)."""
    classes = found.classes
    rows = []
    for layer, neuron in np.argwhere(classes > 0).tolist():
        served = " ".join(code for code, on in zip(languages, found.active[:, layer, neuron], strict=True) if on)
        numbers = (float(found.lape[layer, neuron]), float(found.probability[:, layer, neuron].max()))
        rows.append((condition, layer + 1, neuron, CLASSES[classes[layer, neuron]], served, *numbers))
    columns = ["condition", "layer", "neuron", "class", "languages", "lape_bits", "probability"]
    return pd.DataFrame(rows, columns=columns)


def layer_table(found: LanguageNeurons, languages: Sequence[str], condition: str) -> pd.DataFrame:
    """Neurons of each class by layer and language; language `all` counts each neuron once, general ones too.

    Columns: condition, layer, language, class, neurons.
    """
    classes = found.classes
    members = {EVERY: np.ones_like(classes, dtype=bool)} | dict(zip(languages, found.active, strict=True))
    rows = [
        (condition, layer + 1, code, name, int((mine[layer] & (classes[layer] == i)).sum()))
        for layer in range(len(classes))
        for code, mine in members.items()
        for i, name in enumerate(CLASSES)
        if code == EVERY or i > 0
    ]
    return pd.DataFrame(rows, columns=["condition", "layer", "language", "class", "neurons"])


def overlap_table(found: LanguageNeurons, languages: Sequence[str], condition: str) -> pd.DataFrame:
    """Neurons that two languages share: condition, language, other, shared, jaccard (NaN of two empty sets)."""
    rows = [
        (condition, languages[i], languages[j], int((a & b).sum()), jaccard(a, b))
        for i, a in enumerate(found.active)
        for j, b in enumerate(found.active)
        if i != j
    ]
    return pd.DataFrame(rows, columns=["condition", "language", "other", "shared", "jaccard"])


def change_tables(
    counts: Mapping[str, Int[np.ndarray, "fold language layer neuron"]],
    tokens: Int[np.ndarray, "fold language"],
    languages: Sequence[str],
    rate: float = RATE,
    quantile: float = QUANTILE,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sets and classes of every other condition against the base's, beside what chance in the texts makes of them.

    The folds are disjoint texts, the same in all conditions. For every way to halve them, sets are found in both halves
    A and B: `jaccard_halves` compares A with B within a condition (mean of the two conditions), `jaccard_across` A of
    the base with B of the other and the reverse, `beyond_noise` is the first less the second: above 0, alignment moved
    the sets more than other texts would. NaN where a halving finds no neuron in either half.

    Returns:
        Sets: language (and `all`: language neurons of any language), condition, quantity, value, low, high. Quantities:
        base_neurons, aligned_neurons, jaccard (whole counts), and the three above, whose value is the mean and low and
        high the 2.5% and 97.5% quantiles over halvings; these are alike, so that this is no confidence interval. Last,
        for `all`, `memberships`: the Jaccard index of all pairs of language and neuron, with a p_value. It is the share
        of the ways to exchange the two conditions' counts in some of the folds (a paired permutation test, Fisher 1935)
        that part the conditions as far or further: under the hypothesis that both models fire alike, every such
        exchange is as likely as none. With n folds p is at least 2^(1 - n). NaN for other quantities.
        Classes: condition, comparison (`base to aligned`, `halves of base`), first, second, neurons.

    Raises:
        DataError: no base, fewer than two folds or an odd number; see `language_neurons`.
    """
    require_base(counts)
    if len(tokens) < 2 or len(tokens) % 2:
        raise DataError(f"Halves need an even number of folds; there are {len(tokens)}.")

    def found(condition: str, folds: Sequence[int]) -> LanguageNeurons:
        some = list(folds)
        return language_neurons(counts[condition][some].sum(0), tokens[some].sum(0), rate, quantile)

    def halved(condition: str) -> list[tuple[LanguageNeurons, LanguageNeurons]]:
        return [(found(condition, a), found(condition, b)) for a, b in halves(len(tokens))]

    everything, base_halves = range(len(tokens)), halved(BASE)
    base = found(BASE, everything)
    rows: list[tuple[object, ...]] = []
    moves = [_moves(BASE, "halves of base", *base_halves[0])]
    for condition in counts:
        if condition == BASE:
            continue
        aligned, aligned_halves = found(condition, everything), halved(condition)
        moves.append(_moves(condition, "base to aligned", base, aligned))
        sets, other = _sets(base), _sets(aligned)
        whole = np.column_stack([sets.sum((1, 2)), other.sum((1, 2)), _jaccards(sets, other)])
        split = np.stack([_split(b, a) for b, a in zip(base_halves, aligned_halves, strict=True)])
        low, high = np.quantile(split, [0.025, 0.975], axis=0)
        for i, code in enumerate([*languages, EVERY]):
            for quantity, value in zip(("base_neurons", "aligned_neurons", "jaccard"), whole[i], strict=True):
                rows.append((code, condition, quantity, float(value), np.nan, np.nan, np.nan))
            for q, quantity in enumerate(("jaccard_halves", "jaccard_across", "beyond_noise")):
                numbers = (split[:, i, q].mean(), low[i, q], high[i, q])
                rows.append((code, condition, quantity, *map(float, numbers), np.nan))
        p = _exchange_p(counts[BASE], counts[condition], tokens, rate, quantile)
        rows.append((EVERY, condition, "memberships", jaccard(base.active, aligned.active), np.nan, np.nan, p))
    columns = ["language", "condition", "quantity", "value", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns), pd.concat(moves, ignore_index=True)


def halves(n: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every way to halve `n` folds, an even number, each once; the first one puts alternate folds together."""
    alternate = tuple(range(0, n, 2))
    others = [(0, *rest) for rest in combinations(range(1, n), n // 2 - 1) if (0, *rest) != alternate]
    for one in [alternate, *others]:
        yield one, tuple(i for i in range(n) if i not in one)


def _exchange_p(
    base: Int[np.ndarray, "fold language layer neuron"],
    aligned: Int[np.ndarray, "fold language layer neuron"],
    tokens: Int[np.ndarray, "fold language"],
    rate: float,
    quantile: float,
) -> float:
    """Share of exchanges of the conditions' counts within folds after which memberships agree no better."""
    whole, more = tokens.sum(0), aligned - base
    alike = []
    for exchanged in product((0, 1), repeat=len(tokens) - 1):  # all of them exchanged is none of them exchanged
        moved = np.tensordot((0, *exchanged), more, 1)
        first, second = base.sum(0) + moved, aligned.sum(0) - moved
        sets = (language_neurons(one, whole, rate, quantile).active for one in (first, second))
        alike.append(jaccard(*sets))
    found = np.nan_to_num(alike, nan=1.0)  # without any neuron nothing differs
    return float((found <= found[0]).mean())


def jaccard(a: Bool[np.ndarray, "..."], b: Bool[np.ndarray, "..."]) -> float:
    """Members of both over members of either, in [0, 1]; NaN where neither has any."""
    either = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / either) if either else float("nan")


def _sets(found: LanguageNeurons) -> Bool[np.ndarray, "set layer neuron"]:
    """Each language's neurons, and last those of any language."""
    return np.concatenate([found.active, found.active.any(0, keepdims=True)])


def _jaccards(first: Bool[np.ndarray, "set layer neuron"], second: Bool[np.ndarray, "set layer neuron"]) -> np.ndarray:
    return np.array([jaccard(a, b) for a, b in zip(first, second, strict=True)])


def _split(
    base: tuple[LanguageNeurons, LanguageNeurons], aligned: tuple[LanguageNeurons, LanguageNeurons]
) -> Float[np.ndarray, "set quantity"]:
    """jaccard_halves, jaccard_across and beyond_noise of one halving."""
    (base_a, base_b), (aligned_a, aligned_b) = ((_sets(a), _sets(b)) for a, b in (base, aligned))
    within = (_jaccards(base_a, base_b) + _jaccards(aligned_a, aligned_b)) / 2
    across = (_jaccards(base_a, aligned_b) + _jaccards(aligned_a, base_b)) / 2
    return np.column_stack([within, across, within - across])


def _moves(condition: str, comparison: str, first: LanguageNeurons, second: LanguageNeurons) -> pd.DataFrame:
    table = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    np.add.at(table, (first.classes.ravel(), second.classes.ravel()), 1)
    rows = [
        (condition, comparison, CLASSES[i], CLASSES[j], int(table[i, j]))
        for i in range(len(CLASSES))
        for j in range(len(CLASSES))
    ]
    return pd.DataFrame(rows, columns=["condition", "comparison", "first", "second", "neurons"])
