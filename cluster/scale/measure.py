"""One cell from beginning to end: servers, learner and actors start, warm up, are measured, and the books are made."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import ray

from actors.collecting_actor import CollectorSpec
from cluster.bench.record import record_chunks
from cluster.ray.cluster import RayCluster
from cluster.run.stop_request import StopRequest
from cluster.scale.books import Books, balance
from cluster.scale.cells import Cell, Settings
from cluster.scale.crew import Crew
from cluster.scale.points import Point
from cluster.scale.processes import MeasuredActor, MeasuredLearner
from cluster.scale.readings import ActorsReading, LearnerReading, ServerReading, busy_seconds
from cluster.scale.reference import Reference
from cluster.scale.servers import Servers, servers_of
from cluster.scale.simulated import Recorded, SimulatedActors, Simulation, allow_connections
from cluster.workers.placement import Placement, place
from distill.chunks import ChunkEncoder
from distill.config import RunConfig
from distill.games import action_count
from distill.histograms import BOUNDS, FINE_BOUNDS, growth, quantile, together

_START_SECONDS = 180.0
_WARM_SECONDS = 300.0
_LOOK_SECONDS = 1.0
_FINISH_SECONDS = 30.0
_RECORDED_CHUNKS = 48
_SEED = 1


@dataclass(frozen=True)
class _Moment:
    """Everything that was told until a moment."""

    at: float
    actors: Mapping[str, ActorsReading]
    learner: LearnerReading
    servers: Sequence[ServerReading]
    busy: float


@dataclass
class Measurements:
    """Measures the cells of one experiment.

    Attributes:
        settings: of the experiment.
        teacher: model file of its game as bytes.
        cluster: the Ray that is there.
        stop: whether the user wants to stop.
        reference: measures the bare loops, None to leave them out.
        machine: what to call the machine.
        commit: of the program.
    """

    settings: Settings
    teacher: bytes
    cluster: RayCluster
    stop: StopRequest
    reference: Reference | None
    machine: str
    commit: str

    @cached_property
    def chunks(self) -> tuple[Recorded, ...]:
        """What simulated actors push: real frames of a network at play."""
        encoder = ChunkEncoder()
        chunks = record_chunks(self.settings.game, _RECORDED_CHUNKS, self.settings.chunk_steps)
        return tuple(Recorded(chunk.header, encoder.compress(chunk)) for chunk in chunks)

    @cached_property
    def config(self) -> RunConfig:
        """Settings of actors and learner."""
        return self.settings.run_config()

    def measure(self, cell: Cell) -> Point:
        """Measure a cell.

        Raises:
            DistillError: if it cannot be.
            KeyboardInterrupt: if the user wants to stop.
        """
        settings = self.settings
        simulated = settings.simulate_env is not None
        placement = place(1 if simulated else cell.actors, 1, self.config.training, self.cluster)
        reference, reference_samples = self._reference(cell, placement)
        background = self._background()
        if simulated:
            # Before private servers start, which inherit it.
            allow_connections(cell.actors)
        with servers_of(settings.buffer, cell.servers, settings.game) as servers:
            crew = Crew(self.cluster, self.stop)
            try:
                self._start(crew, cell, servers, placement)
                self._warm_up(crew)
                before = self._moment(crew, servers)
                crew.during(settings.seconds)
                after = self._moment(crew, servers)
                unread = servers.unread()
                books = self._end(crew, servers, simulated=simulated)
            finally:
                crew.close()
        return Point(
            actors=cell.actors,
            servers=cell.servers,
            repeat=cell.repeat,
            settings=settings.identity(),
            **self._rates(cell, before, after, simulated=simulated),
            unread=unread,
            reference=reference,
            reference_samples=reference_samples,
            background=background,
            cores=self.cluster.cores,
            books=None if books is None else asdict(books),
            machine=self.machine,
            commit=self.commit,
        )

    def _reference(self, cell: Cell, placement: Placement) -> tuple[float | None, float | None]:
        if self.settings.pace is not None:
            return cell.actors * self.settings.pace, None
        return (None, None) if self.reference is None else self.reference.measure(cell.actors, placement)

    def _background(self) -> float:
        """Return how many cores are busy while nothing is measured."""
        # What was measured before has ended, and is still being cleared away.
        time.sleep(_LOOK_SECONDS)
        began, busy = time.monotonic(), busy_seconds()
        time.sleep(_LOOK_SECONDS)
        return (busy_seconds() - busy) / (time.monotonic() - began)

    def _start(self, crew: Crew, cell: Cell, servers: Servers, placement: Placement) -> None:
        settings, services = self.settings, servers.services
        actions = {settings.game: action_count(settings.game)}
        learner = ray.remote(MeasuredLearner).options(**placement.learner)
        # It is there first: chunks that wait for it would be counted when they come all at once.
        crew.add("learner", "learner", lambda: learner.remote(self.config, actions, services, settings.learn))
        crew.until(lambda: crew.learner is not None, _START_SECONDS, "the learner to start")
        if settings.pace is not None:
            simulation = Simulation(settings.game, cell.actors, self.chunks, settings.pace, services.address)
            simulated = ray.remote(SimulatedActors).options(**placement.actor)
            crew.add("simulated actors", "actors", lambda: simulated.remote(simulation))
            wanted = 1
        else:
            for number in range(cell.actors):
                name = f"{settings.game}-{number}"
                spec = CollectorSpec(settings.game, self.teacher, self.config.collect, _SEED, name, number, cell.repeat)
                actor = ray.remote(MeasuredActor).options(**placement.actor)
                crew.add(name, "actors", partial(actor.remote, spec, services.for_actors()))
            wanted = cell.actors
        crew.until(lambda: len(crew.actors) == wanted, _START_SECONDS, "all actors to start")

    def _warm_up(self, crew: Crew) -> None:
        crew.during(self.settings.warm_up)
        if self.settings.learn:
            what = "the learner's first update"
            crew.until(lambda: crew.learner is not None and crew.learner.samples > 0, _WARM_SECONDS, what)

    def _moment(self, crew: Crew, servers: Servers) -> _Moment:
        crew.refresh()
        assert crew.learner is not None, "it has started"
        return _Moment(time.monotonic(), dict(crew.actors), crew.learner, servers.readings(), busy_seconds())

    def _rates(self, cell: Cell, before: _Moment, after: _Moment, *, simulated: bool) -> dict[str, Any]:
        """Return what happened between two moments, every process by its own clock."""
        seconds = after.at - before.at
        pairs = [(before.actors[name], after.actors[name]) for name in after.actors]
        first, last = before.learner, after.learner
        passed = last.at - first.at
        servers = list(zip(before.servers, after.servers, strict=True))
        pushes = together([growth(old.pushes, new.pushes) for old, new in pairs])
        bounds = FINE_BOUNDS if simulated else BOUNDS["push"]
        quantiles = {name: quantile(bounds, pushes, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
        waits = sum((new.wait_seconds - old.wait_seconds) / (new.at - old.at) for old, new in pairs)
        cpu_seconds = {
            "actors": seconds * sum((new.cpu_seconds - old.cpu_seconds) / (new.at - old.at) for old, new in pairs),
            "redis": sum(new.cpu_seconds - old.cpu_seconds for old, new in servers),
            "learner": seconds * (last.cpu_seconds - first.cpu_seconds) / passed,
        }
        if self.cluster.hosts == 1:
            cpu_seconds["rest"] = max(0.0, after.busy - before.busy - sum(cpu_seconds.values()))
        return {
            "seconds": seconds,
            "transitions": sum((new.transitions - old.transitions) / (new.at - old.at) for old, new in pairs),
            "ingested": (last.inserted - first.inserted) / passed,
            "samples": (last.samples - first.samples) / passed,
            "push": {name: value for name, value in quantiles.items() if value is not None},
            "waits": {
                "actors": waits / cell.actors,
                "learner": (last.sample_wait_seconds - first.sample_wait_seconds) / passed,
                "feed": (last.insert_wait_seconds - first.insert_wait_seconds) / passed,
            },
            "cpu_seconds": cpu_seconds,
            "busiest_server": max(new.cpu_seconds - old.cpu_seconds for old, new in servers),
            "network_bytes": {
                "to_redis": sum(new.received - old.received for old, new in servers),
                "from_redis": sum(new.sent - old.sent for old, new in servers),
            },
        }

    def _end(self, crew: Crew, servers: Servers, *, simulated: bool) -> Books | None:
        """End the actors, then the learner, then look into the streams: in this order nothing changes in between."""
        seconds = _FINISH_SECONDS if simulated else 0.0
        acknowledged = crew.end("actors", lambda actor: actor.finish.remote(seconds), "the actors")
        ((taken, inserted),) = crew.end("learner", lambda learner: learner.finish.remote(), "the learner")
        if not simulated:
            return None
        trimmed = servers.trimmed_chunks()
        return balance(acknowledged[0], taken, servers.chunks(), inserted=inserted, trimmed_chunks=trimmed)
