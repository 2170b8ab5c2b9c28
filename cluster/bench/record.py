"""Records real chunks to measure with."""

from actors.collector import Collector
from actors.policy import warm_policy
from distill.chunks import Chunk, ChunkDecoder, ChunkEncoder
from distill.config import RunConfig, parse_settings
from distill.games import action_count
from distill.networks import ARCHITECTURES, QNetwork
from distill.protocols import WriterCounters

LANES = 16


class _Recorder:
    """A chunk writer that keeps what it is given."""

    def __init__(self) -> None:
        self.counters = WriterCounters()
        self.chunks: list[Chunk] = []
        self._encoder, self._decoder = ChunkEncoder(), ChunkDecoder()

    def write(self, chunk: Chunk) -> None:
        # The collector reuses its columns, so a copy is kept.
        self.chunks.append(self._decoder.decode(self._encoder.encode(chunk)))

    def wait(self, timeout: float) -> bool:
        del timeout
        return True

    def flush(self, timeout: float) -> int:
        del timeout
        return 0

    def close(self) -> None:
        """Nothing is open."""


def record_chunks(game: str, count: int, steps: int) -> list[Chunk]:
    """Return chunks of a randomly initialised network at play, half of its actions random."""
    recorder = _Recorder()
    config = parse_settings(RunConfig, {"lanes": LANES, "chunk_steps": steps, "epsilon": 0.5}, "bench").collect
    policy = warm_policy(QNetwork(ARCHITECTURES["net3"], {game: action_count(game)}), game)
    collector = Collector(game, policy, recorder, config, config.epsilon, seed=0)
    while len(recorder.chunks) < count:
        collector.collect(60.0, steps)
    collector.close()
    return recorder.chunks[:count]
