"""Tuned lens: an affine map per layer, to what the last layer makes of its states (Belrose et al., arXiv 2303.08112).

A translator starts as the ridge regression of final states on a layer's states, and is then trained to bring the KL
divergence D(final || lens) down. The divergence is taken over the words that matter and a random sample of the others,
each of which stands for many; how good the result is, is measured over the whole vocabulary, on other ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import RidgeCV
from torch import Tensor

from ..errors import DataError

ALPHAS = 10.0 ** np.arange(-1, 6)  # strengths of ridge to choose from; states have size sqrt(d_model)


@dataclass(frozen=True)
class Tuning:
    """How translators are trained. The steps are few: ridge does most of it, and more steps learn the ids by heart."""

    steps: int = 60
    batch: int = 128  # states per step
    check: int = 10  # steps between looks at the validation states, which decide what is kept
    rate: float = 3e-4  # Adam's


@dataclass(frozen=True)
class Translator:
    """`apply` maps states of one layer to states that the final norm and the unembedding read."""

    matrix: Float[Tensor, "d_model d_model"]
    bias: Float[Tensor, " d_model"]

    def apply(self, states: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """x + x @ matrix + bias, x being the states at root mean square 1: a final norm reads no sizes."""
        unit = unit_size(states)
        return unit + unit @ self.matrix + self.bias


def unit_size(states: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
    """States in float32 at root mean square 1."""
    wide = states.float()
    return wide / wide.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-12)


def constant_translator(final: Float[Tensor, "n d_model"]) -> Translator:
    """Maps every state to the mean of the final states: what can be said without looking."""
    unit = unit_size(final)
    return Translator(-torch.eye(unit.shape[1]), unit.mean(dim=0))


def ridge_translator(states: Float[Tensor, "n d_model"], final: Float[Tensor, "n d_model"]) -> Translator:
    """The ridge regression of final - state on the state, both at size 1; strength by leave-one-out.

    It shrinks towards the identity, that is towards the logit lens.

    Raises:
        DataError: fewer than two states.
    """
    if len(states) < 2:
        raise DataError(f"a translator of {len(states)} states: expected at least 2")
    x, y = unit_size(states), unit_size(final)
    fitted = RidgeCV(ALPHAS).fit(x.numpy(), (y - x).numpy())
    return Translator(
        torch.from_numpy(fitted.coef_.T.astype(np.float32)).contiguous(),
        torch.from_numpy(np.asarray(fitted.intercept_, dtype=np.float32)),
    )


def tune(
    start: Translator,
    states: Float[Tensor, "n d_model"],
    target: Float[Tensor, "n token"],
    lens: Callable[[Tensor], Tensor],
    validation: Int[np.ndarray, " m"],
    tuning: Tuning,
    seed: int = 0,
) -> Translator:
    """Train a translator from `start`; what is kept is the best on the validation states, `start` included.

    Args:
        target: probabilities of some words at the last layer, the sample's multiplied with how many each stands for.
        lens: translated states [m, d_model] -> logits of those words, with the logarithm of how many each stands for.
        validation: rows that are not trained on.
    """
    generator = np.random.default_rng(seed)
    training = np.setdiff1d(np.arange(len(states)), validation)
    matrix, bias = start.matrix.clone().requires_grad_(), start.bias.clone().requires_grad_()
    optimiser = torch.optim.Adam([matrix, bias], lr=tuning.rate)

    def loss(rows: np.ndarray) -> Tensor:
        log_p = lens(Translator(matrix, bias).apply(states[rows])).log_softmax(-1)
        return -(target[rows] * log_p).sum(-1).mean()

    best, lowest = start, np.inf
    for step in range(tuning.steps + 1):
        if step % tuning.check == 0:
            with torch.no_grad():
                found = float(loss(validation))
            if found < lowest:
                best, lowest = Translator(matrix.detach().clone(), bias.detach().clone()), found
        if step < tuning.steps:
            optimiser.zero_grad()
            batch = generator.choice(training, min(tuning.batch, len(training)), replace=False)
            loss(batch).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return best


def words_that_matter(
    mean_probability: Sequence[Float[Tensor, " vocabulary"]], most: int, sampled: int, seed: int = 0
) -> tuple[Int[Tensor, " token"], Float[Tensor, " token"]]:
    """The likeliest words of any of some distributions, and a sample of the others; how many words each stands for.

    The sum over them, so weighted, is an unbiased estimate of a sum over the vocabulary.
    """
    likely = torch.unique(torch.cat([p.topk(min(most, len(p))).indices for p in mean_probability]))
    others = torch.ones(len(mean_probability[0]), dtype=torch.bool)
    others[likely] = False
    rest = torch.nonzero(others).flatten()
    chosen = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))[:sampled]]
    weight = torch.cat([torch.ones(len(likely)), torch.full((len(chosen),), len(rest) / max(len(chosen), 1))])
    return torch.cat([likely, chosen]), weight
