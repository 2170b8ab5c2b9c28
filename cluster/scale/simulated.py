"""Many simulated actors in one process: they push recorded chunks at a set pace, each as a producer of its own.

Everything that the buffer service, the feed and the learner see of an actor is real: a connection, a producer id,
chunks that carry it and are numbered without a gap, pauses that grow while the buffer is full. What is left out is
emulator and network, and with them PyTorch: a chunk's columns were compressed once, and only its header is packed anew.
An actor holds one chunk where a real one holds up to 64.
"""

import asyncio
import random
import resource
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import redis

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import EncodedChunk, Limits, answer_of, push_arguments
from cluster.buffer.writer import retry_delay
from cluster.redis.connection import connect_asyncio, reason
from cluster.redis.keys import StreamKeys, stream_keys
from cluster.redis.typed_redis import AsyncCommands
from cluster.scale.readings import ActorsReading
from distill.chunks import ChunkHeader, pack
from distill.errors import RunError
from distill.histograms import FINE_BOUNDS, Histogram

_CONNECTING = 64
"""Connections that are made at once: a server's queue of new ones is short."""
_CONNECT_SECONDS = 60.0
_SPARE_FILES = 200
"""Open files beside the connections."""


@dataclass(frozen=True)
class Recorded:
    """A recorded chunk, its columns compressed, see `distill.chunks.pack`."""

    header: ChunkHeader
    columns: Mapping[str, bytes]


@dataclass(frozen=True)
class Simulation:
    """What it takes to simulate actors.

    Attributes:
        game: ROM name.
        actors: how many.
        chunks: that they push again and again, of one length.
        pace: transitions per second of each.
        address: of the buffer service.
    """

    game: str
    actors: int
    chunks: Sequence[Recorded]
    pace: float
    address: BufferAddress


@dataclass
class _Done:
    """What all actors together have done."""

    transitions: int = 0
    bytes: int = 0
    wait_seconds: float = 0.0
    pushes: Histogram = field(default_factory=lambda: Histogram(FINE_BOUNDS))
    acknowledged: dict[str, int] = field(default_factory=dict[str, int])


class SimulatedActors:
    """Simulates actors on an event loop in a thread of its own, from the first call of `advance` to `finish`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._done = _Done()
        self._connected = 0
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._stopping = False
        self._pauses: set[asyncio.Future[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def advance(self, seconds: float) -> ActorsReading:
        """Let the actors go on for `seconds`, and return what they have done; the first call waits for connections.

        Raises:
            RunError: if they cannot all connect.
        """
        if self._thread is None:
            allow_connections(self._simulation.actors)
            self._thread = threading.Thread(target=self._run, name="simulated actors", daemon=True)
            self._thread.start()
            self._ready.wait(2 * _CONNECT_SECONDS)
        self._ended.wait(seconds)
        if self._failure is not None:
            why = str(self._failure) or type(self._failure).__name__
            raise RunError(
                f"simulated actors: {self._connected:,} of {self._simulation.actors:,} have connected, then: {why};"
                " simulate fewer, or raise the server's maxclients"
            ) from self._failure
        done = self._done
        return ActorsReading(
            at=time.monotonic(),
            cpu_seconds=time.process_time(),
            transitions=done.transitions,
            bytes=done.bytes,
            wait_seconds=done.wait_seconds,
            pushes=done.pushes.totals,
        )

    def finish(self, timeout: float) -> dict[str, int]:
        """End all actors once their pushes are answered; return how many chunks of each producer were acknowledged.

        They are numbered from 0 without a gap.

        Raises:
            RunError: if they do not end within `timeout` seconds.
        """
        if self._thread is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise RunError(f"simulated actors: expected the last pushes to be answered within {timeout:g} s")
        else:
            self._loop.close()
        return dict(self._done.acknowledged)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._simulate())
        except BaseException as error:  # noqa: BLE001 - kept for the caller's thread, which raises it
            self._failure = error
        finally:
            self._loop.close()
            self._ended.set()
            self._ready.set()

    async def _simulate(self) -> None:
        gate = asyncio.Semaphore(_CONNECTING)
        streams = [self._simulation.address.stream(self._simulation.game, n) for n in range(self._simulation.actors)]
        clients = [connect_asyncio(url) for url, _ in streams]
        try:
            async with asyncio.timeout(_CONNECT_SECONDS), asyncio.TaskGroup() as connecting:
                for client in clients:
                    connecting.create_task(self._connect(client, gate))
            self._ready.set()
            async with asyncio.TaskGroup() as actors:
                for number, (client, (_, shard)) in enumerate(zip(clients, streams, strict=True)):
                    actors.create_task(self._act(client, number, shard))
        except ExceptionGroup as errors:
            # The others were cancelled for the first one.
            raise errors.exceptions[0] from errors
        finally:
            await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)

    async def _connect(self, client: AsyncCommands, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                await client.ping()
            except (redis.RedisError, OSError) as error:
                raise RunError(reason(error)) from error
            self._connected += 1

    async def _act(self, client: AsyncCommands, number: int, shard: int) -> None:
        simulation, address = self._simulation, self._simulation.address
        producer_id = secrets.token_hex(8)
        keys = stream_keys(address.run, simulation.game, shard)
        interval = simulation.chunks[0].header.steps / simulation.pace
        self._done.acknowledged[producer_id] = sequence = 0
        await self._pause(random.uniform(0.0, interval))
        due = self._loop.time()
        while not self._stopping:
            recorded = simulation.chunks[(number + sequence) % len(simulation.chunks)]
            header = replace(
                recorded.header,
                run_id=address.run_id,
                producer=f"simulated-{number}",
                producer_id=producer_id,
                sequence=sequence,
            )
            chunk = EncodedChunk(producer_id, sequence, header.steps, pack(header, recorded.columns))
            if not await self._push(client, keys, address.limits, chunk):
                break
            sequence += 1
            self._done.acknowledged[producer_id] = sequence
            # One that was held up goes on from now: an actor does not make up for the time in which it waited.
            due = max(due + interval, self._loop.time())
            await self._pause(due - self._loop.time())

    async def _push(self, client: AsyncCommands, keys: StreamKeys, limits: Limits, chunk: EncodedChunk) -> bool:
        """Push a chunk until it is acknowledged; return False if the simulation ends before that."""
        done, gap = self._done, None
        failures = 0
        while True:
            sent = time.perf_counter()
            try:
                answer = answer_of(await client.evalsha(*push_arguments(keys, limits, chunk, gap)))
            except (redis.RedisError, OSError):
                kind = "outage"
            else:
                if answer.status in ("ok", "duplicate"):
                    done.pushes.observe(time.perf_counter() - sent)
                    done.transitions += chunk.steps
                    done.bytes += len(chunk.data)
                    return True
                kind = "full"
                if answer.status == "gap":
                    # The server has lost what it had acknowledged, which the books will tell.
                    gap = answer.number
            if self._stopping:
                return False
            waiting = time.perf_counter()
            await self._pause(retry_delay(kind, failures))
            done.wait_seconds += time.perf_counter() - waiting
            failures += 1

    async def _pause(self, seconds: float) -> None:
        """Sleep, until the simulation ends if that is sooner."""
        if seconds <= 0.0 or self._stopping:
            await asyncio.sleep(0)
            return
        woken = self._loop.create_future()
        timer = self._loop.call_later(seconds, _wake, woken)
        self._pauses.add(woken)
        try:
            await woken
        finally:
            timer.cancel()
            self._pauses.discard(woken)

    def _stop(self) -> None:
        self._stopping = True
        for woken in tuple(self._pauses):
            _wake(woken)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def allow_connections(count: int) -> None:
    """Let this process, and those that it starts, have so many connections open.

    Raises:
        RunError: if the machine does not allow that.
    """
    wanted = count + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RunError(
            f"actors: {count:,} simulated ones need {wanted:,} open files, this machine allows {hard:,}; raise it with"
            f" `ulimit -n {wanted}` as root, or simulate fewer"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
