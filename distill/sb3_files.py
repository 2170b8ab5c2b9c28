"""Reads zips of Stable-Baselines3 and sb3-contrib: settings as JSON, and the weights as a file of `torch.save`."""

import json
import zipfile
from dataclasses import replace
from typing import Any

from distill import file_kinds
from distill.errors import ModelFileError
from distill.folds import mean_of_quantiles
from distill.games import action_count, known_games
from distill.model_card import MAX_HEADER_BYTES
from distill.state_dicts import PlainNetwork, network_of
from distill.torch_files import open_bounded, read_member, read_torch_file

_SETTINGS = "data"
_QUANTILES = "quantile_net"
_FORMS = {
    "q_net": "Stable-Baselines3 DQN",
    _QUANTILES: "QR-DQN of sb3-contrib",
    "action_net": "Stable-Baselines3 actor-critic",
}
"""Formats by the module that all of their kind have."""


def read_sb3_zip(name: str, data: bytes, file_bytes: int, game: str) -> tuple[str, PlainNetwork]:
    """Return the format of a zip, and its network as a plain one.

    Args:
        name: of the file, for messages.
        data: its bytes.
        file_bytes: size of the file on disk, which `data` was perhaps unpacked from.
        game: which it plays; tells how many quantiles an action has.

    Raises:
        ModelFileError: if it is damaged, or holds no network that can be read.
    """
    archive = open_bounded(name, data, file_bytes)
    policies = file_kinds.members(archive, file_kinds.SB3_POLICY)
    if len(policies) != 1:
        raise ModelFileError(f"{name}: expected one model of Stable-Baselines3, found {len(policies)}; zip one alone")
    inner = f"{name}: {file_kinds.SB3_POLICY}"
    content = read_torch_file(inner, read_member(name, archive, policies[0]), file_bytes)
    parts = dict.fromkeys(key.split(".")[0] for key in content.tensors)
    form = next((form for part, form in _FORMS.items() if part in parts), None)
    if content.tensors and form is None:
        raise ModelFileError(
            f"{name}: expected a network of Stable-Baselines3 for discrete actions, one of {', '.join(_FORMS)}; found"
            f" {', '.join(sorted(parts)[:8])}"
        )
    network = network_of(inner, content)
    if _QUANTILES in parts:
        network = _without_quantiles(name, network, game)
    _require_scaled(name, archive, policies[0].filename.removesuffix(file_kinds.SB3_POLICY))
    return form or "Stable-Baselines3", network


def _require_scaled(name: str, archive: zipfile.ZipFile, root: str) -> None:
    """Check that a zip's settings, under the folder `root` in it, have pixels divided by 255. Raises ModelFileError."""
    settings = archive.NameToInfo.get(f"{root}{_SETTINGS}")
    try:
        if settings is None or settings.file_size > MAX_HEADER_BYTES:
            raise ValueError("it is missing or too large")
        values: Any = json.loads(read_member(name, archive, settings))
        policy: dict[str, Any] = values["policy_kwargs"] or {}
        scaled = policy.get("normalize_images", True)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{name}: member {_SETTINGS}: expected the JSON of its settings: {error!r}") from error
    if scaled in (False, "False"):
        raise ModelFileError(f"{name}: expected pixels divided by 255, found a policy with normalize_images=False")


def _without_quantiles(name: str, network: PlainNetwork, game: str) -> PlainNetwork:
    """Return a QR-DQN with the mean of each action's quantiles as its q-value."""
    if game not in known_games():
        return network
    last, layer = next(reversed(network.layers.items()))
    outputs, actions = layer["weight"].shape[0], action_count(game)
    if outputs % actions:
        raise ModelFileError(
            f"{name}: game {game} has {actions} actions (ALE's minimal set), found {outputs} quantiles, which is no"
            " multiple of them: it was trained on another game or on the full set of actions"
        )
    layers = network.layers | {last: mean_of_quantiles(layer, actions)}
    return replace(
        network, layers=layers, folded=(*network.folded, f"{outputs // actions} quantiles an action, by their mean")
    )
