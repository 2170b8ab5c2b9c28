"""Makes a history of what the parts' journals say and what is in Redis at the end."""

from tests.chaos import wire
from tests.chaos.history import (
    Checkpoint,
    ChunkId,
    Entered,
    History,
    LearnerHistory,
    Made,
    ProducerHistory,
    ProducerKind,
    Refused,
    Registry,
)
from tests.chaos.journal import Event
from tests.chaos.parts import Sort
from tests.chaos.system import Running, System

_KINDS: dict[Sort, ProducerKind] = {
    "sound": "sound", "damaged": "damaged", "schema": "damaged", "stranger": "stranger",
}  # fmt: skip


def history_of(system: System) -> History:
    """Return all that was seen of a system that has finished."""
    by_role: dict[str, list[Running]] = {"producer": [], "learner": [], "coordinator": []}
    for running in sorted(system.gone, key=lambda running: int(running.part.name.rpartition("-")[2])):
        by_role[running.part.name.partition("-")[0]].append(running)
    learners = [_learner(running.journal.events()) for running in by_role["learner"]]
    return History(
        producers={running.part.name: _producer(running) for running in by_role["producer"]},
        learners=[learner for learner in learners if learner is not None],
        stored=wire.stored_ids(system.client),
        store_losses=system.store_losses,
        spoiled=system.spoiled,
        registry=_registry(system, [event for running in by_role["coordinator"] for event in running.journal.events()]),
    )


def _producer(running: Running) -> ProducerHistory:
    life = ProducerHistory(killed=running.killed, kind=_KINDS[running.sort])
    for event in running.journal.events():
        if event["event"] == "made":
            life.made[event["sequence"]] = Made(event["steps"], event["digest"])
        elif event["event"] == "acknowledged":
            life.acknowledged.setdefault(event["sequence"], event["at"])
    return life


def _learner(events: list[Event]) -> LearnerHistory | None:
    """Return one life of a learner, None if it had not even looked for a checkpoint."""
    loaded = next((event for event in events if event["event"] == "loaded"), None)
    if loaded is None:
        return None
    # Before it is ready it has taken nothing from its predecessor.
    began = next((event["at"] for event in events if event["event"] == "ready"), loaded["at"])
    life = LearnerHistory(began, _checkpoint(loaded) if "token" in loaded else None)
    saved = {event["token"]: event["at"] for event in events if event["event"] == "saved"}
    for event in events:
        if event["event"] == "entered":
            life.entered.append(Entered(event["at"], _chunk(event), event["steps"], event["digest"]))
        elif event["event"] == "refused":
            life.refused.append(Refused(event["at"], _chunk(event), event["reason"]))
        elif event["event"] == "published":
            life.published.append((event["begun"], event["version"], event["digest"]))
        elif event["event"] == "saving":
            life.saved.append(_checkpoint(event, saved.get(event["token"])))
    return life


def _checkpoint(event: Event, done: float | None = None) -> Checkpoint:
    return Checkpoint(
        event["at"], event["token"], event["weights"], event["updates"], event["consumed"], event["inserted"], done
    )


def _chunk(event: Event) -> ChunkId:
    return ChunkId(event["producer"], event["sequence"])


def _registry(system: System, events: list[Event]) -> Registry:
    seen: dict[int, str] = {}
    for event in events:
        for version, verdict in event.get("verdicts", {}).items():
            seen.setdefault(int(version), verdict)
    return Registry(seen_verdicts=seen, **system.models())
