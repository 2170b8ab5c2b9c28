"""What the files of a published folder are called, and what hubs call a game."""

from collections.abc import Iterable

CARD = "README.md"
MODEL = "model.safetensors"
ONNX = "model.onnx"
CONFIG = "config.json"
PAGE = "play.html"


def film_of(game: str, games: Iterable[str]) -> str:
    """Return the name of a game's film; `replay.mp4`, of the first game, is what a hub shows beside the card."""
    return "replay.mp4" if game == next(iter(games)) else f"replay-{game}.mp4"


def environment_id(game: str) -> str:
    """Return the id under which hubs list a game whose frames the preprocessing skips, without sticky actions."""
    return "".join(word.capitalize() for word in game.split("_")) + "NoFrameskip-v4"
