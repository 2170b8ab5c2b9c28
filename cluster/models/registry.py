"""The model registry: versions 1, 2, 3, ... of one lineage of a run's models and names that point at them, in Redis.

Redis is the truth while it lives. With a directory, all is mirrored there, and what a restarted Redis lacks comes back
from it.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import redis
from redis.client import Pipeline
from redis.exceptions import WatchError

from cluster.models.mirror import ModelMirror
from cluster.redis.connection import describe, reaching
from cluster.redis.holder import Holder
from cluster.redis.keys import claim_key, model_keys
from cluster.redis.typed_redis import typed
from distill.errors import RunError

KEEP = 8
KEEP_PROMOTED = 8
"""Newest promoted versions whose bytes are kept, so that a promotion can be rolled back."""
LATEST = "latest"
_CONFLICTS = 100

T = TypeVar("T")


class RedisModelRegistry:
    """Implements `distill.protocols.ModelRegistry`.

    Every method raises BufferUnavailable if Redis cannot be reached or refuses a write for want of memory.

    Args:
        client: the connection; the caller closes it.
        run: name of the run.
        lineage: the lineage of models, such as `student`.
        directory: the run's folder, mirrored to `<directory>/models/<lineage>`; None where nothing is mirrored.
        keep: newest versions whose bytes are kept, beside those that a name points at or that were promoted of late.
        history: keep the metadata of all versions for ever, and not only of those whose bytes are kept.
        holder: the process that writes; None where nobody can replace it.

    Raises:
        RunError: if the mirror is damaged.
        ReplacedError: if the holder was replaced; every method that writes raises it as well.
    """

    def __init__(
        self,
        client: redis.Redis,
        run: str,
        lineage: str,
        directory: Path | None = None,
        *,
        keep: int = KEEP,
        history: bool = True,
        holder: Holder | None = None,
    ) -> None:
        self._client = client
        self._run = run
        self._lineage = lineage
        self._keep = keep
        self._history = history
        self._holder = holder
        if holder is not None:
            # Before anything is read: what its predecessor writes from now on would not be seen.
            holder.claim(client)
        keys = model_keys(run, lineage)
        self._model, self._newest, self._metadata = keys.model, keys.newest, keys.metadata
        self._names, self._held, self._promotions = keys.names, keys.held, keys.promotions
        self._mirror = None if directory is None else ModelMirror(directory, lineage)
        if self._mirror is not None:
            with self._mirror.locked():
                self._restore(self._mirror)

    def publish(self, data: bytes, metadata: Mapping[str, Any]) -> int:
        """Store a model, point `latest` at it, and return its version; all of it becomes visible at once.

        Args:
            data: safetensors bytes.
            metadata: values that JSON can hold.
        """
        text = json.dumps(dict(metadata), sort_keys=True)
        if self._mirror is None:
            return self._publish(data, text)
        with self._mirror.locked():
            self._restore(self._mirror)
            version = self._publish(data, text)
            self._mirror.store(version, data, text)
            self._mirror_names(self._mirror)
        return version

    def fetch(self, version: int) -> bytes:
        """Return a version's bytes.

        Raises:
            RunError: if the registry does not hold them, or not any more.
        """
        with reaching(self._client, f"fetch model version {version}"):
            data = self._client.get(f"{self._model}{version}")
        if data is None:
            raise self._missing(version)
        return cast(bytes, data)

    def describe(self, version: int) -> dict[str, Any]:
        """Return a version's metadata.

        Raises:
            RunError: if there is no such version.
        """
        with reaching(self._client, f"describe model version {version}"):
            text = self._client.hget(self._metadata, str(version))
        if text is None:
            raise self._missing(version)
        return json.loads(text)

    def resolve(self, name: str) -> int | None:
        """Return the version that a name points at, or None."""
        with reaching(self._client, f"look up model {name!r}"):
            version = self._client.hget(self._names, name)
        return None if version is None else int(version)

    def assign(self, name: str, version: int) -> None:
        """Point a name at a version, whose bytes are then kept.

        Raises:
            RunError: if the registry does not hold them, or not any more.
        """
        with reaching(self._client, f"name model version {version} {name!r}"):
            assigned = self._transact(lambda pipeline: self._assign(pipeline, name, version))
        if not assigned:
            raise self._missing(version)
        if self._mirror is not None:
            with self._mirror.locked():
                self._mirror_names(self._mirror)

    def names(self) -> dict[str, int]:
        """Return all names and the versions that they point at."""
        with reaching(self._client, "list the names of models"):
            return self._names_in(self._client)

    def _publish(self, data: bytes, metadata: str) -> int:
        with reaching(self._client, "store a model"):
            return self._transact(lambda pipeline: self._store(pipeline, data, metadata))

    def _transact(self, queue: Callable[[Pipeline], T]) -> T:
        """Read and then write atomically: again from the start whenever another client has changed what was read."""
        keys = (claim_key(self._run), self._newest, self._names, self._held, self._promotions)
        with typed(self._client).pipeline(transaction=True) as pipeline:
            for _ in range(_CONFLICTS):
                try:
                    pipeline.watch(*keys)
                    if self._holder is not None and not self._holder.is_noted(pipeline):
                        # The server has lost it.
                        pipeline.unwatch()
                        self._holder.claim(self._client)
                        continue
                    result = queue(pipeline)
                    pipeline.execute()
                except WatchError:
                    continue
                return result
        raise RunError(
            f"models of {self._lineage} in run {self._run}: changed by others {_CONFLICTS} times during one change"
        )

    def _store(self, pipeline: Pipeline, data: bytes, metadata: str) -> int:
        """Queue all writes of a publication as one transaction, which fails if a watched key has changed meanwhile."""
        version = self._newest_in(pipeline) + 1
        wanted = {found for name, found in self._names_in(pipeline).items() if name != LATEST}
        wanted |= {json.loads(row)["version"] for row in pipeline.lrange(self._promotions, -KEEP_PROMOTED, -1)}
        held = self._held_in(pipeline) | {version}
        dropped = held - wanted - set(sorted(held)[-self._keep :])
        pipeline.multi()
        pipeline.set(self._newest, version)
        pipeline.set(f"{self._model}{version}", data)
        pipeline.hset(self._metadata, str(version), metadata)
        pipeline.hset(self._names, LATEST, version)
        pipeline.sadd(self._held, version)
        if dropped:
            pipeline.srem(self._held, *dropped)
            if not self._history:
                pipeline.hdel(self._metadata, *map(str, dropped))
            pipeline.unlink(*(f"{self._model}{old}" for old in dropped))
        return version

    def _assign(self, pipeline: Pipeline, name: str, version: int) -> bool:
        held = version in self._held_in(pipeline)
        pipeline.multi()
        if held:
            pipeline.hset(self._names, name, version)
        return held

    def _restore(self, mirror: ModelMirror) -> None:
        """Give Redis the versions that it lacks, because it is empty or was killed before it had written them."""
        with reaching(self._client, "restore models"):
            newest = self._newest_in(self._client)
            lost = [version for version in mirror.versions() if version > newest]
            if not lost:
                return
            pipeline = typed(self._client).pipeline(transaction=True)
            for version in lost:
                pipeline.hset(self._metadata, str(version), json.dumps(mirror.metadata(version), sort_keys=True))
                # What was only set aside is not worth Redis' memory.
                data = mirror.data(version) if mirror.holds(version) else None
                if data is not None:
                    pipeline.set(f"{self._model}{version}", data)
                    pipeline.sadd(self._held, version)
            for name, version in mirror.names().items():
                pipeline.hset(self._names, name, version)
            pipeline.set(self._newest, lost[-1])
            pipeline.execute()

    def _mirror_names(self, mirror: ModelMirror) -> None:
        """Bring the mirror's names, and the versions whose bytes it keeps, to what Redis says now."""
        mirror.store_names(self.names())
        with reaching(self._client, "list its models"):
            mirror.keep_only(self._held_in(self._client))

    def _newest_in(self, client: redis.Redis) -> int:
        return int(client.get(self._newest) or 0)

    def _names_in(self, client: redis.Redis) -> dict[str, int]:
        return {cast(bytes, name).decode(): int(version) for name, version in client.hgetall(self._names).items()}

    def _held_in(self, client: redis.Redis) -> set[int]:
        return {int(version) for version in client.smembers(self._held)}

    def _missing(self, version: int) -> RunError:
        with reaching(self._client, "list its models"):
            held = sorted(self._held_in(self._client))
        return RunError(
            f"version {version} of {self._lineage} in run {self._run}: the registry at {describe(self._client)} holds"
            f" {held or 'none'}; it keeps the newest {self._keep} and those with a name"
        )
