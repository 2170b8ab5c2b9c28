"""`distill disagree`: where does a student lose? A page of the states in which its choice costs most."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field
from rich.console import Console

from cluster.commands.options import parse_options
from distill.config import Section, Share
from distill.errors import ConfigError, RunError
from distill.files import begins_with, require_writable, write_atomically
from distill.game_names import Games
from distill.model_card import read_card
from distill.teachers import TeacherFile, choose_teachers, find_teachers


class DisagreeOptions(Section):
    """Write a page of the states in which a student's choice costs most, by its teacher's q-values, with clips."""

    student: tyro.conf.Positional[Path]
    """Native model file of the student."""
    games: Games = ()
    """Games to play; all of the student's that have a teacher if empty."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files, or folders of them; one teacher a game."""
    out: Path = Path("disagreements.html")
    """File to write; an older page is replaced, another file is not."""
    episodes: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Episodes per game that the student plays."""
    states: Annotated[int, Field(ge=1, le=100)] = 12
    """States per game to show."""
    epsilon: Share = 0.05
    """Share of uniformly random actions."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of emulators and random actions."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Find out and write the page."""
    options = parse_options(DisagreeOptions, arguments, "disagree", DisagreeOptions.__doc__ or "")
    require_writable("out", options.out, ours=_is_page, kind="a page of `distill disagree`")
    teachers = _teachers(options)
    # They take seconds, which help and wrong options need not wait for.
    from cluster.disagree.conduct import disagreements  # noqa: PLC0415

    with console.status("playing", spinner="line") as status:
        text, lines = disagreements(
            options.student, {game: teacher.path for game, teacher in teachers.items()},
            episodes=options.episodes, states=options.states, epsilon=options.epsilon, seed=options.seed,
            tell=status.update,
        )  # fmt: skip
    try:
        write_atomically(options.out, text.encode())
    except OSError as error:
        raise RunError(f"page {options.out}: cannot be written: {error.strerror}; check the folder") from error
    for line in lines:
        console.print(line, soft_wrap=True)
    console.print(f"page: {options.out} ({len(text) / 1e6:.1f} MB)", soft_wrap=True)


def _teachers(options: DisagreeOptions) -> Mapping[str, TeacherFile]:
    """Return who judges each game; raises ConfigError if somebody is missing."""
    card = read_card(options.student)
    unknown = [game for game in options.games if game not in card.actions]
    if unknown:
        raise ConfigError(f"games: {options.student} plays {', '.join(card.actions)}, not {', '.join(unknown)}")
    games = options.games
    if not games:
        taught = {teacher.game for teacher in find_teachers(options.teachers).teachers}
        games = tuple(game for game in card.actions if game in taught)
        if not games:
            raise ConfigError(
                f"teachers: none for {', '.join(card.actions)} in {', '.join(map(str, options.teachers))}; name one"
                " with --teachers"
            )
    return choose_teachers(options.teachers, games)


def _is_page(path: Path) -> bool:
    return begins_with(path, b"Policy Distillery", b"Where the student loses")
