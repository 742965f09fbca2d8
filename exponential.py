"""The exponential function, which costs more than the rest of a softmax."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_BITS = 1 / math.log(2)


def exponential_(x: "Tensor") -> "Tensor":
    """e^x, written over x; in float32 the relative error is below 2e-6 where the result is above 1e-13.

    By way of 2^x: on a CPU, torch leaves `exp` to a library that takes three times as long, and thirty times as long
    where the result is near or below the smallest normal number, as most of a vocabulary is at a confident state.
    """
    return x.mul_(_BITS).exp2_()
