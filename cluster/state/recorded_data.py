"""What a run takes from the recording that it learns from: games, teachers, and the steps of a chunk."""

from pathlib import Path

from distill.config import CollectConfig, DistillConfig, RunConfig
from distill.errors import ConfigError, RunError
from distill.recording import Recording
from distill.recording_changes import reading
from distill.teachers import TeacherFile

_MOST_TOLD = 3


def with_recording(config: RunConfig, path: Path) -> tuple[RunConfig, dict[str, TeacherFile]]:
    """Return a configuration with what the recording decides, and the teacher of each game; every file is verified.

    Raises:
        RunError: if the recording is damaged, or being made.
        ConfigError: if a setting does not fit it.
    """
    with reading(path):
        recording = Recording.open(path)
    games = recording.require(config.general.games)
    damages = recording.damages(games)
    if damages:
        more = f"; and {len(damages) - _MOST_TOLD} more" if len(damages) > _MOST_TOLD else ""
        raise RunError(f"{'; '.join(damages[:_MOST_TOLD])}{more}")
    least = config.training.min_replay
    for game in games:
        if (found := recording.transitions(game)) < least:
            raise ConfigError(
                f"min_replay: found {least}; {path} has {found} transitions of {game}: lower it, or record more"
            )
    teachers = {game: recording.teacher(game) for game in games}
    files = tuple(teacher.path for teacher in teachers.values())
    named = tuple(place.resolve() for place in config.general.teachers)
    if config.general.teachers != DistillConfig().teachers and named != tuple(file.resolve() for file in files):
        raise ConfigError(f"teachers: {path} has those that have labelled; leave it out")
    if config.collect.chunk_steps not in (CollectConfig().chunk_steps, recording.chunk_steps):
        raise ConfigError(
            f"chunk_steps: found {config.collect.chunk_steps}; {path} has {recording.chunk_steps}; leave it out"
        )
    general = config.general.model_copy(
        update={"data": path.absolute(), "games": games, "teachers": files, "serial": True}
    )
    collect = config.collect.model_copy(update={"chunk_steps": recording.chunk_steps})
    return config.model_copy(update={"general": general, "collect": collect}), teachers
