"""Makes the folder that is published: there whole, or not at all."""

import json
import logging
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.policy import Policy, warm_policy
from actors.video import record_episode
from cluster.publish.card import LIBRARY, model_card
from cluster.publish.episode import as_document
from cluster.publish.names import CARD, CONFIG, MODEL, ONNX, PAGE, film_of
from cluster.publish.player_page import player_page
from cluster.publish.runtime import fetch_runtime
from cluster.publish.source import Source
from distill.errors import ConfigError, RunError
from distill.files import write_atomically
from distill.games import SeedStream, action_meanings, reset_seed
from distill.inference import make_q_function
from distill.machine_errors import refusal
from distill.model_card import write_model_file
from distill.models import load_model
from distill.onnx_graph import export_onnx

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What a folder shall hold beside card, weights and ONNX.

    Attributes:
        name: of the model.
        licence: its licence's identifier, None if its owner does not say.
        films: whether to film an episode of each game.
        page: whether to make the page on which it plays.
        epsilon: share of uniformly random actions in films and on the page.
        seed: of the episode.
    """

    name: str
    licence: str | None
    films: bool
    page: bool
    epsilon: float
    seed: int


def require_free(folder: Path) -> None:
    """Check that nothing is replaced.

    Raises:
        ConfigError: if something of that name exists, or there is no folder to make it in.
    """
    if folder.is_symlink() or folder.exists():
        raise ConfigError(f"out: {folder} exists; choose another folder, or remove it first")
    if not folder.absolute().parent.is_dir():
        raise ConfigError(f"out: {folder.absolute().parent} is no folder; make it first")


def make_folder(source: Source, folder: Path, wanted: Wanted) -> list[str]:
    """Make the folder and return the names of its files.

    Raises:
        DistillError: if something cannot be made; nothing is left then.
    """
    with _unfinished(folder) as place:
        network, _ = load_model(source.data)
        write_model_file(place / MODEL, source.data)
        export_onnx(place / ONNX, network)
        policies = {game: warm_policy(make_q_function(network), game) for game in source.card.actions}
        seed = reset_seed(wanted.seed, SeedStream.FILMS)
        if wanted.films:
            for game, policy in policies.items():
                log.info("%s: filming an episode", game)
                film = place / film_of(game, policies)
                record_episode(film, game, policy, epsilon=wanted.epsilon, seed=seed)
        if wanted.page:
            write_atomically(place / PAGE, _page(place, policies, wanted, seed).encode())
        write_atomically(place / CONFIG, (json.dumps(_config(source), indent=2) + "\n").encode())
        files = [path.name for path in place.iterdir()]
        card = model_card(wanted.name, source, licence=wanted.licence, files=files)
        write_atomically(place / CARD, card.encode())
    return sorted(path.name for path in folder.iterdir())


def _page(place: Path, policies: dict[str, Policy], wanted: Wanted, seed: int) -> str:
    runtime = fetch_runtime()
    recordings: list[dict[str, Any]] = []
    for game, policy in policies.items():
        log.info("%s: recording an episode for the page", game)
        recordings.append(as_document(game, policy, wanted.epsilon, seed))
    return player_page(wanted.name, (place / ONNX).read_bytes(), recordings, runtime)


def _config(source: Source) -> dict[str, Any]:
    """Return what a program wants to know before it loads the model."""
    card = source.card
    return {
        "library_name": LIBRARY,
        "kind": card.kind,
        "architecture": asdict(card.architecture),
        "games": {game: list(action_meanings(game)) for game in card.actions},
        "preprocessing": card.preprocessing,
        "scores": {game: _without_episodes(score) for game, score in card.scores.items()},
        "settings": dict(source.settings),
        "environment": dict(source.environment),
    }


def _without_episodes(score: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in score.items() if name != "scores"}


@contextmanager
def _unfinished(folder: Path) -> Generator[Path]:
    """Give a folder that takes its name when it is whole, and is removed if it does not become so."""
    place = folder.absolute().with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        place.mkdir()
        try:
            yield place
            place.rename(folder)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
    except OSError as error:
        raise RunError(f"out: {folder} cannot be made: {refusal(error)}") from error
