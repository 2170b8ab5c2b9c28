"""Models for tests of who plays: a student that is a little worse than its teacher, and one of two games."""

from pathlib import Path

import torch

from distill.architectures import ARCHITECTURES
from distill.model_card import ModelCard
from distill.models import load_model, save_model
from distill.networks import QNetwork
from tests.support.sandbox import TEACHERS


def worse_student(path: Path, game: str = "breakout", noise: float = 0.3) -> Path:
    """Write a teacher as a student whose weights were shaken, and return the file."""
    torch.manual_seed(1)
    network, card = load_model(TEACHERS / f"{game}.safetensors")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * noise * parameter.std())
    training = {"loss": "kl", "tau": 0.01}
    save_model(path, network, ModelCard("student", network.architecture, card.actions, training=training))
    return path


def untrained_student(path: Path, **actions: int) -> Path:
    """Write a student of several games that has learned nothing, and return the file."""
    torch.manual_seed(2)
    network = QNetwork(ARCHITECTURES["one_percent"], actions)
    save_model(path, network, ModelCard("student", network.architecture, dict(actions), training={"loss": "mse"}))
    return path
