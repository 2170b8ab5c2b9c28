"""`distill record`: record labelled transitions once, to distil from them many times."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field
from rich.console import Console

from cluster.analysis.recording_table import recording_table
from cluster.commands.options import parse_options
from distill.config import MOST_ACTORS, CollectConfig, PlayConfig, Share
from distill.errors import ConfigError
from distill.game_names import Games
from distill.model_card import read_bounded, read_card
from distill.recording import hash_of
from distill.recording_manifest import RecordingSettings
from distill.teachers import Teacher, TeacherFile, choose_teachers, load_teacher


class RecordOptions(PlayConfig):
    """Record what teachers see and say at play, for `distill run --data`; the same command again goes on."""

    # What is recorded must not depend on the machine.
    actors: Annotated[int, Field(ge=1, le=MOST_ACTORS)] = 1  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """Actors per game that collect data."""
    folder: tyro.conf.Positional[Path]
    """Folder of the recording; one that is there goes on, with the settings that it has."""
    games: Games = ()
    """Games to record, by ROM name or Gymnasium id; all that have a teacher if empty."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files, or folders of them; one teacher a game."""
    transitions: Annotated[int, Field(ge=1)] = 540_000
    """Transitions per game; rounded up to whole chunks of every actor."""
    epsilon: Share = 0.05
    """Share of uniformly random actions."""
    driver: Literal["teacher", "student", "mixture"] = "teacher"
    """Who picks the actions while the teacher labels."""
    student: Path | None = None
    """Model file of the student that drives, with the drivers student and mixture."""
    student_share: Share = 0.5
    """With the driver mixture: share of episodes that the student drives."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of everything random; the same settings give the same files, however many cores there are."""
    serial: bool = False
    """Record in this process, without Ray."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Record, or go on."""
    options = parse_options(RecordOptions, arguments, "record", RecordOptions.__doc__ or "")
    # It takes seconds, which help and wrong options need not wait for.
    from cluster.run.record import RecordingPlan, record  # noqa: PLC0415

    chosen = choose_teachers(options.teachers, options.games)
    _require_student(options, chosen)
    teachers = {game: load_teacher(teacher) for game, teacher in chosen.items()}
    student = None if options.student is None else read_bounded(options.student)
    recording, whole = record(
        RecordingPlan(
            path=options.folder.absolute(),
            settings=_settings(options, teachers, student),
            config=CollectConfig(lanes=options.lanes, env_threads=options.env_threads, chunk_steps=options.chunk_steps),
            teachers=teachers,
            student=student,
            transitions=options.transitions,
            serial=options.serial,
            version=metadata.version("policy-distillery"),
        ),
        console,
    )
    console.print(recording_table(recording))
    if not whole:
        console.print(f"stopped; the same command goes on with {recording.path}", soft_wrap=True)


def _settings(options: RecordOptions, teachers: Mapping[str, Teacher], student: bytes | None) -> RecordingSettings:
    share = {"teacher": 0.0, "student": 1.0, "mixture": options.student_share}[options.driver]
    return RecordingSettings(
        teachers={game: hash_of(teacher.data) for game, teacher in teachers.items()},
        seed=options.seed,
        actors=options.actors,
        lanes=options.lanes,
        chunk_steps=options.chunk_steps,
        epsilon=options.epsilon,
        driver=options.driver,
        student=None if student is None else hash_of(student),
        student_share=share,
    )


def _require_student(options: RecordOptions, teachers: Mapping[str, TeacherFile]) -> None:
    if (options.student is None) != (options.driver == "teacher"):
        found = "none" if options.student is None else str(options.student)
        raise ConfigError(
            f"student: the driver {options.driver} {'needs' if options.student is None else 'takes no'} --student,"
            f" found {found}"
        )
    if options.student is not None:
        card = read_card(options.student)
        missing = [game for game in teachers if game not in card.actions]
        if missing:
            raise ConfigError(
                f"student: {options.student} plays {', '.join(card.actions)}, not {', '.join(missing)}; name its games"
                " with --games"
            )
