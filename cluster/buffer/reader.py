"""The learner's side: reads a run's chunks in order, and tells the server how far it has come.

A server that was restarted may have lost its newest chunks and have put others at the same offsets. Its run_id, and a
random epoch of the stream, are therefore read atomically with the chunks: if one is new, all is read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from cluster.buffer.connection import describe, reaching
from cluster.buffer.keys import StreamKeys, stream_keys
from cluster.buffer.scripts import call_script
from distill.errors import BufferUnavailable, ConfigError
from distill.protocols import StoredChunk

_ATTEMPTS = 3


@dataclass
class _Stream:
    """One game and shard as this reader knows it.

    Attributes:
        keys: of the stream.
        position: all chunks that end at or before it were read.
        identity: the server's run_id and the stream's epoch at the last read, None before the first.
    """

    keys: StreamKeys
    position: int = 0
    identity: tuple[bytes, bytes] | None = None


class RedisChunkReader:
    """Implements `distill.protocols.ChunkReader`; belongs to one thread.

    It begins at the oldest chunk that the server keeps.

    Args:
        client: the connection; the reader closes it.
        run: name of the run.
        games: the games that can be read.
        shards: streams per game.
        rank: of this reader; each rank reads everything and has a cursor of its own.
    """

    def __init__(self, client: redis.Redis, run: str, games: Sequence[str], *, shards: int = 1, rank: int = 0) -> None:
        self._client = client
        self._rank = rank
        self._streams = {game: [_Stream(stream_keys(run, game, shard)) for shard in range(shards)] for game in games}

    def read(self, game: str, max_chunks: int) -> list[StoredChunk]:
        """Return the next chunks of a game, at most `max_chunks`, in turn from its shards.

        An entry that no writer of ours has made comes with empty data, for the feed to refuse and count.

        Raises:
            BufferUnavailable: if the server cannot be reached. What other shards had is then read again.
            ConfigError: if the reader was not made for this game.
        """
        streams = self._streams.get(game)
        if streams is None:
            raise ConfigError(f"game {game!r}: this reader has {sorted(self._streams)}")
        chunks: list[StoredChunk] = []
        ends: list[tuple[_Stream, int]] = []
        for turn, stream in enumerate(streams):
            # An even share of what is left; the last ones may use up what the first ones did not have.
            share = -(-(max_chunks - len(chunks)) // (len(streams) - turn))
            if share <= 0:
                break
            found = [_stored(game, entry_id, fields) for entry_id, fields in self._next_entries(stream, share)]
            chunks += found
            if found:
                ends.append((stream, found[-1].end))
        for stream, end in ends:
            stream.position = end
        # The next read begins with another shard, so that none is left behind.
        streams.append(streams.pop(0))
        return chunks

    def commit(self) -> None:
        """Store how far this reader has read.

        Does nothing where the server was restarted since the last read: the next read goes back.

        Raises:
            BufferUnavailable: if the server cannot be reached.
        """
        with reaching(self._client, "store how far it was read"):
            for streams in self._streams.values():
                for stream in streams:
                    if stream.identity is not None and stream.position:
                        keys = [stream.keys.meta, stream.keys.cursors]
                        call_script(self._client, "commit", keys, [self._rank, stream.position, *stream.identity])

    def rewind(self) -> None:
        """Read again from the oldest chunk that the server keeps. What was committed stays so."""
        for streams in self._streams.values():
            for stream in streams:
                stream.position = 0

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _next_entries(self, stream: _Stream, count: int) -> list[tuple[bytes, list[bytes]]]:
        """Return the entries behind our position, which goes back first if the server or the stream is another one."""
        for _ in range(_ATTEMPTS):
            with reaching(self._client, "read chunks"):
                keys = [stream.keys.chunks, stream.keys.meta]
                run_id, epoch, entries = call_script(self._client, "read", keys, [stream.position, count])
            same = stream.identity == (run_id, epoch) or stream.position == 0
            stream.identity = (run_id, epoch)
            if same:
                return entries
            stream.position = 0
        raise BufferUnavailable(
            f"buffer service at {describe(self._client)}: it was restarted {_ATTEMPTS} times while it was read"
        )


def _stored(game: str, entry_id: bytes, pairs: list[bytes]) -> StoredChunk:
    end, steps = (int(part) for part in entry_id.split(b"-"))
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    try:
        life, sequence, data = fields[b"life"].decode(), int(fields[b"sequence"]), fields[b"data"]
    except (KeyError, ValueError):
        # Its own end as the sequence number keeps two such entries from being taken for one.
        life, sequence, data = "", end, b""
    return StoredChunk(game, end, steps, life, sequence, data)
