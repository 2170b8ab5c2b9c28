"""Words for games: whatever Gymnasium, ALE and Stable-Baselines3 call them is taken as the game, or refused."""

import logging
import re
from collections.abc import Iterator

import gymnasium
import pytest
from ale_py import roms
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from distill.errors import ConfigError
from distill.game_names import Games, meant_game
from distill.games import known_games
from distill.words import plain

GAMES = TypeAdapter[tuple[str, ...]](Games)
TWO_PLAYERS = sorted(set(roms.get_all_rom_ids()) - set(known_games()))


def registered() -> Iterator[tuple[str, str]]:
    """Yield every id that ale-py registers, with its ROM name."""
    for name, spec in gymnasium.registry.items():
        if str(spec.entry_point).startswith("ale_py"):
            yield name, spec.kwargs["game"]


def test_every_id_that_ale_py_registers_is_taken_as_its_game() -> None:
    ids = dict(registered())
    assert len(ids) > 300 and set(ids.values()) == set(known_games())
    assert {name: meant_game(name) for name in ids} == ids


@pytest.mark.parametrize("form", ["{}", "{}-v0", "{}-v4", "{}Deterministic-v4", "{}NoFrameskip-v4", "{}-ram-v4",
                                  "{}-ramNoFrameskip-v4", "{}-ramDeterministic-v0", "ALE/{}", "ALE/{}-v5",
                                  "ALE/{}-ram-v5", "ale_py:ALE/{}-v5", "{}_v5", " {} "])  # fmt: skip
def test_every_game_is_understood_in_every_form_of_an_id(form: str) -> None:
    for rom in known_games():
        title = rom.title().replace("_", "")
        for word in (title, rom, rom.replace("_", "-"), rom.replace("_", " "), title.upper(), title.lower()):
            assert meant_game(form.format(word)) == rom


@pytest.mark.parametrize(
    ("written", "game"),
    [("Ms. Pac-Man", "ms_pacman"), ("Q*bert", "qbert"), ("H.E.R.O.", "hero"), ("Mr. Do!", "mr_do"),
     ("Yars' Revenge", "yars_revenge"), ("Up 'n Down", "up_n_down"), ("Tic-Tac-Toe 3D", "tic_tac_toe_3d"),
     ("pacman", "pacman"), ("Pitfall2-v5", "pitfall2"), ("Atlantis2", "atlantis2")],
)  # fmt: skip
def test_titles_are_understood(written: str, game: str) -> None:
    assert meant_game(written) == game


def test_no_two_games_are_taken_for_each_other() -> None:
    assert len({plain(rom) for rom in roms.get_all_rom_ids()}) == len(roms.get_all_rom_ids())


def test_it_says_what_it_has_taken_a_word_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert meant_game("pong") == "pong"
    assert not caplog.messages
    assert meant_game("PongNoFrameskip-v4") == "pong"
    assert caplog.messages == ["game 'PongNoFrameskip-v4': taken as pong"]


@pytest.mark.parametrize("game", TWO_PLAYERS)
def test_games_for_two_players_are_refused_in_every_form(game: str) -> None:
    title = game.title().replace("_", "")
    for word in (game, title, f"ALE/{title}-v5", f"{title}NoFrameskip-v4"):
        with pytest.raises(ConfigError, match=f"game '{game}': it needs two players"):
            meant_game(word)


@pytest.mark.parametrize(
    ("written", "first"),
    [("pongg", "pong"), ("Pongs-v4", "pong"), ("EnduroNoFrameskp-v4", "enduro"), ("Space-Invader", "space_invaders"),
     ("ALE/MsPackman-v5", "ms_pacman"), ("montezuma", "montezuma_revenge"), ("MONTEZUMAS_REVENGE", "montezuma_revenge"),
     ("BREAK-OUTS", "breakout"), ("James Bond 007", "jamesbond"), ("StarGuner", "star_gunner")],
)  # fmt: skip
def test_the_first_suggestion_is_the_game_that_was_meant(written: str, first: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {first}[,?]"):
        meant_game(written)


def test_a_list_has_every_game_once_whatever_it_is_called() -> None:
    assert GAMES.validate_python(("Pong-v4", "ALE/Breakout-v5")) == ("pong", "breakout")
    with pytest.raises(ConfigError, match="games: each game once, found pong pong"):
        GAMES.validate_python(("pong", "PongNoFrameskip-v4"))


@given(
    st.one_of(st.text(), st.sampled_from(known_games()).flatmap(lambda rom: st.from_regex(rf"(ALE/)?{rom}.{{0,9}}")))
)
def test_any_word_is_a_game_or_refused_in_one_line(written: str) -> None:
    try:
        assert meant_game(written) in known_games()
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 500
        assert re.match("game .*: (not one of the 104 games that ale-py plays; |it needs two players)", str(error))
