"""Distillation losses per observation, in float32: the three of the paper, and two that later work uses."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.config import LossKind
from distill.errors import DistillError


def distillation_loss(kind: LossKind, student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """Return how far the student's outputs are from what the teacher's labels ask for.

    - kl: sum_a p(a) (ln p(a) - log_softmax(student)(a)), p = softmax(teacher / tau). The student has no temperature.
    - nll: -log_softmax(student)(argmax_a teacher), the first of equal maxima.
    - mse: sum_a (teacher(a) - student(a))^2.
    - reverse-kl: sum_a s(a) (ln s(a) - ln p(a)), s = softmax(student). It seeks one of the teacher's modes, where kl
      covers all of them (MiniLLM, Gu et al. 2024).
    - jensen-shannon: the mean of the KLs of p and of s to their mixture, at most ln 2 (GKD, Agarwal et al. 2024).

    Nothing is masked: every game has a controller of its own, so the outputs are the game's actions and no others. A
    width that differs from the labels' is therefore a mix-up of games, and refused.

    Args:
        kind: which loss.
        student: [B, A] float, outputs of the game's controller.
        teacher: [B, A] float32, q-values, or logits of a policy; they get no gradient.
        tau: temperature of the teacher's softmax; nll and mse do not use it.

    Returns:
        [B] float32.

    Raises:
        DistillError: if the two shapes differ.
    """
    if student.shape != teacher.shape:
        raise DistillError(
            "loss: expected outputs and labels of one shape [B, A],"
            f" found {list(student.shape)} and {list(teacher.shape)}; both must be of the same game"
        )
    outputs = student.float()
    labels = teacher.detach().float()
    match kind:
        case "nll":
            return -F.log_softmax(outputs, dim=1).gather(1, labels.argmax(dim=1, keepdim=True)).squeeze(1)
        case "mse":
            return (labels - outputs).square().sum(dim=1)
        case _:
            # The differences to the best action are taken before the division: they keep their digits, and nothing
            # overflows.
            target = F.log_softmax((labels - labels.amax(dim=1, keepdim=True)) / tau, dim=1)
            own = F.log_softmax(outputs, dim=1)
    match kind:
        case "kl":
            return _divergence(target, own)
        case "reverse-kl":
            return _divergence(own, target)
        case "jensen-shannon":
            mixture = torch.logaddexp(target, own) - math.log(2.0)
            return (_divergence(target, mixture) + _divergence(own, mixture)) / 2


def _divergence(log_of: Tensor, log_to: Tensor) -> Tensor:
    """Return KL(of || to), [B], of two distributions given by their logarithms, [B, A]."""
    return (torch.exp(log_of) * (log_of - log_to)).sum(dim=1)
