"""How far a model leans to the right answer."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp


def right_log_odds(
    logprob: Float[np.ndarray, "*rows label"], truth: Int[np.ndarray, "*rows"]
) -> Float[np.ndarray, "*rows"]:
    """Log odds (nats) of the right label against all others together; above 0 it is likelier than the rest."""
    logprob = logprob.astype(np.float64)
    right = np.take_along_axis(logprob, truth[..., None], axis=-1)
    others = np.where(np.arange(logprob.shape[-1]) == truth[..., None], -np.inf, logprob)
    return np.asarray(right[..., 0] - logsumexp(others, axis=-1))
