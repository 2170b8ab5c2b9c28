"""The names of a run's keys in Redis, and the way back from a key to its run.

The part in braces is Redis' hash tag: all that one script touches lies in one slot of a Redis Cluster.
"""

import re
from dataclasses import dataclass

PREFIX = "distill:"
_KEY = re.compile(rb"^distill:\{([^:{}]+)(?::([^:{}]+):(\d+))?\}:(.+)$")


@dataclass(frozen=True)
class StreamKeys:
    """The keys of one game and shard.

    Attributes:
        chunks: the stream. An entry's id is `<end>-<steps>`; `end` counts all transitions pushed up to and with it.
        meta: hash of pushed_chunks, pushed_transitions, trimmed_chunks; epoch, a random id of this stream;
            blocked, whether it has refused a push; and run_id and incarnations as in the run's claim.
        producers: hash of a producer's id to the last sequence number taken from it.
        cursors: hash of a reader's rank to the end up to which it has read.
    """

    chunks: str
    meta: str
    producers: str
    cursors: str


@dataclass(frozen=True)
class ParsedKey:
    """What a key of ours belongs to; game and shard are None for the model registry's keys."""

    run: str
    game: str | None
    shard: int | None
    kind: str


def stream_keys(run: str, game: str, shard: int) -> StreamKeys:
    """Return the keys of one game and shard."""
    return _tagged(f"{run}:{game}:{shard}")


def stream_patterns(run: str) -> StreamKeys:
    """Return patterns of the keys of all games and shards of a run, whose name holds no special character."""
    return _tagged(f"{run}:*")


@dataclass(frozen=True)
class ModelKeys:
    """The keys of one lineage of a run's models.

    Attributes:
        model: what the key of a version's bytes begins with; the version follows.
        newest: counter of versions.
        metadata: hash of metadata by version.
        names: hash of versions by name.
        held: set of the versions whose bytes are there.
        scores: hash of the scores of a candidate's episodes by version.
        verdicts: hash of what became of a candidate by version.
        promotions: list of promotions and roll-backs, oldest first.
        revision: two random words, one of the last change and one of the last that decided something.
    """

    model: str
    newest: str
    metadata: str
    names: str
    held: str
    scores: str
    verdicts: str
    promotions: str
    revision: str


def claim_key(run: str) -> str:
    """Return the key of the hash that says whose a run's name is: run id, host, folder, and the incarnation by role."""
    return f"{PREFIX}{{{run}}}:claim"


def model_keys(run: str, lineage: str) -> ModelKeys:
    """Return the keys of one lineage of a run's models."""
    tag = f"{PREFIX}{{{run}}}"
    kinds = ("newest", "metadata", "names", "held", "scores", "verdicts", "promotions", "revision")
    return ModelKeys(f"{tag}:model:{lineage}:", *(f"{tag}:{kind}:{lineage}" for kind in kinds))


def parse_key(key: bytes) -> ParsedKey | None:
    """Return what a key belongs to, or None if it is not one of ours."""
    match = _KEY.match(key)
    if match is None:
        return None
    run, game, shard, kind = match.groups()
    return ParsedKey(
        run.decode(errors="replace"),
        None if game is None else game.decode(errors="replace"),
        None if shard is None else int(shard),
        kind.decode(errors="replace"),
    )


def run_pattern(run: str) -> str:
    """Return the SCAN pattern that matches the keys of this run alone."""
    escaped = re.sub(r"([*?\[\]^\\-])", r"\\\1", run)
    return f"{PREFIX}{{{escaped}[:}}]*"


def _tagged(tag: str) -> StreamKeys:
    start = f"{PREFIX}{{{tag}}}"
    return StreamKeys(f"{start}:chunks", f"{start}:meta", f"{start}:producers", f"{start}:cursors")


def server_of(game: int, shard: int, servers: int) -> int:
    """Return the number of the server that keeps a shard of the game at that place among the run's games.

    Games begin at different servers, so that games with one shard are spread as well.
    """
    return (game + shard) % servers
