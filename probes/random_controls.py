"""What random controls are drawn with: anew for every layer and language, alike in every condition."""

import numpy as np


def control_draw(seed: int, layer: int, language: str) -> np.random.Generator:
    """A generator of its own for each layer and language, whichever others there are and in whatever order.

    With one draw for all of them, their mean would tell of that draw, and its interval would not.
    """
    return np.random.default_rng([seed, layer, *language.encode()])
