"""Records real chunks to measure with."""

from collections.abc import Callable

from actors.collector import Collector
from actors.policy import warm_policy
from distill.architectures import ARCHITECTURES
from distill.chunks import Chunk, ChunkDecoder, ChunkEncoder
from distill.config import RunConfig, parse_settings
from distill.games import action_count
from distill.inference import make_q_function
from distill.networks import QNetwork
from distill.protocols import WriterCounters

LANES = 16


class ChunkSink:
    """A chunk writer without a buffer service: it hands every chunk on.

    Args:
        take: what becomes of a chunk; its columns are valid until the collector's next step.
    """

    def __init__(self, take: Callable[[Chunk], object]) -> None:
        self.counters = WriterCounters()
        self._take = take

    def write(self, chunk: Chunk) -> None:
        """Hand a chunk on."""
        self._take(chunk)

    def wait(self, timeout: float) -> bool:
        """Return at once: there is always room."""
        del timeout
        return True

    def flush(self, timeout: float) -> int:
        """Return 0: nothing is held."""
        del timeout
        return 0

    def close(self) -> None:
        """Do nothing: nothing is open."""


def record_chunks(game: str, count: int, steps: int) -> list[Chunk]:
    """Return chunks of a randomly initialised network at play, half of its actions random."""
    chunks: list[Chunk] = []
    encoder, decoder = ChunkEncoder(), ChunkDecoder()
    # The collector reuses its columns, so a copy is kept.
    sink = ChunkSink(lambda chunk: chunks.append(decoder.decode(encoder.encode(chunk))))
    config = parse_settings(RunConfig, {"lanes": LANES, "chunk_steps": steps, "epsilon": 0.5}, "bench").collect
    policy = warm_policy(make_q_function(QNetwork(ARCHITECTURES["net3"], {game: action_count(game)})), game)
    collector = Collector(game, policy, sink, config, config.epsilon, seed=0)
    while len(chunks) < count:
        collector.collect(60.0, steps)
    collector.close()
    return chunks[:count]
