"""Policies of other libraries, and the files that these write."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.foreign_networks import saved, trunk
from tests.support.real_frames import real_frames


class CleanRLAgent(nn.Module):
    """As cleanrl/ppo_atari.py defines it."""

    def __init__(self, actions: int = 6) -> None:
        super().__init__()
        self.network = nn.Sequential(*trunk(), nn.Linear(3136, 512), nn.ReLU())
        self.actor, self.critic = nn.Linear(512, actions), nn.Linear(512, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.actor(self.network(x / 255.0))


class TwoTrunks(nn.Module):
    """To the layout of Tianshou's PPO: an actor and a critic, each with a trunk of its own."""

    def __init__(self) -> None:
        super().__init__()
        for name, outputs in (("actor", 6), ("critic", 1)):
            parts = {"preprocess": nn.Sequential(*trunk(), nn.Linear(3136, 512), nn.ReLU())}
            self.add_module(name, nn.ModuleDict({**parts, "last": nn.Linear(512, outputs)}))

    def forward(self, x: Tensor) -> Tensor:
        actor: Any = self.actor
        return actor["last"](actor["preprocess"](x / 255))


class SampleFactory(nn.Module):
    """To the layout of sample-factory's `convnet_atari`: model/encoder.py and model/actor_critic.py."""

    def __init__(self, nonlinearity: str = "relu", *, normalize_input: bool = True, actions: int = 6) -> None:
        super().__init__()
        activation = nn.ReLU() if nonlinearity == "relu" else nn.ELU()
        convolutions = [layer for layer in trunk() if isinstance(layer, nn.Conv2d)]
        encoder = nn.ModuleDict({
            "conv_head": nn.Sequential(*(part for layer in convolutions for part in (layer, activation))),
            "mlp_layers": nn.Sequential(nn.Linear(3136, 512), activation),
        })  # fmt: skip
        self.encoder = nn.ModuleDict({"encoders": nn.ModuleDict({"obs": nn.ModuleDict({"enc": encoder})})})
        self.critic_linear = nn.Linear(512, 1)
        self.action_parameterization = nn.ModuleDict({"distribution_linear": nn.Linear(512, actions)})
        self.settings: dict[str, Any] = {
            "encoder_conv_architecture": "convnet_atari", "nonlinearity": nonlinearity, "obs_scale": 255.0,
            "obs_subtract_mean": 0.0, "normalize_input": normalize_input, "use_rnn": False, "env_framestack": 4,
        }  # fmt: skip
        self.enc = encoder
        self.statistics = running_statistics() if normalize_input else {}

    def forward(self, observations: Tensor) -> Tensor:
        x = observations.float() * (1.0 / 255.0)
        if self.statistics:
            mean, variance = (self.statistics[part].float() for part in ("running_mean", "running_var"))
            x = ((x - mean) * (1 / torch.sqrt(variance + 1e-5))).clamp(-5.0, 5.0)
        x = self.enc["mlp_layers"](self.enc["conv_head"](x).flatten(1))
        return self.action_parameterization["distribution_linear"](x)

    def save(self, folder: Path, settings: dict[str, Any] | None = None, name: str = "config.json") -> Path:
        """Write the experiment as `sf_examples.atari.train_atari` does, and return the checkpoint."""
        checkpoint = folder / "checkpoint_p0" / "best_000004912_20119552_reward_21.000.pth"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        prefix = "obs_normalizer.running_mean_std.running_mean_std.obs."
        state = {key: value for key, value in self.state_dict().items() if not key.startswith("enc.")}
        state |= {f"{prefix}{key}": value for key, value in self.statistics.items()}
        state |= {
            f"returns_normalizer.{key}": torch.ones(1).double() for key in ("running_mean", "running_var", "count")
        }
        saved(checkpoint, {"train_step": 4912, "env_steps": 20119552, "model": state, "optimizer": {"state": {}}})
        (folder / name).write_text(json.dumps(self.settings | (settings or {})))
        return checkpoint


def running_statistics() -> dict[str, Tensor]:
    frames = torch.from_numpy(real_frames("pong")).double() / 255
    return {"running_mean": frames.mean(0), "running_var": frames.var(0), "count": torch.ones(1).double()}
