"""The model registry of one lineage with what was decided about its versions, in Redis and in the run's folder.

Redis is what all processes of a run read, also those on other machines. The folder is what lasts: whatever is played,
judged, promoted or wanted for the result is there too. Before every change, and whenever `synchronise` is called, each
of the two gets what it lacks of the other. So Redis may come back empty or with older data at any moment, and a process
may be killed between any two writes.
"""

import json
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import redis

from actors.evaluation import EvaluationTask
from cluster.models.blocks import scores_key
from cluster.models.decisions import Blocks, Decisions, Promotion
from cluster.models.mirror import ModelMirror
from cluster.models.promotions import set_aside
from cluster.models.record import LATEST, Command, LineageRecord
from cluster.models.registry import CONFLICTS, KEEP, RedisModelRegistry, wanted
from cluster.redis.holder import Holder
from distill.errors import BufferUnavailable, RunError

log = logging.getLogger(__name__)

T = TypeVar("T")


@contextmanager
def as_outage() -> Generator[None]:
    """Take a disk that refuses the folder's copy for an outage, which others bear by trying again."""
    try:
        yield
    except RunError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise BufferUnavailable(str(error)) from error


class Ledger(RedisModelRegistry):
    """The model registry of one lineage, with what was decided about its versions; it connects when it is first used.

    Every method that does not only read the folder raises BufferUnavailable if Redis cannot be reached, or if the
    folder's disk takes no more: then nothing is decided that the folder would not know. It raises RunError if the
    folder is damaged.

    Args:
        client: the connection; the caller closes it.
        run: name of the run.
        lineage: the lineage of models.
        directory: the run's folder; the copy is in `<directory>/models/<lineage>`.
        keep: see `RedisModelRegistry`.
        holder: see there.
    """

    def __init__(
        self,
        client: redis.Redis,
        run: str,
        lineage: str,
        directory: Path,
        *,
        keep: int = KEEP,
        holder: Holder | None = None,
    ) -> None:
        super().__init__(client, run, lineage, keep=keep, holder=holder)
        self._mirror = ModelMirror(directory, lineage)
        self._settled: tuple[str, int | None] = "", None
        """Revision of Redis and state of the folder when last neither lacked anything."""

    def synchronise(self) -> LineageRecord:
        """Give Redis and the run's folder what each lacks of the other, and return what both know then."""
        with self._mirror.locked():
            return self._synchronised()

    def publish(self, data: bytes, metadata: Mapping[str, Any]) -> int:
        """Store a model in Redis and in the folder, point `latest` at it, and return its version."""
        text = json.dumps(dict(metadata), sort_keys=True)
        return self._change(
            lambda record: self._publication(record, data, text),
            lambda version: self._mirror.store(version, data, text),
        )

    def fetch(self, version: int) -> bytes:
        """Return a version's bytes, from the folder if they are there.

        Raises:
            BufferUnavailable: if they are neither there nor in Redis.
        """
        data = self._mirror.data(version)
        return super().fetch(version) if data is None else data

    def has(self, version: int) -> bool:
        """Return whether a version's bytes are in the folder, which is so after `synchronise` if they are anywhere."""
        return self._mirror.has(version)

    def add_scores(self, task: EvaluationTask, scores: Sequence[float]) -> None:
        """Note the raw scores of a block of episodes; noting the same block again changes nothing.

        Where Redis is out of reach, they are in the folder all the same, and Redis gets them when it is back.
        """
        noted = Decisions(scores={scores_key(task.version, task.game, task.purpose, task.block): list(scores)})

        def decide(record: LineageRecord) -> tuple[None, list[Command]]:
            return None, self._store.deciding(record.decisions, record.decisions.merged(noted))

        try:
            self._change(decide)
        except BufferUnavailable:
            with as_outage(), self._mirror.locked():
                self._mirror.store_decisions(self._mirror.decisions().merged(noted))
            raise

    def turn_down(self, version: int, verdict: Literal["rejected", "superseded"], why: str) -> bool:
        """Decide against a version; return False if it has a verdict already."""

        def decide(record: LineageRecord) -> tuple[bool, list[Command]]:
            known = record.decisions
            if version in known.verdicts:
                return False, []
            given = replace(known, verdicts={**known.verdicts, version: {"verdict": verdict, "why": why}})
            return True, self._store.deciding(known, given)

        return self._change(decide)

    def set_aside(self, version: int) -> None:
        """Keep a copy of a version's weights in the run's folder, until the lineage has trained twice as long.

        Weights that are nowhere leave nothing to keep.
        """
        with as_outage(), self._mirror.locked():
            set_aside(self._mirror, version)

    def promote(self, promotion: Promotion) -> bool:
        """Point the names at a version and note why, all at once; return False if it has a verdict already.

        Raises:
            RunError: if its bytes are nowhere, or not any more.
        """

        def decide(record: LineageRecord) -> tuple[bool, list[Command]]:
            if promotion.version in record.decisions.verdicts:
                return False, []
            verdict = {"verdict": "promoted", "why": promotion.why}
            return True, self._pointing(record, promotion, {promotion.version: verdict})

        return self._change(decide)

    def roll_back(self, promotion: Promotion) -> None:
        """Point the names at a version that was decided on before.

        Raises:
            RunError: if its bytes are nowhere, or not any more.
        """
        self._change(lambda record: (None, self._pointing(record, promotion, {})))

    def promotions(self) -> list[Promotion]:
        """Return promotions and roll-backs, oldest first."""
        return list(self._store.read().decisions.promotions)

    def verdicts(self) -> dict[int, str]:
        """Return what became of every version that was decided on."""
        return {version: given["verdict"] for version, given in self._store.read().decisions.verdicts.items()}

    def scores(self) -> Mapping[int, Mapping[str, Blocks]]:
        """Return all raw scores by version and game."""
        return self._store.read().decisions.blocks

    def _pointing(
        self, record: LineageRecord, promotion: Promotion, verdicts: Mapping[int, Mapping[str, Any]]
    ) -> list[Command]:
        known = record.decisions
        after = Decisions((*known.promotions, promotion), {**known.verdicts, **verdicts}, known.scores)
        names = dict.fromkeys(promotion.names, promotion.version)
        return [
            *self._secured(record, promotion.version),
            *self._store.deciding(known, after),
            *self._store.naming(names),
        ]

    def _change(
        self, decide: Callable[[LineageRecord], tuple[T, list[Command]]], done: Callable[[T], None] | None = None
    ) -> T:
        """Change what both know; `done` is called with the result once Redis has taken it."""
        with self._mirror.locked():
            for _ in range(CONFLICTS):
                record = self._synchronised()
                result, commands = decide(record)
                if not commands:
                    return result
                if self._store.change(record.revision, commands):
                    self._copy_soon(result, done)
                    return result
        raise self._contended()

    def _copy_soon(self, result: T, done: Callable[[T], None] | None) -> None:
        try:
            with as_outage():
                if done is not None:
                    done(result)
            self._synchronised()
        except BufferUnavailable as error:
            log.warning("%s: the run's folder gets what is new later: %s", self._lineage, error)

    def _synchronised(self) -> LineageRecord:
        """Do what `synchronise` does; the mirror is locked."""
        mirror, metadata = self._mirror, dict[int, str]()
        for _ in range(CONFLICTS):
            record, state = self._store.read(), mirror.state()
            if state is not None and self._settled == (record.revision, state):
                return record
            kept = mirror.decisions()
            lacking = self._lacking(record, kept, metadata)
            if not lacking:
                with as_outage():
                    self._copy(record, kept)
                self._settled = record.revision, mirror.state()
                return record
            if self._store.change(record.revision, lacking) and any(command[0] == "SET" for command in lacking):
                log.info("%s: Redis gets back versions that it has lost", self._lineage)
        raise self._contended()

    def _lacking(self, record: LineageRecord, kept: Decisions, metadata: dict[int, str]) -> list[Command]:
        """Return what Redis lacks of the folder: of bytes one version at a time, and at last what makes it visible."""
        mirror, store = self._mirror, self._store
        lost = [version for version in mirror.versions() if version > record.newest]
        for version in lost:
            if version not in metadata:
                metadata[version] = json.dumps(mirror.metadata(version), sort_keys=True)
        decisions = kept.merged(record.decisions)
        names = self._names(record, decisions, lost)
        held = record.held.union(mirror.held())
        for version in sorted(wanted(held, names, decisions.promotions, self._keep) - record.held):
            data = mirror.data(version)
            if data is not None:
                return store.storing_data(version, data)
        return [
            *(command for version in lost for command in store.storing_version(version, metadata[version])),
            *store.deciding(record.decisions, decisions),
            *store.naming(dict(names.items() - record.names.items())),
        ]

    def _names(self, record: LineageRecord, decisions: Decisions, lost: Sequence[int]) -> dict[str, int]:
        """Return what names point at: as Redis says, unless it has lost something."""
        kept = self._mirror.names()
        behind = lost or record.decisions.promotions != decisions.promotions
        names = record.names | kept if behind else kept | record.names
        newest = max((record.newest, *lost))
        # What a promotion or a roll-back has named is known best from these themselves.
        return names | decisions.names | ({LATEST: newest} if newest else {})

    def _copy(self, record: LineageRecord, kept: Decisions) -> None:
        """Copy what is new in Redis to the folder, which drops the bytes that nobody will want."""
        mirror, store, decisions = self._mirror, self._store, record.decisions
        known, held = set(mirror.versions()), set(mirror.held())
        undecided = {version for version in record.held | held if version not in decisions.verdicts}
        # A version that nobody has decided on may yet be played, or be set aside for the curves.
        needed = undecided | wanted(record.held | held, record.names, decisions.promotions, self._keep)
        for version in sorted(record.held & needed - held):
            if (data := store.data(version)) is not None:
                mirror.store_data(version, data)
        for version in range(1, record.newest + 1):
            if version not in known and (metadata := store.metadata(version)) is not None:
                mirror.store_metadata(version, json.dumps(metadata, sort_keys=True))
        if decisions != kept:
            mirror.store_decisions(decisions)
        if record.names != mirror.names():
            mirror.store_names(record.names)
        mirror.keep_only(needed)

    def _secured(self, record: LineageRecord, version: int) -> list[Command]:
        data = None if version in record.held else self._mirror.data(version)
        if data is not None:
            return self._store.storing_data(version, data)
        try:
            return super()._secured(record, version)
        except RunError as error:
            raise RunError(f"{error}; nor are its bytes in the run's folder") from None
