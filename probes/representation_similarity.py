"""Do two languages arrange the same meanings alike? CKA, neuron-wise and PC1 correlation, for all pairs of languages.

Every function returns contributions [language, language, id]: their mean over ids is the measure, and an id's
deviation from that mean is its influence on the measure (the infinitesimal jackknife, Efron and Tibshirani 1993, ch.
21), so that a resample of ids is a weighted mean.
"""

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import eigsh

from .parallel import Parallel, by_id

_NOISE = 1e-6  # spread below this share of the scale is rounding: float32 states cannot carry it


def cka(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """Linear CKA (arXiv 1905.00414) from the unbiased HSIC of Song et al. 2012 (JMLR 13), in (-inf, 1].

    Unrelated states have 0 on average, however few the ids beside d_model; the plain estimator is near 1 there
    (arXiv 2405.01012). Invariant to rotation, shift and scale of either language. NaN with fewer than four ids, or for
    a language without variance.
    """
    rows = parallel.centred
    n = rows.shape[1]
    if n < 4:
        return np.full((len(rows), len(rows), n), np.nan)
    gram = rows @ rows.transpose(0, 2, 1)
    scale = np.trace(gram, axis1=1, axis2=2)[:, None, None] / n
    gram = _u_centred(np.divide(gram, scale, out=np.zeros_like(gram), where=scale > 0))
    products = by_id(gram, gram).astype(np.float64) / (n - 3)  # their mean over ids is the unbiased HSIC
    hsic = products.mean(axis=2)
    own = np.where(hsic.diagonal() > _NOISE, hsic.diagonal(), np.nan)
    value = hsic / np.sqrt(np.outer(own, own))
    # HSIC is of degree two in an id: its influence is twice its own term. Constants cancel in the ratio.
    share = products / np.sqrt(np.outer(own, own))[:, :, None]
    itself = products[range(len(rows)), range(len(rows))] / own[:, None]  # [language, id]
    half = value[:, :, None] * (itself[:, None] + itself[None]) / 2
    return np.asarray(value[:, :, None] + 2 * (share - half))


def anc(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """Average neuron-wise correlation (arXiv 2212.01924): Pearson over ids in each dimension, then their mean, [-1, 1].

    Signed: dimensions that run opposite ways count against. Those that are constant in either language are left out;
    NaN where all are.
    """
    return _mean_correlation(parallel.centred)


def pc1_pearson(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """Pearson over ids of the scores on the first principal component of all languages together (arXiv 2405.13816).

    In [-1, 1]. NaN where it is undefined: one id, or a language whose scores do not vary (at layer 0 the last prompt
    token has the same state in every example). The component is taken as given by the contributions.
    """
    states = parallel.states
    rows = states.reshape(-1, states.shape[-1])
    rows = rows - rows[0]
    rows = rows - rows.mean(axis=0)
    if not rows.any():
        return np.full((*states.shape[:1] * 2, states.shape[1]), np.nan)
    rows = rows / np.abs(rows).max()
    scores = (rows.astype(np.float64) @ _first_component(rows)).reshape(*states.shape[:2], 1)
    return _mean_correlation(scores - scores.mean(axis=1, keepdims=True))


def _first_component(rows: Float[np.ndarray, "row d_model"]) -> Float[np.ndarray, " d_model"]:
    d = rows.shape[1]
    covariance = (rows.T @ rows).astype(np.float64)
    if d < 3:  # too small for Lanczos
        return np.asarray(np.linalg.eigh(covariance)[1][:, -1])
    _, vectors = eigsh(covariance, k=1, v0=np.ones(d))  # a fixed start: the same input, the same answer
    return np.asarray(vectors[:, 0])


def _u_centred(gram: Float[np.ndarray, "language id id"]) -> Float[np.ndarray, "language id id"]:
    """U-centred (Székely and Rizzo 2014): the sum of products of two such is n (n - 3) times their unbiased HSIC."""
    n = gram.shape[1]
    same = np.arange(n)
    gram[:, same, same] = 0
    sums = gram.sum(axis=1)
    total = sums.sum(axis=1)[:, None, None]
    centred = gram - (sums[:, :, None] + sums[:, None]) / (n - 2) + total / ((n - 1) * (n - 2))
    centred[:, same, same] = 0
    return np.asarray(centred)


def _mean_correlation(centred: Float[np.ndarray, "language id feature"]) -> Float[np.ndarray, "language language id"]:
    """Pearson over ids in each feature, its mean over the features that vary in both languages, as contributions."""
    n = centred.shape[1]
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    varies = spread > _NOISE * np.sqrt((centred**2).mean(axis=(0, 1), keepdims=True))
    z = np.divide(centred, spread, out=np.zeros_like(centred), where=varies)
    by_feature = z.transpose(2, 0, 1)
    r = by_feature @ by_feature.transpose(0, 2, 1) / n  # [feature, language, language]
    flags = varies[:, 0].astype(np.float64)
    features = flags @ flags.T
    count = np.where(features > 0, features, np.nan)[:, :, None]
    value = r.sum(axis=0)[:, :, None] / count
    # Influence on one correlation: z_a z_b - r (z_a^2 + z_b^2) / 2.
    squares = (z**2 @ r.transpose(1, 0, 2)).transpose(0, 2, 1)  # [language, language, id], z of the first
    return np.asarray(value + (by_id(z, z) - (squares + squares.transpose(1, 0, 2)) / 2) / count)
