"""Makes the checkpoint of docs/tutorial.md: an agent of Stable-Baselines3 that plays Pong, saved by Stable-Baselines3.

Use: python docs/examples/sb3_checkpoint.py FILE.zip
"""

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from safetensors.torch import load_file
from stable_baselines3 import DQN

TEACHER = Path(__file__).resolve().parents[2] / "teachers" / "pong.safetensors"
LAYERS = {
    "features_extractor.cnn.0": "conv1",
    "features_extractor.cnn.2": "conv2",
    "features_extractor.cnn.4": "conv3",
    "features_extractor.linear.0": "fc",
    "q_net.0": "heads.pong.0",
}
"""Layers of Stable-Baselines3's `CnnPolicy`, and what they are called in a teacher of this project."""


class Spaces(gymnasium.Env[np.ndarray, Any]):
    """Says what the agent sees and may do; nothing is played here."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(6)


def main() -> None:
    """Write the file that is named."""
    path = Path(sys.argv[1])
    agent = DQN("CnnPolicy", Spaces(), buffer_size=1, device="cpu")
    weights = load_file(TEACHER)
    agent.q_net.load_state_dict(
        {
            f"{theirs}.{part}": weights[f"{ours}.{part}"]
            for theirs, ours in LAYERS.items()
            for part in ("weight", "bias")
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    agent.save(path)
    print(f"{path}: {path.stat().st_size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
