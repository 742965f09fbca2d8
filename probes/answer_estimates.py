"""How good answers are, for runs that have been interfered with: accuracy, AUC and log odds with their resamples."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from .accuracy import Answers, estimates
from .log_odds import right_log_odds
from .statistics import Estimate, bootstrap_weights, mean_estimate

QUANTITIES = ("accuracy", "auc", "log_odds")


def answer_estimates(
    logprob: Float[np.ndarray, "language id label"],
    truth: Int[np.ndarray, "language id"],
    languages: Sequence[str],
    draws: int,
    seed: int,
) -> dict[str, Estimate]:
    """QUANTITIES (AUC and accuracy in [0, 1], mean log odds of the right label in nats) by language and, last, in mean.

    Ids are parallel and their order is the same in all runs, so that estimates of two runs are paired.
    """
    n_ids = truth.shape[1]
    answers = Answers(
        condition="",
        labels=tuple(map(str, range(logprob.shape[2]))),
        language=np.repeat(languages, n_ids),
        id=np.tile([f"{i:09}" for i in range(n_ids)], len(languages)),  # sorted as they stand: the same draws for all
        truth=truth.ravel(),
        logprob=logprob.reshape(-1, logprob.shape[2]),
    )
    found = estimates(answers, draws, seed)
    odds = mean_estimate(right_log_odds(logprob, truth), bootstrap_weights(n_ids, draws, seed))
    by_quantity = {"accuracy": found["accuracy"], "auc": found["auc"], "log_odds": odds}
    return {name: with_mean(estimate) for name, estimate in by_quantity.items()}


def with_mean(estimate: Estimate) -> Estimate:
    """An estimate [row] with one row more: the mean of all."""
    return Estimate(
        np.append(estimate.value, estimate.value.mean()),
        np.column_stack([estimate.samples, estimate.samples.mean(axis=1)]),
    )
