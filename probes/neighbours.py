"""Is a state nearer to its translation than to anything else? Retrieval, MEXA and DALI, for all pairs of languages.

Similarity is the cosine. A hit must beat every rival by more than rounding (1e-6), so states that cannot be told apart
are misses. Results are hits in {0, 1}, whose means are the measures.
"""

from collections import defaultdict

import numpy as np
from jaxtyping import Bool, Float

from .parallel import Parallel

_MARGIN = 1e-6  # cosines closer than this are ties: float32 products cannot tell them apart


def retrieval(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """Whether language a's state finds its translation among all states of language b [a, b, id].

    Nearest-neighbour search of translations (Artetxe and Schwenk 2019, arXiv 1812.10464), with each language's mean
    taken off, so that what all states of a language share cannot decide. Chance is 1 / ids; one id is always a hit.
    """
    return np.asarray(nearest(parallel.centred_directions), dtype=np.float32)


def mexa(parallel: Parallel) -> Float[np.ndarray, "language language id"]:
    """Whether a pair of translations is the maximum of both its row and its column (arXiv 2410.05873), uncentred."""
    hits = nearest(parallel.directions)
    return np.asarray(hits & hits.transpose(1, 0, 2), dtype=np.float32)


def dali(parallel: Parallel) -> Float[np.ndarray, "language language item"]:
    """Whether, in an item, every premise + option of language a is nearest to the same one in b (arXiv 2504.09378).

    The rivals are the same premise with the item's other options in b; cosines are uncentred. Chance for k unrelated
    options is k^-k.
    """
    states = parallel.directions
    languages, _, d = states.shape
    of_size = defaultdict(list)
    for number, item in enumerate(parallel.items):
        of_size[len(item)].append(number)
    hits = np.empty((languages, languages, len(parallel.items)), dtype=np.float32)
    for k, numbers in of_size.items():
        rows = states[:, [list(parallel.items[number]) for number in numbers]]  # [language, item, option, d_model]
        flat = rows.transpose(1, 0, 2, 3).reshape(len(numbers), languages * k, d)
        cosine = (flat @ flat.transpose(0, 2, 1)).reshape(len(numbers), languages, k, languages, k)
        matched = cosine[:, :, range(k), :, range(k)].copy()  # [option, item, language, language]
        cosine[:, :, range(k), :, range(k)] = -np.inf
        rivals = cosine.max(axis=4).transpose(2, 0, 1, 3)
        hits[:, :, numbers] = (matched > rivals + _MARGIN).all(axis=0).transpose(1, 2, 0)
    return hits


def nearest(units: Float[np.ndarray, "language id d_model"]) -> Bool[np.ndarray, "language language id"]:
    """Whether each state of language a is nearest, among the states of language b, to its translation [a, b, id].

    Memory holds the cosines of one language with all others: ids x languages x ids floats.
    """
    languages, ids, d = units.shape
    same = np.arange(ids)
    hits = np.empty((languages, languages, ids), dtype=bool)
    for a in range(languages):
        # A language against itself and all that follow: the other half is read from the columns.
        cosine = (units[a] @ units[a:].reshape(-1, d).T).reshape(ids, languages - a, ids)
        matched = cosine[same, :, same].T  # [language, id]
        cosine[same, :, same] = -np.inf
        hits[a, a:] = matched > cosine.max(axis=2).T + _MARGIN
        hits[a:, a] = matched > cosine.max(axis=0) + _MARGIN
    return hits
