"""Teachers trained elsewhere: Stable-Baselines3 zips, PyTorch state dicts, files of Flax, safetensors without a card.

Nothing in a file is executed, and nothing takes more memory than a few times the file's size.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from distill import file_kinds
from distill.containers import unpack
from distill.conversion import Told, convert
from distill.errors import ModelFileError
from distill.evaluation_protocols import protocol_of_format
from distill.flax_files import has_flax_names, read_flax_file, torch_layers
from distill.model_card import ModelCard, card_of, read_header
from distill.networks import QNetwork
from distill.sb3_files import read_sb3_zip
from distill.state_dicts import PlainNetwork, find_network, network_of
from distill.torch_files import printable, read_torch_file

_CLEANRL_LAYERS = ("0", "2", "4", "7", "9")
_MAX_LEFT_OUT = 16


def import_teacher(path: Path, game: str, told: Told | None = None) -> tuple[QNetwork, ModelCard]:
    """Read a teacher that another program trained.

    It must have been trained with `distill.games.PREPROCESSING`. A foreign file does not say, so nothing checks it.

    Args:
        path: a DQN or QR-DQN zip of Stable-Baselines3 (CnnPolicy), a PyTorch state dict, alone or anywhere in a
            checkpoint, msgpack of Flax, or safetensors without a card; packed with gzip, in a zip or in a folder.
        game: the ROM name of the game it was trained on.
        told: what the file does not say itself.

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
        origin, found = read_sb3_zip(name, data, unpacked.file_bytes, game)
    elif kind in (file_kinds.TORCH_FILE, file_kinds.PICKLE):
        origin, found = "PyTorch state dict", network_of(name, read_torch_file(name, data, unpacked.file_bytes))
    elif kind is file_kinds.DAMAGED_ZIP:
        raise ModelFileError(f"{name}: truncated or damaged zip; copy or download it again")
    else:
        raise ModelFileError(
            f"{name}: expected a zip, a PyTorch file, msgpack of Flax or safetensors, found {kind.told(path)}"
        )
    if _is_cleanrl(found):
        origin = "CleanRL dqn_atari" if found.support is None else "CleanRL c51_atari"
    network = convert(name, found, game, told or Told())
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


def _is_cleanrl(found: PlainNetwork) -> bool:
    return found.prefix.split(".")[-1] == "network" and tuple(found.layers) == tuple(
        f"{found.prefix}.{index}" for index in _CLEANRL_LAYERS
    )
