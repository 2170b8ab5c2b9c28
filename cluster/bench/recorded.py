"""The learner on recorded data, and the same learner on the buffer service."""

import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cluster.bench.parts import WARM_UP_SECONDS
from cluster.state.kinds import student_plan
from distill.chunks import Chunk
from distill.config import RunConfig
from distill.games import action_count
from distill.protocols import Services
from distill.recorded_chunks import RecordingWriter
from distill.recording import hash_of
from distill.recording_changes import begin, begin_sitting, end_sitting, writing
from distill.recording_manifest import RecordingSettings
from distill.segments import SegmentWriter
from distill.teachers import Teacher
from learner.student_trainer import StudentTrainer


def make_recording(path: Path, teacher: Teacher, chunks: Sequence[Chunk], transitions: int) -> None:
    """Record chunks again and again, each under a sequence number of its own."""
    steps = chunks[0].header.steps
    settings = RecordingSettings(
        teachers={teacher.game: hash_of(teacher.data)},
        seed=0,
        actors=1,
        lanes=1,
        chunk_steps=steps,
        epsilon=0.0,
        driver="teacher",
        student=None,
        student_share=0.0,
    )
    begin(path, settings, {teacher.game: teacher}, "bench")
    with writing(path):
        begin_sitting(path)
        most = -(-transitions // steps)
        writer = RecordingWriter(SegmentWriter(path / teacher.game, settings.series()[0]), most)
        for sequence in range(most):
            chunk = chunks[sequence % len(chunks)]
            writer.write(replace(chunk, header=replace(chunk.header, sequence=sequence)))
        writer.close()
        end_sitting(path, {})


def fed_trainer(
    config: RunConfig, game: str, services: Services, directory: Path, seconds: float, threaded: bool
) -> tuple[float, int]:
    """Return samples per second of a trainer that reads as it samples, and the peak memory of its process in bytes."""
    trainer = StudentTrainer(student_plan(config), {game: action_count(game)}, services, directory, threaded=threaded)
    while len(trainer.replays[game]) < config.training.min_replay:
        trainer.advance(0.05)
    trainer.advance(WARM_UP_SECONDS)
    before, began = trainer.limiter.get_state().sampled, time.perf_counter()
    while (left := began + seconds - time.perf_counter()) > 0.0:
        trainer.advance(left)
    rate = (trainer.limiter.get_state().sampled - before) / (time.perf_counter() - began)
    trainer.feed.close()
    return rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
