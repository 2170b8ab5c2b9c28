"""One lineage of models as Redis holds it: read as of one revision, and changed by one script if that still is so."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from cluster.models.decisions import Decisions
from cluster.redis.connection import describe, reaching
from cluster.redis.holder import Holder
from cluster.redis.keys import claim_key, model_keys
from cluster.redis.scripts import call_script
from cluster.redis.typed_redis import typed
from distill.errors import RunError

LATEST = "latest"
_NOTHING = b"0"
"""Revision of a lineage before its first change."""
Word = str | bytes | int
Command = tuple[Word, ...]


@dataclass(frozen=True)
class LineageRecord:
    """All that Redis holds of a lineage, except bytes and metadata of its versions.

    Attributes:
        revision: changes with every change, and is never the same again, also where Redis comes back with older data.
        newest: version, 0 before the first.
        names: the versions that they point at.
        held: versions whose bytes are there.
        decisions: about them.
    """

    revision: str
    newest: int
    names: dict[str, int]
    held: frozenset[int]
    decisions: Decisions


class LineageStore:
    """Reads and changes the keys of one lineage; every method raises BufferUnavailable if Redis is out of reach.

    Args:
        client: the connection; the caller closes it.
        run: name of the run.
        lineage: of models, such as `student`.
        holder: the process that writes; None where nobody can replace it.
    """

    def __init__(self, client: redis.Redis, run: str, lineage: str, holder: Holder | None = None) -> None:
        self._client = client
        self._run = run
        self._lineage = lineage
        self._keys = model_keys(run, lineage)
        self._holder = holder
        self._claimed = False
        self._known: LineageRecord | None = None

    def claim(self) -> None:
        """Note who writes from now on, which `read` does at the latest. Raises ReplacedError if he was replaced."""
        if self._holder is not None and not self._claimed:
            self._holder.claim(self._client)
            self._claimed = True

    def read(self) -> LineageRecord:
        """Return what there is.

        What was decided grows for as long as a run lasts; it is read again only after somebody has decided something.

        Raises:
            RunError: if it was not written by a run.
        """
        self.claim()
        keys, known = self._keys, self._known
        with reaching(self._client, "read what it knows of models"):
            # No transaction: at maxmemory Redis refuses to queue even reads. The revision is read first, so that a
            # change among what follows makes it an old one.
            pipeline = typed(self._client).pipeline(transaction=False)
            pipeline.get(keys.revision)
            pipeline.get(keys.newest)
            pipeline.hgetall(keys.names)
            pipeline.smembers(keys.held)
            revision, newest, names, held = cast(tuple[Any, ...], pipeline.execute())
            revision = (revision or _NOTHING).decode()
            if known is not None and known.revision == revision and _decided(revision):
                return known
            try:
                if known is not None and _decided(known.revision) == _decided(revision) != "":
                    decisions, still = known.decisions, True
                else:
                    decisions, still = self._read_decisions(revision)
                held = frozenset(int(version) for version in held)
                record = LineageRecord(revision, int(newest or 0), _names(names), held, decisions)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise RunError(
                    f"models of {self._lineage} in run {self._run} at {describe(self._client)}: expected what a run"
                    f" writes, found {error}; remove the keys that begin with {keys.model.split('model:')[0]}, and they"
                    " come back from the run's folder"
                ) from error
        self._known = record if still else None
        return record

    def _read_decisions(self, revision: str) -> tuple[Decisions, bool]:
        """Return what was decided, and whether the revision is still the same behind it."""
        keys = self._keys
        pipeline = typed(self._client).pipeline(transaction=False)
        pipeline.lrange(keys.promotions, 0, -1)
        pipeline.hgetall(keys.verdicts)
        pipeline.hgetall(keys.scores)
        pipeline.get(keys.revision)
        promotions, verdicts, scores, after = cast(tuple[Any, ...], pipeline.execute())
        rows = {"promotions": map(json.loads, promotions), "verdicts": _loaded(verdicts), "scores": _loaded(scores)}
        return Decisions.from_json(rows), (after or _NOTHING).decode() == revision

    def change(self, revision: str, commands: Sequence[Command]) -> bool:
        """Carry out commands on the lineage's keys; return False, with nothing done, if `revision` is an old one.

        Raises:
            ReplacedError: if the holder was replaced.
        """
        holder, keys = self._holder, self._keys
        deciding = any(command[1] in (keys.promotions, keys.verdicts, keys.scores) for command in commands)
        token = uuid.uuid4().hex
        after = f"{token} {token if deciding else _decided(revision)}"
        words: list[Word] = [*(("", "", "") if holder is None else holder.words), revision, after]
        for command in commands:
            words += (len(command), *command)
        with reaching(self._client, f"change models of {self._lineage}"):
            answer = call_script(self._client, "change", [keys.revision, claim_key(self._run)], words)
        if holder is not None:
            holder.require(self._client, answer)
            if answer[0] == b"lost":
                holder.claim(self._client)
        return answer[0] == b"ok"

    def data(self, version: int) -> bytes | None:
        """Return a version's bytes, None if they are not there."""
        with reaching(self._client, f"fetch model version {version}"):
            return cast(bytes | None, self._client.get(f"{self._keys.model}{version}"))

    def metadata(self, version: int) -> dict[str, Any] | None:
        """Return a version's metadata, None if they are not there."""
        with reaching(self._client, f"describe model version {version}"):
            text = self._client.hget(self._keys.metadata, str(version))
        return None if text is None else json.loads(text)

    def version_of(self, name: str) -> int | None:
        """Return the version that a name points at, or None."""
        with reaching(self._client, f"look up model {name!r}"):
            version = self._client.hget(self._keys.names, name)
        return None if version is None else int(version)

    def names(self) -> dict[str, int]:
        """Return all names and the versions that they point at."""
        with reaching(self._client, "list the names of models"):
            return _names(self._client.hgetall(self._keys.names))

    def held(self) -> list[int]:
        """Return the versions whose bytes are there, oldest first."""
        with reaching(self._client, "list its models"):
            return sorted(int(version) for version in self._client.smembers(self._keys.held))

    def storing_data(self, version: int, data: bytes) -> list[Command]:
        """Return what stores a version's bytes."""
        return [("SET", f"{self._keys.model}{version}", data), ("SADD", self._keys.held, version)]

    def storing_version(self, version: int, metadata: str) -> list[Command]:
        """Return what makes a version the newest one, apart from its bytes and from names."""
        return [("HSET", self._keys.metadata, version, metadata), ("SET", self._keys.newest, version)]

    def dropping(self, versions: Iterable[int], *, history: bool) -> list[Command]:
        """Return what drops the bytes of versions, and without history their metadata."""
        commands: list[Command] = []
        for version in versions:
            commands += [("UNLINK", f"{self._keys.model}{version}"), ("SREM", self._keys.held, version)]
            commands += [] if history else [("HDEL", self._keys.metadata, version)]
        return commands

    def naming(self, names: Mapping[str, int]) -> list[Command]:
        """Return what points names at versions."""
        return [("HSET", self._keys.names, name, version) for name, version in names.items()]

    def deciding(self, before: Decisions, after: Decisions) -> list[Command]:
        """Return what turns decisions into others that hold more."""
        keys = self._keys
        commands: list[Command] = []
        if before.promotions != after.promotions:
            same = after.promotions[: len(before.promotions)] == before.promotions
            # What comes back may lie before what is there.
            commands += [] if same else [("UNLINK", keys.promotions)]
            added = after.promotions[len(before.promotions) :] if same else after.promotions
            commands += [("RPUSH", keys.promotions, promotion.to_text()) for promotion in added]
        for version in after.verdicts.keys() - before.verdicts.keys():
            commands.append(("HSET", keys.verdicts, version, json.dumps(after.verdicts[version])))
        for key in after.scores.keys() - before.scores.keys():
            commands.append(("HSET", keys.scores, key, json.dumps(after.scores[key])))
        return commands


def _decided(revision: str) -> str:
    """Return the part of a revision that changes with what was decided; empty if it was written by a version before."""
    return revision.partition(" ")[2]


def _names(values: Mapping[Any, Any]) -> dict[str, int]:
    return {cast(bytes, name).decode(): int(version) for name, version in values.items()}


def _loaded(values: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {name.decode(): json.loads(text) for name, text in values.items()}
