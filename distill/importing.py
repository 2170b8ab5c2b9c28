"""Teachers trained elsewhere: Stable-Baselines3 zips, PyTorch state dicts, files of Flax, safetensors without a card.

Nothing in a file is executed, and nothing takes more memory than a few times the file's size.
"""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from distill import file_kinds
from distill.architectures import ARCHITECTURES, Architecture
from distill.containers import unpack
from distill.errors import ModelFileError
from distill.evaluation_protocols import protocol_of_format
from distill.flax_files import has_flax_names, read_flax_file, torch_layers
from distill.folds import mean_of_quantiles
from distill.games import MAX_ACTIONS, action_count, known_games
from distill.model_card import MAX_HEADER_BYTES, ModelCard, card_of, check_actions, read_header
from distill.models import check_finite
from distill.networks import QNetwork
from distill.state_dicts import PlainNetwork, find_network
from distill.torch_files import TorchContent, open_bounded, printable, read_member, read_torch_file

_SB3_SETTINGS = "data"
_SB3_NETWORK = "q_net."
_SB3_QUANTILES = "quantile_net."
_CLEANRL_LAYERS = ("0", "2", "4", "7", "9")
_MAX_LEFT_OUT = 16
_RESAVE = "where it was trained, torch.save(model.state_dict(), 'q.pth'), and import that"


def import_teacher(path: Path, game: str) -> tuple[QNetwork, ModelCard]:
    """Read a teacher that another program trained.

    It must have been trained with `distill.games.PREPROCESSING`. A foreign file does not say, so nothing checks it.

    Args:
        path: a DQN or QR-DQN zip of Stable-Baselines3 (CnnPolicy), a PyTorch state dict, alone or anywhere in a
            checkpoint, msgpack of Flax, or safetensors without a card; packed with gzip, in a zip or in a folder.
        game: the ROM name of the game it was trained on.

    Returns:
        The network in float32, and a card that says where it came from: file, hash, format, the prefix of the network
        in it and what else was in it.

    Raises:
        ModelFileError: if the file is missing, damaged, already native, of another kind, or holds no DQN of that game
            that is plain or can be folded into a plain one, or several.
    """
    unpacked = unpack(path)
    name, data = unpacked.name, unpacked.data
    kind = file_kinds.identify(data)
    if kind is file_kinds.SAFETENSORS:
        origin, found = "safetensors", _read_safetensors(name, data)
    elif kind is file_kinds.FLAX:
        origin, found = "Flax msgpack", find_network(name, read_flax_file(name, data))
    elif kind is file_kinds.SB3_ZIP:
        origin, found = _read_sb3(name, data, unpacked.file_bytes, game)
    elif kind in (file_kinds.TORCH_FILE, file_kinds.PICKLE):
        origin, found = "PyTorch state dict", _network_of(name, read_torch_file(name, data, unpacked.file_bytes))
    elif kind is file_kinds.DAMAGED_ZIP:
        raise ModelFileError(f"{name}: truncated or damaged zip; copy or download it again")
    else:
        raise ModelFileError(
            f"{name}: expected a zip, a PyTorch file, msgpack of Flax or safetensors, found {kind.told(path)}"
        )
    if _is_cleanrl(found):
        origin = "CleanRL dqn_atari"
    network = _build(name, found, game)
    # The hash is that of the model file itself, whatever it was packed in.
    source: dict[str, Any] = {
        "file": unpacked.origin.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "format": origin,
    }
    if unpacked.members:
        source["members"] = list(unpacked.members)
    if found.prefix:
        source["prefix"] = found.prefix
    if found.folded:
        source["folded"] = list(found.folded)
    if found.left_out:
        source["left_out"] = found.left_out[:_MAX_LEFT_OUT]
    training = {"imported_from": source, **protocol_of_format(origin)}
    card = ModelCard("teacher", network.architecture, dict(network.actions), training=training)
    return network, card


def _read_safetensors(name: str, data: bytes) -> PlainNetwork:
    try:
        header, _ = read_header(name, io.BytesIO(data), len(data))
        card_of(name, header)
    except ModelFileError:
        pass
    else:
        raise ModelFileError(f"{name}: already a model file of this project; use it as it is")
    try:
        tensors = {printable(key): tensor for key, tensor in safetensors.torch.load(data).items()}
    except SafetensorError as error:
        raise ModelFileError(f"{name}: truncated or damaged safetensors: {printable(str(error))}") from error
    return find_network(name, torch_layers(tensors) if has_flax_names(tensors) else tensors)


def _read_sb3(name: str, data: bytes, file_bytes: int, game: str) -> tuple[str, PlainNetwork]:
    """Return the format of a zip, and its network as a plain one."""
    archive = open_bounded(name, data, file_bytes)
    policies = file_kinds.members(archive, file_kinds.SB3_POLICY)
    if len(policies) != 1:
        raise ModelFileError(f"{name}: expected one model of Stable-Baselines3, found {len(policies)}; zip one alone")
    inner = f"{name}: {file_kinds.SB3_POLICY}"
    content = read_torch_file(inner, read_member(name, archive, policies[0]), file_bytes)
    quantiles = any(key.startswith(_SB3_QUANTILES) for key in content.tensors)
    if content.tensors and not quantiles and not any(key.startswith(_SB3_NETWORK) for key in content.tensors):
        parts = sorted({key.split(".")[0] for key in content.tensors})
        raise ModelFileError(
            f"{name}: expected a DQN of Stable-Baselines3, with a q_net; found a policy of"
            f" {', '.join(parts[:8])} (it has no q-values)"
        )
    network = _network_of(inner, content)
    if quantiles:
        network = _without_quantiles(name, network, game)
    root = policies[0].filename.removesuffix(file_kinds.SB3_POLICY)
    settings = archive.NameToInfo.get(f"{root}{_SB3_SETTINGS}")
    try:
        if settings is None or settings.file_size > MAX_HEADER_BYTES:
            raise ValueError("it is missing or too large")
        values: Any = json.loads(read_member(name, archive, settings))
        policy: dict[str, Any] = values["policy_kwargs"] or {}
        scaled = policy.get("normalize_images", True)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(
            f"{name}: member {_SB3_SETTINGS}: expected the JSON of a DQN's settings: {error!r}"
        ) from error
    if scaled in (False, "False"):
        raise ModelFileError(f"{name}: expected pixels divided by 255, found a policy with normalize_images=False")
    return ("QR-DQN of sb3-contrib" if quantiles else "Stable-Baselines3 DQN"), network


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


def _network_of(name: str, content: TorchContent) -> PlainNetwork:
    try:
        if content.tensors:
            return find_network(name, content.tensors)
    except ModelFileError as error:
        if not content.objects:
            raise
        raise ModelFileError(
            f"{error}; it also holds {_objects(content)}, which is not read, since it can run code"
        ) from error
    if not content.objects:
        raise ModelFileError(f"{name}: expected one state dict, alone or in a checkpoint; found {content.summary}")
    if all(callee.startswith("numpy") for callee in content.objects.values()):
        raise ModelFileError(
            f"{name}: expected tensors, found arrays of NumPy ({_objects(content)}); convert each with"
            " torch.from_numpy, torch.save the dict of tensors, and import that"
        )
    raise ModelFileError(
        f"{name}: expected tensors alone, as torch.save(network.state_dict(), ...) writes them, found"
        f" {_objects(content)}; other Python objects can run code and are refused; {_RESAVE}"
    )


def _objects(content: TorchContent) -> str:
    callees = list(dict.fromkeys(content.objects.values()))
    return ", ".join(callees[:3])


def _is_cleanrl(found: PlainNetwork) -> bool:
    return found.prefix.split(".")[-1] == "network" and tuple(found.layers) == tuple(
        f"{found.prefix}.{index}" for index in _CLEANRL_LAYERS
    )


def _build(name: str, found: PlainNetwork, game: str) -> QNetwork:
    first, second, third, hidden, actions = (int(layer["weight"].shape[0]) for layer in found.layers.values())
    _check_outputs(name, game, actions)
    with torch.device("meta"):
        network = QNetwork(_architecture((first, second, third), hidden), {game: actions})
    modules = ("conv1", "conv2", "conv3", "fc", f"heads.{game}.0")
    parameters = {
        f"{module}.{part}": tensor.float().clone(memory_format=torch.contiguous_format)
        for module, layer in zip(modules, found.layers.values(), strict=True)
        for part, tensor in layer.items()
    }
    check_finite(parameters, name)
    network.load_state_dict(parameters, assign=True)
    return network


def _check_outputs(name: str, game: str, outputs: int) -> None:
    """Check the outputs of the last layer, and explain counts that have a usual reason."""
    try:
        check_actions(name, game, outputs)
    except ModelFileError as error:
        actions = action_count(game) if game in known_games() else 0
        if actions and outputs == MAX_ACTIONS:
            raise ModelFileError(f"{error}, ALE's full set; train with full_action_space=False") from error
        if actions and outputs > MAX_ACTIONS and outputs % actions == 0:
            raise ModelFileError(
                f"{error}: {outputs // actions} an action, as of C51 or QR-DQN: not supported; train a plain DQN"
            ) from error
        raise


def _architecture(channels: tuple[int, int, int], hidden: int) -> Architecture:
    for known in ARCHITECTURES.values():
        if (known.channels, known.hidden, known.controller_hidden) == (channels, hidden, None):
            return known
    return Architecture("custom", channels, hidden)
