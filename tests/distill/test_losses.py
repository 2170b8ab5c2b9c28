from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distill.config import LossKind
from distill.errors import DistillError
from distill.losses import distillation_loss

TAUS = (1.0, 0.1, 0.01, 0.001)
KINDS: tuple[LossKind, ...] = get_args(LossKind)
Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def log_softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = values - values.max()
    return shifted - np.log(np.exp(shifted).sum())


def obvious_loss(
    kind: LossKind, student: npt.NDArray[np.float32], teacher: npt.NDArray[np.float32], tau: float
) -> float:
    """One observation, in float64, term by term as the paper writes it."""
    q_s, q_t = student.astype(np.float64), teacher.astype(np.float64)
    if kind == "mse":
        return float(((q_t - q_s) ** 2).sum())
    if kind == "nll":
        return float(-log_softmax(q_s)[q_t.argmax()])
    log_p, log_s = log_softmax(q_t / tau), log_softmax(q_s)
    if kind == "kl":
        return divergence(log_p, log_s)
    if kind == "reverse-kl":
        return divergence(log_s, log_p)
    log_m = np.log((np.exp(log_p) + np.exp(log_s)) / 2)
    return (divergence(log_p, log_m) + divergence(log_s, log_m)) / 2


def divergence(log_of: npt.NDArray[np.float64], log_to: npt.NDArray[np.float64]) -> float:
    # 0 ln 0 is 0, whatever it is compared with.
    return float(sum(np.exp(a) * (a - b) for a, b in zip(log_of, log_to, strict=True) if np.exp(a) > 0.0))


@st.composite
def pairs(draw: st.DrawFn, limit: float) -> Pair:
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 18)))
    elements = st.floats(-limit, limit, width=32)
    return draw(hnp.arrays(np.float32, shape, elements=elements)), draw(
        hnp.arrays(np.float32, shape, elements=elements)
    )


@settings(deadline=None)
@given(pair=pairs(8.0), tau=st.sampled_from(TAUS), kind=st.sampled_from(KINDS))
def test_losses_equal_the_obvious_float64_ones(pair: Pair, tau: float, kind: LossKind) -> None:
    found = distillation_loss(kind, torch.from_numpy(pair[0]), torch.from_numpy(pair[1]), tau)
    assert found.dtype == torch.float32
    expected = [obvious_loss(kind, s, t, tau) for s, t in zip(*pair, strict=True)]
    # At tau = 0.001 the last bit of a difference of 1 is worth 1e-4 in the exponent.
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


@settings(deadline=None)
@given(pair=pairs(1e6), tau=st.sampled_from(TAUS), kind=st.sampled_from(KINDS), autocast=st.booleans())
def test_losses_and_gradients_are_finite_up_to_a_million(
    pair: Pair, tau: float, kind: LossKind, autocast: bool
) -> None:
    student = torch.from_numpy(pair[0]).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = distillation_loss(kind, student, torch.from_numpy(pair[1]), tau)
    assert loss.shape == (len(student),)
    assert loss.dtype == torch.float32
    loss.mean().backward()
    assert student.grad is not None
    assert bool(torch.isfinite(loss).all())
    assert bool(torch.isfinite(student.grad).all())
    # A divergence is a sum of terms of both signs, which round.
    if kind in ("nll", "mse"):
        assert float(loss.detach().min()) >= 0.0


@settings(deadline=None, max_examples=50)
@given(pair=pairs(3.0), tau=st.sampled_from(TAUS), kind=st.sampled_from(KINDS))
def test_gradients_equal_those_of_float64(pair: Pair, tau: float, kind: LossKind) -> None:
    student = torch.from_numpy(pair[0]).requires_grad_()
    distillation_loss(kind, student, torch.from_numpy(pair[1]), tau).sum().backward()
    exact = torch.from_numpy(pair[0].astype(np.float64)).requires_grad_()
    labels = torch.from_numpy(pair[1].astype(np.float64))
    expected = obvious_gradient(kind, exact.detach(), labels, tau)
    assert student.grad is not None
    # The logarithms that reverse-kl subtracts are as large as 1 / tau, and keep their 7 digits.
    atol = 2e-4 / min(1.0, 10.0 * tau) if kind == "reverse-kl" else 2e-4
    torch.testing.assert_close(student.grad.double(), expected, rtol=1e-4, atol=atol)


def obvious_gradient(kind: LossKind, student: torch.Tensor, labels: torch.Tensor, tau: float) -> torch.Tensor:
    """Return the derivatives by hand, with s = softmax(student) and p = softmax(labels / tau)."""
    s, p = torch.softmax(student, 1), torch.softmax(labels / tau, 1)
    if kind == "mse":
        return 2 * (student - labels)
    if kind == "nll":
        return s - torch.nn.functional.one_hot(labels.argmax(1), labels.shape[1])
    if kind == "kl":
        return s - p
    log_s, log_p = torch.log_softmax(student, 1), torch.log_softmax(labels / tau, 1)
    log_to = log_p if kind == "reverse-kl" else ((s + p) / 2).log()
    difference = s * (log_s - log_to)
    whole = difference - s * difference.sum(1, keepdim=True)
    return whole if kind == "reverse-kl" else whole / 2


def test_autocast_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(32, 6, generator=generator), torch.randn(32, 6, generator=generator)
    for kind in KINDS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = distillation_loss(kind, student, teacher, 0.001)
        assert torch.equal(found, distillation_loss(kind, student, teacher, 0.001))


def test_the_temperature_is_the_teachers_alone() -> None:
    teacher = torch.tensor([[0.0, 0.02, -0.01]])
    same = distillation_loss("kl", teacher / 0.01, teacher, 0.01)
    torch.testing.assert_close(same, torch.zeros(1), rtol=0, atol=1e-6)
    assert float(distillation_loss("kl", teacher, teacher, 0.01)) > 0.1


def test_labels_get_no_gradient_and_equal_maxima_take_the_first() -> None:
    labels = torch.tensor([[1.0, 1.0]], requires_grad=True)
    student = torch.tensor([[2.0, 0.0]], requires_grad=True)
    for kind in KINDS:
        distillation_loss(kind, student, labels, 0.1).sum().backward()
    assert labels.grad is None
    expected = -torch.log_softmax(student.detach(), 1)[:, 0]
    torch.testing.assert_close(distillation_loss("nll", student, labels, 0.1).detach(), expected)


def test_a_mix_up_of_games_is_refused() -> None:
    with pytest.raises(DistillError, match=r"\[2, 18\] and \[2, 6\]"):
        distillation_loss("kl", torch.zeros(2, 18), torch.zeros(2, 6), 0.01)
