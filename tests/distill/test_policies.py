"""Policies (PPO, A2C) give the logits of the libraries that trained them, on real frames."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from torch import Tensor, nn

from distill.conversion import Told
from distill.errors import ModelFileError
from distill.importing import import_teacher
from distill.inference import make_q_function
from distill.model_card import ModelCard
from distill.models import load_model, model_bytes, save_model
from distill.networks import QNetwork
from tests.support.foreign_networks import Pixels, plain, saved
from tests.support.foreign_policies import CleanRLAgent, SampleFactory, TwoTrunks
from tests.support.real_frames import assert_same, real_frames

State = dict[str, Tensor]


def assert_policy(path: Path, expected: Tensor, form: str) -> tuple[QNetwork, ModelCard]:
    network, card = import_teacher(path, "pong")
    assert_same(network, "pong", expected)
    assert (card.labels, card.training["imported_from"]["format"]) == ("logits", form)
    loaded, found = load_model(model_bytes(network, card))
    assert found == card
    frames = real_frames("pong")
    torch.testing.assert_close(torch.from_numpy(make_q_function(loaded)(frames, "pong")), expected, rtol=0, atol=1e-5)
    return network, card


@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO])
@pytest.mark.parametrize("shared", [True, False])
def test_stable_baselines3(algorithm: Any, shared: bool, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"n_steps": 2} | ({} if algorithm is A2C else {"batch_size": 2})
    options = {"share_features_extractor": shared}
    model = algorithm("CnnPolicy", Pixels(6), device="cpu", seed=1, policy_kwargs=options, **settings)
    policy: ActorCriticCnnPolicy = model.policy
    with torch.no_grad():
        # The last layer of a new policy is a hundredth of what it becomes.
        policy.action_net.weight.mul_(100.0)
    model.save(tmp_path / "policy.zip")
    frames = torch.from_numpy(real_frames("pong"))
    with torch.no_grad():
        features = policy.mlp_extractor.forward_actor(policy.pi_features_extractor(frames.float() / 255))
        expected = policy.action_net(features)
        log_shares = policy.get_distribution(frames).distribution.logits
    network, card = assert_policy(tmp_path / "policy.zip", expected, "Stable-Baselines3 actor-critic")
    torch.testing.assert_close(network(frames, "pong").log_softmax(1), log_shares, rtol=0, atol=1e-5)
    actions, _ = model.predict(real_frames("pong"), deterministic=True)
    assert (network(frames, "pong").argmax(1).numpy() == actions).all()
    left_out = card.training["imported_from"]["left_out"]
    assert set(left_out) == {"features_extractor", "vf_features_extractor", "value_net"}
    with pytest.raises(ModelFileError, match=r"breakout has 4 actions \(ALE's minimal set\), found 6"):
        import_teacher(tmp_path / "policy.zip", "breakout")
    data = (tmp_path / "policy.zip").read_bytes()
    (tmp_path / "short.zip").write_bytes(data[:-1])
    with pytest.raises(ModelFileError, match="damaged"):
        import_teacher(tmp_path / "short.zip", "pong")


def test_policies_of_stable_baselines3_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "policy.zip"
    for options, message in (
        ({"net_arch": [64]}, r"expected three convolutions.*mlp_extractor.policy_net.0.weight \[64, 512\]"),
        ({"normalize_images": False}, "normalize_images=False"),
    ):
        PPO("CnnPolicy", Pixels(6), device="cpu", n_steps=2, batch_size=2, policy_kwargs=options).save(path)
        with pytest.raises(ModelFileError, match=message):
            import_teacher(path, "pong")


@pytest.mark.parametrize("model", [CleanRLAgent(), TwoTrunks()])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"agent": state, "args": {"seed": 1}}])
def test_other_agents(model: nn.Module, wrap: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "agent.pth", wrap(model.state_dict()))
    with torch.no_grad():
        expected = model(torch.from_numpy(real_frames("pong")))
    assert_policy(path, expected, "PyTorch state dict")
    with pytest.raises(ModelFileError, match="labels: expected logits, since it is an actor-critic, found q-values"):
        import_teacher(path, "pong", Told(labels="q-values"))


def test_what_an_actor_alone_gives_must_be_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "actor.pth", {f"actor.{key}": value for key, value in plain().items()})
    with pytest.raises(ModelFileError, match="is called an actor's, and no critic is beside it; say with --labels"):
        import_teacher(path, "pong")
    for labels in ("logits", "q-values"):
        assert import_teacher(path, "pong", Told(labels=labels))[1].labels == labels
    path = saved(tmp_path / "net.pth", plain())
    assert import_teacher(path, "pong")[1].labels == "q-values"
    assert import_teacher(path, "pong", Told(labels="logits"))[1].labels == "logits"


@pytest.mark.parametrize("nonlinearity", ["relu", "elu"])
@pytest.mark.parametrize("normalize_input", [True, False])
@pytest.mark.parametrize("name", ["config.json", "cfg.json"])
def test_sample_factory(nonlinearity: str, normalize_input: bool, name: str, tmp_path: Path) -> None:
    model = SampleFactory(nonlinearity, normalize_input=normalize_input)
    with torch.no_grad():
        expected = model(torch.from_numpy(real_frames("pong")))
    _, card = assert_policy(model.save(tmp_path, name=name), expected, "sample-factory")
    assert card.architecture.activation == nonlinearity
    assert card.architecture.pixels == ("standardized" if normalize_input else "scaled")


def test_sample_factory_by_the_folder_of_its_experiment(tmp_path: Path) -> None:
    model = SampleFactory()
    model.save(tmp_path / "pong")
    with torch.no_grad():
        assert_policy(tmp_path / "pong", model(torch.from_numpy(real_frames("pong"))), "sample-factory")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nonlinearity": "tanh"}, "setting nonlinearity of its experiment: expected relu or elu, found 'tanh'"),
        ({"obs_scale": 1.0}, r"setting obs_scale of its experiment: expected 255, found 1\.0"),
        ({"obs_subtract_mean": 128}, "setting obs_subtract_mean of its experiment: expected 0, found 128"),
        ({"normalize_input": 1}, "setting normalize_input of its experiment: expected True or False, found 1"),
        ({"encoder_conv_architecture": "resnet_impala"}, "expected convnet_atari, found 'resnet_impala'"),
    ],
)
def test_settings_of_sample_factory_that_cannot_be_read(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    checkpoint = SampleFactory().save(tmp_path, settings)
    with pytest.raises(ModelFileError, match=message):
        import_teacher(checkpoint, "pong")


def test_sample_factory_without_its_settings_or_its_statistics(tmp_path: Path) -> None:
    checkpoint = SampleFactory(normalize_input=False).save(tmp_path, {"normalize_input": True})
    with pytest.raises(ModelFileError, match=r"normalize_input: expected the mean and the variance of \[4, 84, 84\]"):
        import_teacher(checkpoint, "pong")
    for text, message in (("[]", "found others"), ("{", "expected the JSON"), ("[" * 90_000, "expected the JSON")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ModelFileError, match=message):
            import_teacher(checkpoint, "pong")
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelFileError, match=r"whose activations only its experiment's settings say: expected config"):
        import_teacher(checkpoint, "pong")


def impala() -> State:
    """Return an actor-critic on the residual trunk of IMPALA."""
    layers = [nn.Conv2d(4, 16, 3), *(nn.Conv2d(16, 16, 3) for _ in range(14)), nn.Linear(16, 256)]
    return dict(nn.ModuleDict({"net": nn.ModuleList(layers), "actor": nn.Linear(256, 6), "critic": nn.Linear(256, 1)})
                .state_dict())  # fmt: skip


def agent() -> State:
    return dict(CleanRLAgent().state_dict())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (impala(), "15 convolutions and 2 linear layers; expected three convolutions"),
        (agent() | {"network.0.weight": torch.ones(32, 3, 8, 8)}, "reads one frame in RGB, or 3 frames"),
        (dict(CleanRLAgent(4).state_dict()), r"pong has 6 actions \(ALE's minimal set\), found 4"),
        (agent() | dict(nn.ModuleDict({"lstm": nn.LSTM(512, 64)}).state_dict()), "a recurrent layer, lstm"),
        (
            {key.replace("actor.", "head."): value for key, value in agent().items()},
            "an actor-critic, whose actor cannot be told from its critic",
        ),
    ],
)
def test_what_is_no_policy_is_told_apart(state: State, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        import_teacher(saved(tmp_path / "agent.pth", state), "pong")
    assert "\n" not in str(caught.value)


def test_a_card_with_other_labels_is_refused(tmp_path: Path) -> None:
    network, card = import_teacher(saved(tmp_path / "agent.pth", agent()), "pong")
    save_model(tmp_path / "pong.safetensors", network, card)
    data = (tmp_path / "pong.safetensors").read_bytes()
    with pytest.raises(ModelFileError, match="expected the labels q-values or logits, found 'wishes'"):
        load_model(data.replace(rb"\"logits\"", rb"\"wishes\""))
