"""Plays one game with an exported network, in onnxruntime: python docs/examples/use_onnx.py FILE.onnx"""

import json
import sys

import onnxruntime

from distill.games import make_environment

session = onnxruntime.InferenceSession(sys.argv[1])
actions: dict[str, list[str]] = json.loads(session.get_modelmeta().custom_metadata_map["actions"])
game = next(iter(actions))
environment = make_environment(game, lanes=1)
observations, _ = environment.reset(seed=1)  # [1, 4, 84, 84] uint8
score, ended = 0.0, False
while not ended:
    (q_values,) = session.run([f"q_values_{game}"], {"observations": observations})
    observations, rewards, terminated, truncated, _ = environment.step(q_values.argmax(axis=1))
    score, ended = score + float(rewards[0]), bool(terminated[0] or truncated[0])
print(f"{game}: {score:g}")  # noqa: T201
