"""The measurements of `distill bench`, one method each; every method returns rows of the report."""

import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from cluster.bench.bare import BARE_VARIANTS, BareVariant, bare_collector, bare_learner
from cluster.bench.cuda import q_rows, student_rows, upload_rows
from cluster.bench.monitoring import MODES, Throughput, monitored_run
from cluster.bench.parts import (
    compressed_bytes,
    fill_buffer,
    full_replay_memory,
    gather_seconds,
    push_encoded,
    read_all,
    run_collector,
    run_trainer,
)
from cluster.bench.process import measure, side_by_side
from cluster.bench.record import record_chunks
from cluster.bench.recorded import fed_trainer, make_recording
from cluster.bench.rows import Row, compare
from cluster.bench.teach import run_explorer, run_q_trainer, single_process_loop
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.ray.cluster import available_cores
from cluster.redis.private_server import PrivateRedis
from cluster.services import FolderServices, RedisServices
from distill.chunks import ChunkEncoder
from distill.config import RunConfig, TrainingConfig, parse_settings
from distill.teach_config import TeachConfig
from distill.teachers import load_teacher, read_teacher

PAPER_GAMES = (
    "beam_rider", "breakout", "enduro", "freeway", "ms_pacman",
    "pong", "qbert", "riverraid", "seaquest", "space_invaders",
)  # fmt: skip
FULL_CAPACITY = 540_000
SMALL_CAPACITY = 20_000
RECORDED = 200_000
"""Transitions of a recording, more than a learner reads of it while it is measured."""
CHUNK_STEPS = 128
EXPLORE_SECONDS = 20.0
UNLIMITED = Limits(capacity=2 * FULL_CAPACITY, backlog=10**9)


class Suite:
    """All measurements, on one teacher.

    Args:
        game: ROM name of the teacher.
        teacher: its model file as bytes.
        rounds: how often each comparison is repeated.
        seconds: length of one measurement.
        device: of the learner.
        log: told what is being measured.
    """

    def __init__(
        self, game: str, teacher: bytes, rounds: int, seconds: float, device: str, log: Callable[[str], None]
    ) -> None:
        self._game = game
        self._teacher = teacher
        self._rounds = rounds
        self._seconds = seconds
        self._device = device
        self._log = log
        self._core = {max(range(available_cores()))}

    def collector(self) -> list[Row]:
        """Compare the collector with its bare loop, each on one core with 16 lanes and 1 emulator thread."""
        ours, bare = list[float](), list[float]()
        with self._services((self._game,)) as (services, _):
            for index in range(self._rounds):
                self._log(f"collector, round {index + 1} of {self._rounds}")
                lanes = RunConfig().collect.lanes
                bare.append(measure(bare_collector, self._game, self._teacher, lanes, self._seconds, cores=self._core))
                call = (self._game, self._teacher, RunConfig(), services, f"bench-{index}", self._seconds)
                ours.append(measure(run_collector, *call, cores=self._core))
        return [compare("collector, one core", ours, bare, "transitions/s", "ratio at least 1.10")]

    def learner(self) -> list[Row]:
        """Compare learners with the fastest bare loops of the same network, batch size and optimizer."""
        if self._device != "cpu":
            return self._learners_on_cuda()
        return [self._learner(batch_size, optimizer) for batch_size in (32, 256) for optimizer in ("adamw", "rmsprop")]

    def _learner(self, batch_size: int, optimizer: str) -> Row:
        ours, bare = list[float](), list[float]()
        config = self._learner_config(batch_size, optimizer)
        variant = self._best_variant(config)
        with self._filled(config) as (services, directory):
            for index in range(self._rounds):
                self._log(f"learner, batch {batch_size}, {optimizer}, round {index + 1} of {self._rounds}")
                call = (variant, config.student.student, batch_size, optimizer, self._device, self._seconds)
                bare.append(measure(bare_learner, *call, cores=self._core))
                place = directory / f"learner-{index}"
                call = (config, (self._game,), services, place, self._seconds)
                ours.append(measure(run_trainer, *call, cores=self._core))
        what = f"learner, one core, batch {batch_size}, {optimizer}"
        return compare(what, ours, bare, "samples/s", "ratio at least 0.92")

    def _learners_on_cuda(self) -> list[Row]:
        students = [
            self._learner_config(batch_size, optimizer, {"student": student, "sample_to_insert_window": 1e9})
            for student, optimizer in (("multi3", "adamw"), ("multi3", "rmsprop"), ("multi10", "adamw"))
            for batch_size in (32, 256, 2_048)
        ]
        learners = [
            parse_settings(
                TeachConfig,
                {
                    "q_batch_size": batch_size,
                    "q_sample_to_insert": None,
                    "min_replay": 20_000,
                    "replay_capacity": 100_000,
                    "checkpoint_seconds": 600.0,
                    "device": self._device,
                },
                "bench",
            )
            for batch_size in (64, 512)
        ]
        with self._filled(students[0]) as (services, directory):
            call = (self._game, services, directory, self._rounds, self._seconds)
            self._log("learners on the CUDA device, beside CUDA graphs of their updates, compiled or not")
            rows: list[Row] = measure(student_rows, students, *call)
            self._log("Q-learners on the CUDA device")
            rows += measure(q_rows, learners, *call)
            rows += measure(upload_rows, record_chunks(self._game, 48, CHUNK_STEPS), self._rounds)
        return rows

    def together(self) -> list[Row]:
        """Compare collector, Redis and trainer on all cores with the two bare loops side by side."""
        collected, learned, bare_collected, bare_learned = (list[float]() for _ in range(4))
        config = self._learner_config(32, "adamw")
        variant = self._best_variant(config)
        lanes = config.collect.lanes
        with self._filled(config) as (services, directory):
            for index in range(self._rounds):
                self._log(f"together, round {index + 1} of {self._rounds}")
                bare = (variant, config.student.student, 32, "adamw", self._device, self._seconds)
                steps, samples = side_by_side(
                    [(bare_collector, (self._game, self._teacher, lanes, self._seconds)), (bare_learner, bare)]
                )
                bare_collected.append(steps)
                bare_learned.append(samples)
                place = directory / f"together-{index}"
                collect = (self._game, self._teacher, config, services, f"together-{index}", self._seconds)
                learn = (config, (self._game,), services, place, self._seconds)
                steps, samples = side_by_side([(run_collector, collect), (run_trainer, learn)])
                collected.append(steps)
                learned.append(samples)
        collector = compare("together: collector", collected, bare_collected, "transitions/s", "")
        learner = compare("together: learner", learned, bare_learned, "samples/s", "")
        means = [
            (c / bc + s / bs) / 2 for c, bc, s, bs in zip(collected, bare_collected, learned, bare_learned, strict=True)
        ]
        both = Row("together: mean of both ratios", median(means), "ratio", ratio=median(means), bar="at least 0.85")
        return [collector, learner, both]

    def teach(self) -> list[Row]:
        """Compare explorer, Redis and Q-learner with a loop of the same algorithm in one process."""
        config = TeachConfig(training=TrainingConfig(min_replay=5_000, replay_capacity=50_000, device=self._device))
        limits = Limits(capacity=2 * FULL_CAPACITY, backlog=config.buffer.backlog)
        rows: list[Row] = []
        for what, cores in (("teach, all cores", None), ("teach, one core", self._core)):
            ours, bare = list[float](), list[float]()
            for index in range(self._rounds):
                self._log(f"{what}, round {index + 1} of {self._rounds}")
                bare.append(measure(single_process_loop, self._game, config, self._seconds, cores=cores))
                with self._services((self._game,), limits) as (services, directory):
                    learn = (self._game, config, services, directory, self._seconds)
                    # It plays for as long as the learner can take to fill its replay, to warm up and to be measured.
                    explore = (self._game, config, services, "bench", self._seconds + EXPLORE_SECONDS)
                    calls = [(run_explorer, explore), (run_q_trainer, learn)]
                    ours.append(side_by_side(calls, cores=cores)[1])
            rows.append(compare(what, ours, bare, "updates/s", "ratio at least 0.9" if cores is None else ""))
        return rows

    def buffer(self) -> list[Row]:
        """Measure pushing and reading chunks of 128 through Redis, and the bytes of the paper's ten games."""
        chunks = record_chunks(self._game, 48, CHUNK_STEPS)
        encoder = ChunkEncoder()
        encoded = [(encoder.encode(chunk), chunk.header.steps) for chunk in chunks]
        push, write, read, decode = (list[float]() for _ in range(4))
        for index in range(self._rounds):
            self._log(f"buffer, round {index + 1} of {self._rounds}")
            with self._services((self._game,)) as (services, _):
                push.append(measure(push_encoded, services, encoded, self._game, 400_000))
                read.append(measure(read_all, services, self._game, False))
            with self._services((self._game,)) as (services, _):
                write.append(measure(fill_buffer, services, chunks, 400_000, "bench"))
                decode.append(measure(read_all, services, self._game, True))
        rows = [
            Row("buffer: push", median(push), "transitions/s", bar="at least 200,000"),
            Row("buffer: read", median(read), "transitions/s", bar="at least 200,000"),
            Row("buffer: encode and push", median(write), "transitions/s"),
            Row("buffer: read and decode", median(decode), "transitions/s"),
        ]
        for game in PAPER_GAMES:
            self._log(f"bytes per transition of {game}")
            recorded = record_chunks(game, 16, CHUNK_STEPS)
            size = sum(len(encoder.encode(chunk)) for chunk in recorded)
            rows.append(Row(f"chunk of {game}", size / sum(c.header.steps for c in recorded), "bytes/transition"))
        return rows

    def gather(self) -> list[Row]:
        """Compare a gather of 32 from full replays of two games with one from small ones."""
        chunks = record_chunks(self._game, 48, CHUNK_STEPS)
        full, small = list[float](), list[float]()
        for index in range(self._rounds):
            self._log(f"gather, round {index + 1} of {self._rounds}")
            small.append(1e6 * measure(gather_seconds, chunks, SMALL_CAPACITY, 32, 5000, cores=self._core))
            full.append(1e6 * measure(gather_seconds, chunks, FULL_CAPACITY, 32, 5000, cores=self._core))
        what = f"gather of 32 at {FULL_CAPACITY:,} a game, beside {SMALL_CAPACITY:,}"
        return [compare(what, full, small, "microseconds", "ratio at most 1.3")]

    def memory(self) -> list[Row]:
        """Measure learner and Redis with two full replays, and a learner with ten compressed ones."""
        peak, redis = self._full_replays(("breakout", "pong"), "plain")
        compressed, _ = self._full_replays(PAPER_GAMES, "compressed")
        return [
            Row(f"learner, peak memory, two replays of {FULL_CAPACITY:,}", peak / 1e9, "GB", bar="at most 9"),
            Row("Redis, peak memory, the same transitions", redis / 1e6, "MB", bar="at most 300"),
            Row(f"learner, peak memory, ten compressed of {FULL_CAPACITY:,}", compressed / 1e9, "GB", bar="at most 2"),
        ]

    def _full_replays(self, games: tuple[str, ...], replay: str) -> tuple[int, int]:
        """Return the peak memory in bytes of a learner with a full replay of every game, and that of its Redis."""
        settings = {"sample_to_insert": None, "min_replay": 100_000, "updates": 10**9, "replay": replay}
        config = parse_settings(RunConfig, settings, "bench")
        with self._services(games) as (services, directory):
            for game in games:
                self._log(f"memory: filling the buffer with {game}")
                measure(fill_buffer, services, record_chunks(game, 200, CHUNK_STEPS), FULL_CAPACITY + CHUNK_STEPS, game)
            self._log(f"memory: filling the {replay} replays")
            return measure(full_replay_memory, config, games, services, directory)

    def compressed(self) -> list[Row]:
        """Compare a learner whose replay is compressed with one that keeps frames as they are."""
        ours, plain = list[float](), list[float]()
        kinds = [
            (found, self._learner_config(32, "adamw", {"replay": kind}))
            for found, kind in ((plain, "plain"), (ours, "compressed"))
        ]
        with self._filled(kinds[0][1]) as (services, directory):
            for index in range(self._rounds):
                self._log(f"compressed replay, round {index + 1} of {self._rounds}")
                for found, config in kinds:
                    place = directory / f"{config.training.replay}-{index}"
                    call = (config, (self._game,), services, place, self._seconds)
                    found.append(measure(run_trainer, *call, cores=self._core))
        what, bar = "learner, compressed beside plain, one core, batch 32", "ratio at least 0.9"
        rows = [compare(what, ours, plain, "samples/s", bar)]
        for game in PAPER_GAMES:
            self._log(f"bytes per transition of a compressed replay of {game}")
            size = compressed_bytes(record_chunks(game, 16, CHUNK_STEPS))
            rows.append(Row(f"compressed replay of {game}", size, "bytes/transition"))
        return rows

    def recorded(self) -> list[Row]:
        """Compare a learner that reads a recording with one that the buffer service feeds, at a run's own ratio."""
        more = {"sample_to_insert": RunConfig().learner.sample_to_insert, "sample_to_insert_window": 10_000}
        config = self._learner_config(32, "adamw", more)
        chunks = record_chunks(self._game, 48, CHUNK_STEPS)
        recorded, fed = list[tuple[float, int]](), list[tuple[float, int]]()
        with self._services((self._game,)) as (services, directory):
            file = directory / f"{self._game}.safetensors"
            file.write_bytes(self._teacher)
            data = directory / "recording"
            make_recording(data, load_teacher(read_teacher(file)), chunks, RECORDED)
            fill_buffer(services, chunks, RECORDED, "filling")
            for index in range(self._rounds):
                self._log(f"recorded, round {index + 1} of {self._rounds}")
                for found, mine, threaded in (
                    (recorded, FolderServices(data, (self._game,), directory / f"recorded-{index}"), False),
                    (fed, services, True),
                ):
                    call = (config, self._game, mine, directory / f"{threaded}-{index}", self._seconds, threaded)
                    found.append(measure(fed_trainer, *call, cores=self._core))
        what = "learner on recorded data, one core"
        memory = f"{what}, peak memory with a replay of {config.training.replay_capacity:,}"
        rates, peaks = zip(*recorded, strict=True)
        live_rates, live_peaks = zip(*fed, strict=True)
        return [
            compare(f"{what}, beside the live feed", list(rates), list(live_rates), "samples/s", ""),
            compare(memory, [p / 1e9 for p in peaks], [p / 1e9 for p in live_peaks], "GB", ""),
        ]

    def monitoring(self) -> list[Row]:
        """Compare a run that is scraped and shown with the same run while it is not."""
        with tempfile.TemporaryDirectory(prefix="distill-bench-") as name:
            teacher = Path(name) / f"{self._game}.safetensors"
            teacher.write_bytes(self._teacher)
            settings = {"teachers": [str(teacher)], "root": name, "name": "bench"}
            config = self._learner_config(32, "adamw", settings)
            found: list[dict[str, Throughput]] = []
            for index, measured in enumerate(monitored_run(config, self._rounds, self._seconds)):
                self._log(f"monitoring, round {index + 1} of {self._rounds}")
                found.append(measured)
        rows: list[Row] = []
        for mode in MODES[1:]:
            pairs = [(measured[mode], measured["off"]) for measured in found]
            ratios = [(on.updates / off.updates + on.steps / off.steps) / 2 for on, off in pairs]
            ours, off = (median(m[which].updates for m in found) for which in (mode, "off"))
            bar = "" if "viewer" in mode else "ratio at least 0.99"
            rows.append(Row(f"run with {mode}, beside neither", ours, "updates/s", off, median(ratios), bar))
        costs = [100 * (m["metrics"].driver - m["off"].driver) / available_cores() for m in found]
        return [*rows, Row("CPU of this machine for metrics", median(costs), "%", bar="at most 1")]

    def _best_variant(self, config: RunConfig) -> BareVariant:
        settings = config.learner
        self._log(f"choosing the fastest bare learner, batch {settings.batch_size}, {settings.optimizer}")
        call = (config.student.student, settings.batch_size, settings.optimizer, self._device, self._seconds)
        return max(BARE_VARIANTS, key=lambda variant: measure(bare_learner, variant, *call, cores=self._core))

    def _learner_config(self, batch_size: int, optimizer: str, more: Mapping[str, Any] | None = None) -> RunConfig:
        return parse_settings(
            RunConfig,
            {
                "sample_to_insert": None,
                "min_replay": 20_000,
                "replay_capacity": 100_000,
                "updates": 10**9,
                "eval_every": 10**9,
                "checkpoint_seconds": 600.0,
                "batch_size": batch_size,
                "optimizer": optimizer,
                "device": self._device,
                "learner_threads": 1,
                **(more or {}),
            },
            "bench",
        )

    @contextmanager
    def _services(self, games: tuple[str, ...], limits: Limits = UNLIMITED) -> Generator[tuple[RedisServices, Path]]:
        with tempfile.TemporaryDirectory(prefix="distill-bench-") as name:
            directory = Path(name)
            with PrivateRedis(directory / "redis") as server:
                yield RedisServices(BufferAddress(server.url, "bench", games, limits), directory), directory

    @contextmanager
    def _filled(self, config: RunConfig) -> Generator[tuple[RedisServices, Path]]:
        with self._services((self._game,)) as (services, directory):
            chunks = record_chunks(self._game, 48, CHUNK_STEPS)
            fill_buffer(services, chunks, config.training.min_replay + CHUNK_STEPS, "filling")
            yield services, directory
