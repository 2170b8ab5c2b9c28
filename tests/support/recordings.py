"""Small recordings for tests: made-up chunks beside a teacher of a few weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distill.architectures import Architecture
from distill.chunks import Chunk, ChunkEncoder
from distill.games import action_count
from distill.model_card import ModelCard
from distill.models import save_model
from distill.networks import QNetwork
from distill.recording import Recording, hash_of
from distill.recording_changes import begin, begin_sitting, end_sitting, writing
from distill.recording_manifest import RecordingSettings
from distill.segments import SegmentWriter
from distill.teachers import Teacher, load_teacher, read_teacher

SMALL = Architecture("tiny", (1, 1, 1), 1)


def small_teacher(path: Path, game: str = "pong") -> Teacher:
    """Make a teacher that knows nothing, with a score."""
    network = QNetwork(SMALL, {game: action_count(game)})
    save_model(path, network, ModelCard("teacher", SMALL, network.actions, scores={game: {"scores": [1.0, 3.0]}}))
    return load_teacher(read_teacher(path))


def settings_of(teachers: Mapping[str, Teacher], *, seed: int = 1, actors: int = 1) -> RecordingSettings:
    return RecordingSettings(
        teachers={game: hash_of(teacher.data) for game, teacher in teachers.items()},
        seed=seed,
        actors=actors,
        lanes=2,
        chunk_steps=16,
        epsilon=0.05,
        driver="teacher",
        student=None,
        student_share=0.0,
    )


def record_series(
    folder: Path,
    teachers: Mapping[str, Teacher],
    chunks: Sequence[Sequence[Chunk]],
    *,
    seed: int = 1,
    segment_bytes: int = 4_000,
) -> Recording:
    """Make a recording, or go on with one, of these chunks for each actor; of every game the same."""
    settings = settings_of(teachers, seed=seed, actors=len(chunks))
    begin(folder, settings, teachers, "test")
    with writing(folder):
        begin_sitting(folder)
        for game in teachers:
            for name, mine in zip(settings.series(), chunks, strict=True):
                write_all(SegmentWriter(folder / game, name, segment_bytes), mine)
        return end_sitting(folder, {})


def write_all(writer: SegmentWriter, chunks: Sequence[Chunk]) -> None:
    encoder = ChunkEncoder()
    for chunk in chunks:
        writer.append(chunk, encoder.encode(chunk))
    writer.close()
