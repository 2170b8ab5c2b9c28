"""How a recording is made, or goes on: its folder is opened, recorders play, every segment is closed."""

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from actors.recording_actor import RecorderSpec, RecorderStatus
from cluster.ray.cluster import RayCluster, available_cores
from cluster.ray.private import private_ray
from cluster.redis.holder import incarnation_of
from cluster.run.stop_request import StopRequest
from cluster.workers.recorders import Told, record_on_ray, record_serially
from distill.config import CollectConfig
from distill.recording import Recording
from distill.recording_changes import begin, begin_sitting, end_sitting, writing
from distill.recording_manifest import RecordingSettings
from distill.teachers import Teacher

log = logging.getLogger(__name__)

LOG_SECONDS = 15.0
"""Between two lines that tell how far it is, where there is no live display."""


@dataclass(frozen=True)
class RecordingPlan:
    """What is to be recorded.

    Attributes:
        path: the recording's folder.
        settings: what decides every byte.
        config: how the emulators are run.
        teachers: the teacher of every game.
        student: the driving student's model file as bytes, None where the teacher drives.
        transitions: of every game, at least; whole chunks of every actor are recorded.
        serial: record in this process.
        version: of this program.
    """

    path: Path
    settings: RecordingSettings
    config: CollectConfig
    teachers: Mapping[str, Teacher]
    student: bytes | None
    transitions: int
    serial: bool
    version: str

    @property
    def chunks(self) -> int:
        """Chunks of every series."""
        return -(-self.transitions // (self.settings.actors * self.settings.chunk_steps))


def record(plan: RecordingPlan, console: Console) -> tuple[Recording, bool]:
    """Record until all is there or the user asks to stop; return the recording, and whether all is there.

    Raises:
        DistillError: with what is wrong and what to do; what was recorded so far stays.
    """
    begin(plan.path, plan.settings, plan.teachers, plan.version)
    with writing(plan.path), StopRequest("the recording") as stop:
        sitting, before = begin_sitting(plan.path)
        specs = _missing(plan, before, sitting)
        scores = _record(plan, specs, stop, console)
        recording = end_sitting(plan.path, scores)
    return recording, not _missing(plan, recording, sitting)


def _missing(plan: RecordingPlan, recording: Recording, sitting: int) -> list[RecorderSpec]:
    """Return what it takes to record the series that lack chunks."""
    specs: list[RecorderSpec] = []
    for game in recording.games:
        for index, series in enumerate(recording.series[game]):
            if series.chunks < plan.chunks:
                specs.append(
                    RecorderSpec(
                        *(plan.path, plan.settings, game, plan.teachers[game].data, plan.student),
                        *(plan.config, index, plan.chunks),
                        # As in a run: a recording that goes on must not repeat the episodes of its first sitting.
                        incarnation=incarnation_of(sitting, 0),
                    )
                )
    return specs


def _record(
    plan: RecordingPlan, specs: Sequence[RecorderSpec], stop: StopRequest, console: Console
) -> dict[str, list[float]]:
    """Let recorders play until all is there, or the user asks to stop; return the newest scores of each game."""
    newest: dict[str, RecorderStatus] = {}
    log_at = time.monotonic() + LOG_SECONDS
    with ExitStack() as stack:
        shown = stack.enter_context(console.status("recording", spinner="line"))
        for told in stack.enter_context(closing(_recorders(plan, specs, stack))):
            if told is not None:
                newest[told[0].name] = told[1]
                count = sum(status.transitions for status in newest.values())
                progress = f"recording: {count:,} of {len(specs) * plan.chunks * plan.settings.chunk_steps:,}"
                shown.update(progress)
                if not console.is_interactive and time.monotonic() >= log_at:
                    log_at = time.monotonic() + LOG_SECONDS
                    log.info("%s", progress)
            if stop.requested:
                break
    scores: dict[str, list[float]] = {}
    for spec in specs:
        if spec.name in newest:
            scores.setdefault(spec.game, []).extend(newest[spec.name].collector.episode_scores)
    return scores


def _recorders(plan: RecordingPlan, specs: Sequence[RecorderSpec], stack: ExitStack) -> Generator[Told | None]:
    if plan.serial or len(specs) <= 1:
        return record_serially(specs)
    cores = available_cores()
    stack.enter_context(private_ray(cores))
    return record_on_ray(
        specs, RayCluster(cores), lambda worker, reason: log.warning("%s is replaced: %s", worker.name, reason)
    )
