"""Protocols: whose they are, in what they differ, and what a card says of them."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.errors import ModelFileError
from distill.evaluation_protocols import DISTILL, PROTOCOLS, protocol_of_format, trained_under
from distill.model_card import check_card, read_card, write_card
from distill.reproduction import ENTRY, Reproduction, with_entries
from distill.scores import GameScore
from distill.teachers import load_teacher, read_teacher
from tests.support.sandbox import TEACHERS

BREAKOUT = TEACHERS / "breakout.safetensors"


def test_every_protocol_has_a_source_and_differs_from_ours() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name and protocol.source
        assert protocol.is_ours == (name == "distill")
        assert protocol.told().startswith(f"epsilon {protocol.epsilon:g}, ")


@pytest.mark.parametrize(
    ("settings", "name", "ours"),
    [({}, "distill", True), ({"epsilon": 0.05}, "distill", True), ({"epsilon": 0.0}, "distill+epsilon=0.0", True),
     ({"noop_max": None, "fire": "never"}, "distill+fire=never", False),
     ({"sticky_actions": 0.25, "max_frames": 18_000}, "distill+sticky_actions=0.25+max_frames=18000", False)],
)  # fmt: skip
def test_a_changed_protocol_is_named_after_its_changes(settings: dict[str, object], name: str, ours: bool) -> None:
    protocol = DISTILL.changed(settings)
    assert (protocol.name, protocol.is_ours) == (name, ours)


@given(st.sampled_from(sorted(PROTOCOLS)), st.sampled_from(sorted(PROTOCOLS)))
def test_differences_name_every_setting_that_another_emulator_would_show(one: str, other: str) -> None:
    first, second = PROTOCOLS[one], PROTOCOLS[other]
    told = first.differences(second)
    mine, theirs = first.settings(), second.settings()
    assert len(told) == sum(mine[name] != theirs[name] for name in mine if name != "epsilon")
    assert all("(here " in difference for difference in told)


@pytest.mark.parametrize(
    ("file_format", "name"),
    [("Stable-Baselines3 DQN", "sb3"), ("QR-DQN of sb3-contrib", "sb3"), ("CleanRL dqn_atari", "cleanrl"),
     ("PyTorch state dict", None), ("safetensors", None), ("Flax msgpack", None)],
)  # fmt: skip
def test_a_format_tells_the_protocol_where_only_one_library_writes_it(file_format: str, name: str | None) -> None:
    assert protocol_of_format(file_format).get("protocol") == name


@pytest.mark.parametrize("training", [{}, {"protocol": "somebody's"}, {"protocol": ["sb3"]}, {"protocol": None}])
def test_a_card_may_name_no_protocol_or_a_strange_one(training: dict[str, object]) -> None:
    assert trained_under(training) is None


def test_a_teacher_of_another_protocol_is_told_when_it_is_to_label(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "breakout.safetensors"
    path.write_bytes(BREAKOUT.read_bytes())
    caplog.set_level(logging.WARNING)
    for protocol, warned in (("distill", False), ("sb3", True), ("dopamine", True)):
        caplog.clear()
        card = read_card(path)
        write_card(path, replace(card, training=card.training | {"protocol": protocol}))
        load_teacher(read_teacher(path))
        assert bool(caplog.messages) == warned
        if warned:
            assert f"trained under protocol {protocol}, and labels under this project's: " in caplog.messages[0]
    assert "sticky actions 0.25 (here no sticky actions)" in caplog.messages[0]


def reproduction(reported: float | None, name: str = "sb3") -> Reproduction:
    return Reproduction(PROTOCOLS[name], GameScore.of("breakout", "teacher", 0, [10.0, 20.0, 30.0, 40.0]), reported)


@pytest.mark.parametrize(
    ("reported", "verdict"),
    [(25.0, "it lies in the 95 % interval"), (90.0, "it lies above"), (-3.0, "it lies below"),
     (None, "under protocol sb3")],
)  # fmt: skip
def test_it_says_how_a_reported_score_compares(reported: float | None, verdict: str) -> None:
    assert verdict in reproduction(reported).sentence()


def test_one_episode_tells_nothing() -> None:
    alone = Reproduction(PROTOCOLS["sb3"], GameScore.of("breakout", "teacher", 0, [3.0]), 3.0)
    assert alone.sentence().endswith("too few episodes to tell")
    assert alone.card_entry()["interval"] is None


def test_scores_of_several_protocols_stand_beside_each_other_and_older_ones_give_way() -> None:
    ours = {"mean": 3.0, "scores": [3.0]}
    first = with_entries({}, ours=ours, other=None)
    second = with_entries(first, ours=None, other=reproduction(20.0))
    third = with_entries(second, ours=None, other=reproduction(30.0, "dopamine"))
    fourth = with_entries(third, ours={"mean": 4.0, "scores": [4.0]}, other=reproduction(None))
    assert first == ours and second["scores"] == [3.0]
    assert set(fourth[ENTRY]) == {"sb3", "dopamine"}
    assert fourth["mean"] == 4.0
    entry = third[ENTRY]["sb3"]
    assert (entry["reported"], entry["measured"], entry["protocol"], entry["episodes"]) == (20.0, 25.0, "sb3", 4)
    assert entry["interval"][0] < 25.0 < entry["interval"][1]


@pytest.mark.parametrize(
    "entries", [[], {"sb3": []}, {"sb3": {"scores": ["x"]}}, {"sb3": {"scores": [1e300]}}, {"sb3": None}]
)
def test_a_card_with_damaged_scores_of_a_protocol_is_refused(entries: object) -> None:
    card = read_card(BREAKOUT)
    with pytest.raises(ModelFileError, match="scores of 'breakout'"):
        check_card(replace(card, scores={"breakout": {"scores": [1.0], ENTRY: entries}}), "card")
