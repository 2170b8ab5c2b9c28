"""Teachers trained elsewhere: Stable-Baselines3 zips, PyTorch state dicts, files of Flax, safetensors without a card.

No code in a file is executed, and nothing takes more memory than a few times the file's size. An ONNX graph is no code,
but onnxruntime computes what it says.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from distill import file_kinds
from distill.architectures import Architecture, Graph
from distill.containers import Unpacked, unpack
from distill.conversion import Told, convert, labels_of
from distill.errors import ModelFileError
from distill.evaluation_protocols import protocol_of_format
from distill.flax_files import has_flax_names, read_flax_file, torch_layers
from distill.games import action_count
from distill.label_graph import LabelGraph
from distill.model_card import Labels, ModelCard, card_of, read_header
from distill.networks import QNetwork
from distill.onnx_teachers import convert_graph
from distill.sample_factory import is_sample_factory, with_settings
from distill.sb3_files import read_sb3_zip
from distill.state_dicts import PlainNetwork, find_network, network_of
from distill.torch_files import printable, read_torch_file

_CLEANRL_LAYERS = ("0", "2", "4", "7", "9")
_MAX_LEFT_OUT = 16


def import_teacher(path: Path, game: str, told: Told | None = None) -> tuple[QNetwork | LabelGraph, ModelCard]:
    """Read a teacher that another program trained.

    It must have been trained with `distill.games.PREPROCESSING`. A foreign file does not say, so nothing checks it.

    Args:
        path: a zip of Stable-Baselines3 (CnnPolicy: DQN, QR-DQN, PPO, A2C), a PyTorch state dict, alone or anywhere in
            a checkpoint, msgpack of Flax, safetensors without a card, or an ONNX graph; packed with gzip, in a zip or
            in a folder.
        game: the ROM name of the game it was trained on.
        told: what the file does not say itself.

    Returns:
        The network in float32, or the graph, and a card that says where it came from: file, hash, format, the prefix of
        the network in it and what else was in it.

    Raises:
        ModelFileError: if the file is missing, damaged, already native, of another kind, or holds no network of that
            game that this project has or can fold into one, or several.
    """
    told = told or Told()
    unpacked = unpack(path)
    if file_kinds.identify(unpacked.data) is file_kinds.ONNX:
        graph, labels, seen = convert_graph(unpacked.name, unpacked.data, game, told)
        source = _source(unpacked, "ONNX") | {"seen": list(seen)}
        return graph, _card(Graph(graph.parameters), game, labels, source)
    origin, found = _read(unpacked, path, game)
    labels = labels_of(unpacked.name, found, told)
    network = convert(unpacked.name, found, game, told)
    source = _source(unpacked, origin)
    if found.prefix:
        source["prefix"] = found.prefix
    if found.folded:
        source["folded"] = list(found.folded)
    if found.left_out:
        source["left_out"] = found.left_out[:_MAX_LEFT_OUT]
    return network, _card(network.architecture, game, labels, source)


def _card(architecture: Architecture | Graph, game: str, labels: Labels, source: dict[str, Any]) -> ModelCard:
    actions = {game: action_count(game)}
    training = {"imported_from": source, **protocol_of_format(source["format"])}
    return ModelCard("teacher", architecture, actions, training=training, labels=labels)


def _source(unpacked: Unpacked, origin: str) -> dict[str, Any]:
    """Return where a network came from; the hash is that of the model file itself, whatever it was packed in."""
    source: dict[str, Any] = {
        "file": unpacked.origin.name,
        "sha256": hashlib.sha256(unpacked.data).hexdigest(),
        "format": origin,
    }
    if unpacked.members:
        source["members"] = list(unpacked.members)
    return source


def _read(unpacked: Unpacked, path: Path, game: str) -> tuple[str, PlainNetwork]:
    """Return the format of a file, and the network in it."""
    name, data = unpacked.name, unpacked.data
    kind = file_kinds.identify(data)
    if kind is file_kinds.SAFETENSORS:
        origin, found = "safetensors", _read_safetensors(name, data)
    elif kind is file_kinds.FLAX:
        origin, found = "Flax msgpack", find_network(name, read_flax_file(name, data), "flax")
    elif kind is file_kinds.SB3_ZIP:
        origin, found = read_sb3_zip(name, data, unpacked.file_bytes, game)
    elif kind in (file_kinds.TORCH_FILE, file_kinds.PICKLE):
        origin, found = _read_torch(unpacked)
    elif kind is file_kinds.DAMAGED_ZIP:
        raise ModelFileError(f"{name}: truncated or damaged zip; copy or download it again")
    else:
        raise ModelFileError(
            f"{name}: expected a zip, a PyTorch file, msgpack of Flax, safetensors or ONNX, found {kind.told(path)}"
        )
    if _is_cleanrl(found):
        origin = "CleanRL dqn_atari" if found.support is None else "CleanRL c51_atari"
    return origin, found


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
    if has_flax_names(tensors):
        return find_network(name, torch_layers(tensors), "flax")
    return find_network(name, tensors)


def _read_torch(unpacked: Unpacked) -> tuple[str, PlainNetwork]:
    content = read_torch_file(unpacked.name, unpacked.data, unpacked.file_bytes)
    found = network_of(unpacked.name, content)
    if not is_sample_factory(found):
        return "PyTorch state dict", found
    return "sample-factory", with_settings(unpacked.name, found, content.tensors, unpacked.origin)


def _is_cleanrl(found: PlainNetwork) -> bool:
    return found.prefix.split(".")[-1] == "network" and tuple(found.layers) == tuple(
        f"{found.prefix}.{index}" for index in _CLEANRL_LAYERS
    )
