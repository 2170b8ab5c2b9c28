"""The learner's side: reads a run's chunks in order, and tells the server how far it has come.

A server that was restarted may have lost its newest chunks and have put others at the same offsets. Its run_id, and a
random epoch of the stream, are therefore read atomically with the chunks: if one is new, all is read again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from cluster.redis.connection import describe, reaching
from cluster.redis.holder import Holder
from cluster.redis.keys import StreamKeys, server_of, stream_keys
from cluster.redis.scripts import call_script
from distill.errors import BufferUnavailable, ConfigError
from distill.protocols import StoredChunk

log = logging.getLogger(__name__)

_ATTEMPTS = 3


@dataclass
class _Stream:
    """One game and shard as this reader knows it.

    Attributes:
        client: of its server.
        keys: of the stream.
        position: all chunks that end at or before it were read.
        identity: the server's run_id and the stream's epoch at the last read, None before the first.
        away: whether the last read failed.
    """

    client: redis.Redis
    keys: StreamKeys
    position: int = 0
    identity: tuple[bytes, bytes] | None = None
    away: bool = False


class RedisChunkReader:
    """Implements `distill.protocols.ChunkReader`; belongs to one thread.

    It begins at the oldest chunk that the server keeps.

    Args:
        clients: a connection to every server of the run, in the order of their URLs; the reader closes them.
        run: name of the run.
        games: the run's games, in its order.
        shards: streams per game.
        rank: of this reader; each rank reads everything and has a cursor of its own.
        holder: the process that reads; None where nobody can replace it.

    Making one, reading and committing raise ReplacedError once there is a reader of a later incarnation.
    """

    def __init__(
        self,
        clients: Sequence[redis.Redis],
        run: str,
        games: Sequence[str],
        *,
        shards: int = 1,
        rank: int = 0,
        holder: Holder | None = None,
    ) -> None:
        self._clients = clients
        self._rank = rank
        self._holder = holder
        self._words = ("", "", "") if holder is None else holder.words
        self._streams = {
            game: [
                _Stream(clients[server_of(place, shard, len(clients))], stream_keys(run, game, shard))
                for shard in range(shards)
            ]
            for place, game in enumerate(games)
        }
        if holder is not None:
            self._fence(holder)

    def _fence(self, holder: Holder) -> None:
        """Keep this reader's predecessor from moving the cursors on, before anything else of its work is taken over."""
        away: set[redis.Redis] = set()
        for stream in self._all():
            if stream.client in away:
                continue
            try:
                holder.claim(stream.client, stream.keys.meta)
            except BufferUnavailable as error:
                # The first read from there does it.
                away.add(stream.client)
                log.warning("%s", error)

    def read(self, game: str, max_chunks: int) -> list[StoredChunk]:
        """Return the next chunks of a game, at most `max_chunks`, in turn from its shards.

        An entry that no writer of ours has made comes with empty data, for the feed to refuse and count.

        Raises:
            BufferUnavailable: if a server cannot be reached and the others had nothing.
            ConfigError: if the reader was not made for this game.
        """
        streams = self._streams.get(game)
        if streams is None:
            raise ConfigError(f"game {game!r}: this reader has {sorted(self._streams)}")
        chunks: list[StoredChunk] = []
        trouble: BufferUnavailable | None = None
        for turn, stream in enumerate(streams):
            # An even share of what is left; the last ones may use up what the first ones did not have.
            share = -(-(max_chunks - len(chunks)) // (len(streams) - turn))
            if share <= 0:
                break
            try:
                found = [_stored(game, entry_id, fields) for entry_id, fields in self._next_entries(stream, share)]
            except BufferUnavailable as error:
                if not stream.away:
                    log.warning("%s; other streams are read meanwhile: %s", game, error)
                stream.away, trouble = True, error
                continue
            stream.away = False
            chunks += found
            if found:
                stream.position = found[-1].end
        # The next read begins with another shard, so that none is left behind.
        streams.append(streams.pop(0))
        if trouble is not None and not chunks:
            raise trouble
        return chunks

    def ended(self) -> bool:
        """Return False: more can always come."""
        return False

    def commit(self) -> None:
        """Store how far this reader has read.

        Does nothing where the server was restarted since the last read: the next read goes back.

        Raises:
            BufferUnavailable: if a server cannot be reached; it was stored at the others.
        """
        trouble: BufferUnavailable | None = None
        for stream in self._all():
            try:
                self._commit(stream)
            except BufferUnavailable as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def rewind(self) -> None:
        """Read again from the oldest chunk that the server keeps. What was committed stays so."""
        for stream in self._all():
            stream.position = 0

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _all(self) -> list[_Stream]:
        return [stream for streams in self._streams.values() for stream in streams]

    def _commit(self, stream: _Stream) -> None:
        if stream.identity is not None and stream.position:
            with reaching(stream.client, "store how far it was read"):
                keys = [stream.keys.meta, stream.keys.cursors]
                args = [*self._words, self._rank, stream.position, *stream.identity]
                answer = call_script(stream.client, "commit", keys, args)
            self._require_held(stream.client, answer)

    def _require_held(self, client: redis.Redis, answer: Sequence[bytes]) -> None:
        if self._holder is not None:
            self._holder.require(client, answer)

    def _next_entries(self, stream: _Stream, count: int) -> list[tuple[bytes, list[bytes]]]:
        """Return the entries behind our position, which goes back first if the server or the stream is another one."""
        for _ in range(_ATTEMPTS):
            with reaching(stream.client, "read chunks"):
                keys = [stream.keys.chunks, stream.keys.meta]
                answer = call_script(stream.client, "read", keys, [*self._words, stream.position, count])
            self._require_held(stream.client, answer)
            run_id, epoch, entries = answer
            same = stream.identity == (run_id, epoch) or stream.position == 0
            stream.identity = (run_id, epoch)
            if same:
                return entries
            stream.position = 0
        raise BufferUnavailable(
            f"buffer service at {describe(stream.client)}: it was restarted {_ATTEMPTS} times while it was read"
        )


def _stored(game: str, entry_id: bytes, pairs: list[bytes]) -> StoredChunk:
    end, steps = (int(part) for part in entry_id.split(b"-"))
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    try:
        producer_id, sequence, data = fields[b"producer_id"].decode(), int(fields[b"sequence"]), fields[b"data"]
    except (KeyError, ValueError):
        # Its own end as the sequence number keeps two such entries from being taken for one.
        producer_id, sequence, data = "", end, b""
    return StoredChunk(game, end, steps, producer_id, sequence, data)
