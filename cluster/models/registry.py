"""The model registry in Redis: versions 1, 2, 3, ... of one lineage of a run's models, and names that point at them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import redis

from cluster.models.decisions import Promotion
from cluster.models.record import LATEST, Command, LineageRecord, LineageStore
from cluster.redis.connection import describe
from cluster.redis.holder import Holder
from distill.errors import BufferUnavailable, RunError

KEEP = 8
KEEP_PROMOTED = 8
"""Newest promoted versions whose bytes are kept, so that a promotion can be rolled back."""
CONFLICTS = 100

T = TypeVar("T")


class RedisModelRegistry:
    """Implements `distill.protocols.ModelRegistry`; a `Ledger` also keeps all of it in the run's folder.

    Every method raises BufferUnavailable if Redis cannot be reached.

    Args:
        client: the connection; the caller closes it.
        run: name of the run.
        lineage: the lineage of models, such as `student`.
        keep: newest versions whose bytes are kept, beside those that a name points at or that were promoted of late.
        history: keep the metadata of all versions for ever, and not only of those whose bytes are kept.
        holder: the process that writes; every method that writes raises ReplacedError if it was replaced.
    """

    def __init__(
        self,
        client: redis.Redis,
        run: str,
        lineage: str,
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
        self._store = LineageStore(client, run, lineage, holder)

    def claim(self) -> None:
        """Note who writes from now on. Raises ReplacedError if he was replaced."""
        self._store.claim()

    def publish(self, data: bytes, metadata: Mapping[str, Any]) -> int:
        """Store a model, point `latest` at it, and return its version; all of it becomes visible at once.

        Args:
            data: safetensors bytes.
            metadata: values that JSON can hold.
        """
        text = json.dumps(dict(metadata), sort_keys=True)
        return self._change(lambda record: self._publication(record, data, text))

    def fetch(self, version: int) -> bytes:
        """Return a version's bytes.

        Raises:
            BufferUnavailable: if they are not there: Redis may have lost them, and get them back from the run's folder.
        """
        data = self._store.data(version)
        if data is None:
            raise BufferUnavailable(self._missing(version))
        return data

    def describe(self, version: int) -> dict[str, Any]:
        """Return a version's metadata.

        Raises:
            RunError: if there is no such version.
        """
        metadata = self._store.metadata(version)
        if metadata is None:
            raise RunError(self._missing(version))
        return metadata

    def resolve(self, name: str) -> int | None:
        """Return the version that a name points at, or None."""
        return self._store.version_of(name)

    def assign(self, name: str, version: int) -> None:
        """Point a name at a version, whose bytes are then kept.

        Raises:
            RunError: if they are nowhere, or not any more.
        """
        self._change(lambda record: (None, [*self._secured(record, version), *self._store.naming({name: version})]))

    def names(self) -> dict[str, int]:
        """Return all names and the versions that they point at."""
        return self._store.names()

    def _publication(self, record: LineageRecord, data: bytes, metadata: str) -> tuple[int, list[Command]]:
        version, store = record.newest + 1, self._store
        held = record.held | {version}
        dropped = held - wanted(held, record.names, record.decisions.promotions, self._keep)
        return version, [
            # First what frees memory.
            *store.dropping(sorted(dropped), history=self._history),
            *store.storing_data(version, data),
            *store.storing_version(version, metadata),
            *store.naming({LATEST: version}),
        ]

    def _change(self, decide: Callable[[LineageRecord], tuple[T, list[Command]]]) -> T:
        """Read and then write atomically: again from the start whenever another client has changed what was read."""
        for _ in range(CONFLICTS):
            record = self._store.read()
            result, commands = decide(record)
            if not commands or self._store.change(record.revision, commands):
                return result
        raise self._contended()

    def _secured(self, record: LineageRecord, version: int) -> list[Command]:
        """Return what makes Redis hold a version's bytes. Raises RunError if they are nowhere."""
        if version not in record.held:
            raise RunError(self._missing(version))
        return []

    def _contended(self) -> RunError:
        return RunError(
            f"models of {self._lineage} in run {self._run}: changed by others {CONFLICTS} times during one change"
        )

    def _missing(self, version: int) -> str:
        held = self._store.held()
        return (
            f"version {version} of {self._lineage} in run {self._run}: the registry at {describe(self._client)} holds"
            f" {held or 'none'}; it keeps the newest {self._keep} and those with a name"
        )


def wanted(held: Iterable[int], names: Mapping[str, int], promotions: Sequence[Promotion], keep: int) -> frozenset[int]:
    """Return the versions whose bytes are kept: the newest ones that are held, those with a name, the last promoted."""
    named = (version for name, version in names.items() if name != LATEST)
    promoted = (promotion.version for promotion in promotions[-KEEP_PROMOTED:])
    return frozenset((*sorted(held)[-keep:], *named, *promoted))
