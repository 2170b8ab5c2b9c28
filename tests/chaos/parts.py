"""The parts of a run as processes: the product's own classes, with journals at the places where they meet the world.

A journal is put in by subclassing what a part hands things to: the pusher that gets Redis' answers, the replay that
chunks enter, the folder that checkpoints are saved to. Nothing of what these do is changed.
"""

import hashlib
import json
import logging
import multiprocessing
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import redis
import torch

import cluster.buffer.writer
import learner.student_trainer
import learner.trainer
from actors.evaluation import Evaluation, EvaluationTask
from cluster.buffer.push import Answer, EncodedChunk, Pusher
from cluster.models.coordinator import Coordinator
from cluster.models.ledger import Ledger
from cluster.models.lineage import Lineage
from cluster.redis.connection import connect
from cluster.services import RedisServices
from distill.chunks import Chunk
from distill.config import RunConfig, parse_settings
from distill.errors import BufferUnavailable, DistillError
from distill.promotion import Rule
from distill.protocols import STUDENT
from learner.checkpoints import CheckpointStore
from learner.label_replay import LabelReplay
from learner.plans import StudentPlan
from tests.chaos import wire
from tests.chaos.journal import Journal
from tests.chaos.mutations import apply_mutation

PAUSE_SECONDS = 0.04
"""Between two chunks of a producer."""
SLICE_SECONDS = 0.1
FLUSH_SECONDS = 20.0
PLAY_SECONDS = 0.1
LINEAGE = Lineage(STUDENT, (wire.GAME,), "student", ("best",))
RULE = Rule("new-high", look_episodes=2, most_episodes=2, best_episodes=0, lanes=2)
SETTINGS = {
    "student": "one_percent", "chunk_steps": wire.STEPS, "lanes": 2, "replay_capacity": 4_096, "min_replay": 64,
    "batch_size": 16, "sample_to_insert": 2.0, "sample_to_insert_window": 100_000.0, "updates": 1_000_000,
    "eval_every": 25, "optimizer": "adamw", "precision": "float32", "device": "cpu", "checkpoint_seconds": 0.5,
}  # fmt: skip

Sort = Literal["sound", "damaged", "schema", "stranger"]
"""What a producer writes: chunks of this run, with a bit turned over, of another schema, or of another run."""


@dataclass(frozen=True)
class Part:
    """What a part's process is told.

    Attributes:
        name: of the part, and of its journal.
        url: where it reaches Redis.
        folder: the run's.
        journals: where its journal goes.
        mutation: which mend is to be taken out, None for none.
        role: that it holds for the run, see `cluster.redis.holder`.
        incarnation: its number among those who hold that role one after the other.
    """

    name: str
    url: str
    folder: Path
    journals: Path
    mutation: str | None = None
    role: str = "run"
    incarnation: int = 0

    def open(self) -> tuple[Journal, RedisServices]:
        """Open the journal, and connect."""
        if self.mutation is not None:
            apply_mutation(self.mutation)
        logging.basicConfig(filename=self.journals / f"{self.name}.log", level=logging.INFO)
        services = wire.services(self.url, self.folder, self.role, self.incarnation)
        return Journal(self.journals / f"{self.name}.jsonl"), services

    def told_to_stop(self) -> bool:
        """Return whether this part's work is done, or nobody is left to do it for."""
        parent = multiprocessing.parent_process()
        gone = parent is not None and not parent.is_alive()
        return gone or (self.journals / f"{self.name}.stop").exists()


def produce(part: Part, producer: str, index: int, sort: Sort) -> None:
    """Write chunks until told to stop, then flush."""
    journal, services = part.open()

    class JournalledPusher(Pusher):
        def push(self, chunks: Sequence[EncodedChunk], accepted_gaps: Mapping[str, int]) -> list[Answer]:
            answers = super().push(chunks, accepted_gaps)
            for chunk, answer in zip(chunks, answers, strict=True):
                if answer.status in ("ok", "duplicate"):
                    journal.note("acknowledged", producer=producer, sequence=wire.id_of_encoded(chunk).sequence)
            return answers

    cluster.buffer.writer.Pusher = JournalledPusher
    if sort in ("damaged", "schema"):
        return _spoil(
            part, producer, sort, journal, JournalledPusher(connect(part.url), wire.RUN, wire.GAME, wire.LIMITS)
        )
    writer = services.writer(wire.GAME, index)
    sequence = 0
    while not part.told_to_stop():
        if writer.wait(SLICE_SECONDS):
            chunk = wire.make_chunk(producer, sequence, strange=sort == "stranger")
            journal.note("made", producer=producer, sequence=sequence, steps=wire.STEPS, digest=wire.digest_of(chunk))
            writer.write(chunk)
            sequence += 1
        time.sleep(PAUSE_SECONDS)
    left = writer.flush(FLUSH_SECONDS)
    journal.note("flushed", left=left)
    return None


def _spoil(part: Part, producer: str, sort: Sort, journal: Journal, pusher: Pusher) -> None:
    """Push chunks that must be refused until told to stop."""
    sequence = 0
    while not part.told_to_stop():
        chunk = wire.make_chunk(producer, sequence)
        journal.note("made", producer=producer, sequence=sequence, steps=wire.STEPS, digest=wire.digest_of(chunk))
        try:
            (answer,) = pusher.push([wire.encode(chunk, damaged=sort == "damaged", schema=sort == "schema")], {})
        except redis.RedisError:
            answer = Answer("full", 0)
        sequence += answer.status in ("ok", "duplicate")
        time.sleep(5 * PAUSE_SECONDS)


def learn(part: Part, threads: int = 1) -> None:
    """Train until told to stop, then close."""
    journal, services = part.open()
    torch.set_num_threads(threads)
    _note_learning(journal)
    config = parse_settings(RunConfig, SETTINGS, "chaos")
    plan = StudentPlan(config.student, config.training, config.learner, wire.STEPS, config.evaluation.eval_every, 1)
    try:
        trainer = learner.student_trainer.StudentTrainer(
            plan, {wire.GAME: wire.ACTIONS}, services, part.folder, threaded=True
        )
        journal.note("ready", updates=trainer.updater.updates)
        while not part.told_to_stop():
            status = trainer.advance(SLICE_SECONDS)
            journal.note("advanced", updates=status.updates)
        trainer.close()
    except DistillError as error:
        journal.note("gave up", kind=type(error).__name__, why=str(error))
        raise SystemExit(2) from error


def _note_learning(journal: Journal) -> None:
    """Make a learner of this process note what it reads, refuses, saves and publishes."""

    class JournalledReplay(LabelReplay):
        def append(self, chunk: Chunk) -> None:
            super().append(chunk)
            producer, sequence = wire.id_of(chunk)
            journal.note(
                "entered", producer=producer, sequence=sequence, steps=chunk.header.steps, digest=wire.digest_of(chunk)
            )

    class JournalledStore(CheckpointStore):
        def save(
            self, updates: int, tensors: Mapping[str, torch.Tensor], state: Any, version: int | None = None
        ) -> Path:
            content = _content(tensors, state)
            journal.note("saving", **content)
            path = super().save(updates, tensors, state, version)
            journal.note("saved", file=path.name, **content)
            return path

        def load_latest(self) -> tuple[dict[str, torch.Tensor], Any] | None:
            found = super().load_latest()
            journal.note("loaded", **({} if found is None else _content(*found)))
            return found

    class Refusals(logging.Handler):
        """The feed says in its log which chunk it refuses."""

        def emit(self, record: logging.LogRecord) -> None:
            if chunk := re.search(r"chunk ([^\s/]+)/(\d+)", record.getMessage()):
                journal.note("refused", producer=chunk[1], sequence=int(chunk[2]), reason=str(record.args[0]))  # type: ignore[index]

    publish = Ledger.publish

    def journalled_publish(ledger: Ledger, data: bytes, metadata: Mapping[str, Any]) -> int:
        begun = time.monotonic()
        version = publish(ledger, data, metadata)
        journal.note("published", version=version, digest=digest(data), begun=begun)
        return version

    learner.student_trainer.LabelReplay = JournalledReplay
    learner.trainer.CheckpointStore = JournalledStore
    Ledger.publish = journalled_publish
    logging.getLogger("learner.feed").addHandler(Refusals())


def _content(tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a history keeps of a checkpoint."""
    weights = hashlib.blake2b(digest_size=8)
    for name in sorted(tensors):
        weights.update(name.encode())
        weights.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return {
        "token": digest(json.dumps(state, sort_keys=True).encode()),
        "weights": weights.hexdigest(),
        "updates": state["updates"],
        "consumed": state["feed"]["consumed"],
        "inserted": sum(state["feed"]["inserted"].values()),
    }


def coordinate(part: Part, play_seconds: float = PLAY_SECONDS) -> None:
    """Play what the coordinator asks for, with made-up scores, until told to stop."""
    journal, services = part.open()
    coordinator = Coordinator([LINEAGE], services, RULE, 1)
    ledger, registry = services.ledger(STUDENT), services.for_actors().registry(STUDENT)
    results: list[tuple[EvaluationTask, Evaluation]] = []
    while not part.told_to_stop():
        try:
            orders = coordinator.advance(results)
            results = []
            journal.note("advanced", verdicts=ledger.verdicts())
            for task in orders.tasks[:1]:
                time.sleep(play_seconds)
                journal.note("fetched", version=task.version, digest=digest(registry.fetch(task.version)))
                results = [(task, made_up(task))]
        except BufferUnavailable:
            time.sleep(SLICE_SECONDS)
        except DistillError as error:
            journal.note("gave up", kind=type(error).__name__, why=str(error))
            raise SystemExit(2) from error
        time.sleep(SLICE_SECONDS)


def made_up(task: EvaluationTask) -> Evaluation:
    """Return scores that depend on the task alone; later versions are better on the whole."""
    noise = np.random.default_rng([task.version, task.block]).normal(size=task.episodes)
    return Evaluation(
        game=task.game, who=task.who, version=task.version, scores=tuple(task.version + 3 * noise),
        lengths=(1,) * task.episodes, lanes=task.lanes, epsilon=0.05, seed=task.seed, max_frames=1, noop_max=30,
        steps=task.episodes, seconds=0.0,
    )  # fmt: skip


def digest(data: bytes) -> str:
    """Return a short digest."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
