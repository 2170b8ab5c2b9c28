"""What one recording process does: a teacher at its emulators, whose labelled steps go into a series of segments."""

import math
from dataclasses import dataclass
from pathlib import Path

from actors.collecting_actor import CollectorStatus, status_of
from actors.collector import Collector
from actors.policy import warm_policy
from distill.config import CollectConfig
from distill.inference import load_q_function
from distill.recorded_chunks import RecordingWriter
from distill.recording_manifest import RecordingSettings
from distill.segments import SegmentWriter

STUDENT_VERSION = 1
"""By which chunks tell that a student from a file has picked actions."""


@dataclass(frozen=True)
class RecorderSpec:
    """What it takes to start a recorder, also again after it died.

    Attributes:
        folder: of the recording.
        settings: of the recording.
        game: ROM name.
        teacher: the teacher's model file as bytes.
        student: the driving student's, None where the teacher drives.
        config: how the emulators are run.
        index: number of this recorder among those of its game.
        chunks: that its series is to have.
        incarnation: how often it was started before.
    """

    folder: Path
    settings: RecordingSettings
    game: str
    teacher: bytes
    student: bytes | None
    config: CollectConfig
    index: int
    chunks: int
    incarnation: int

    @property
    def name(self) -> str:
        """Name of the recorder, unique in the recording."""
        return f"{self.game}-{self.index}"


@dataclass(frozen=True)
class RecorderStatus:
    """What a recorder says after each slice.

    Attributes:
        collector: what it has played since its process began.
        transitions: of its whole series.
        done: whether the series has all its chunks.
    """

    collector: CollectorStatus
    transitions: int
    done: bool


class RecordingActor:
    """A collector with its teacher, the student that drives if one does, and the series that it appends to.

    Args:
        spec: what to play, and where it goes.
    """

    def __init__(self, spec: RecorderSpec) -> None:
        settings = spec.settings
        self._spec = spec
        self._segments = SegmentWriter(spec.folder / spec.game, settings.series()[spec.index])
        self._writer = RecordingWriter(self._segments, spec.chunks)
        self._collector = Collector(
            spec.game,
            warm_policy(load_q_function(spec.teacher)[0], spec.game),
            self._writer,
            spec.config,
            settings.epsilon,
            settings.seed,
            spec.name,
            spec.incarnation,
            producer_id=settings.producer_id(spec.name, spec.incarnation),
        )
        if spec.student is not None:
            self._collector.set_driver_share(settings.student_share)
            self._collector.set_driver(warm_policy(load_q_function(spec.student)[0], spec.game), STUDENT_VERSION)

    def advance(self, steps: int) -> RecorderStatus:
        """Play that many steps of every lane, however long they take: what is recorded does not depend on the time."""
        counters = self._collector.collect(math.inf, steps)
        status = status_of(self._spec.name, self._collector, counters, self._writer.counters)
        return RecorderStatus(status, self._segments.transitions, self._writer.full)

    def finish(self) -> None:
        """Close the segment that is open and the emulators; what the lanes hold is no whole chunk and is dropped."""
        self._collector.close()
