"""The exponential function by way of powers of two."""

import torch
from babelscope.exponential import exponential_


def test_it_is_exp_to_six_digits() -> None:
    x = torch.linspace(-30, 3, 10_001)
    right = x.double().exp()
    assert ((exponential_(x.clone()).double() - right) / right).abs().max() < 2e-6


def test_it_is_written_over_its_argument() -> None:
    x = torch.zeros(2)
    assert exponential_(x) is x
    assert x.tolist() == [1, 1]


def test_what_is_too_small_is_0() -> None:
    least = torch.finfo(torch.float32).min
    assert exponential_(torch.tensor([-torch.inf, least, -1000.0])).tolist() == [0, 0, 0]
    assert exponential_(torch.tensor([torch.nan])).isnan().all()
