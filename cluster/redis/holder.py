"""Who may write for a run: in each role one process at a time, the one whose incarnation number is the largest.

The number is a fencing token. Whoever holds a role notes its own before it writes, in the run's claim for models and
decisions, in a stream's meta for cursors. Every write is refused, in the same atomic step, to a process whose number is
smaller than the noted one: it was replaced, though it may not know, as after a pause or on a node that was cut off.
A larger number of the run process itself fences all that worked for the run process before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import redis

from cluster.redis.connection import describe, reaching
from cluster.redis.keys import claim_key
from cluster.redis.scripts import call_script
from distill.errors import ReplacedError

RUN = "run"
"""Role of the process that drives a run."""
COORDINATOR = "coordinator"
_STARTS = 1_000_000
"""More than a process can be started in one sitting."""


def incarnation_of(sitting: int, starts: int) -> int:
    """Return the number of a process that was started `starts` times before in this sitting; it never comes twice."""
    return sitting * _STARTS + starts


def learner_of(lineage: str) -> str:
    """Return the role of a lineage's learner."""
    return f"learner of {lineage}"


@dataclass(frozen=True)
class Claim:
    """Whose a run's name is on one server.

    Attributes:
        run_id: random id of the run.
        host: of its run process.
        folder: the run's.
    """

    run_id: str
    host: str
    folder: str


def read_claim(client: redis.Redis, run: str) -> Claim | None:
    """Return whose a run's name is on a server, None if nobody has claimed it. Raises BufferUnavailable."""
    with reaching(client, f"ask whose run {run} is"):
        found = client.hmget(claim_key(run), ["run_id", "host", "folder"])
    if found[0] is None:
        return None
    return Claim(*("" if value is None else cast(bytes, value).decode(errors="replace") for value in found))


@dataclass(frozen=True)
class Holder:
    """A process that holds a role of a run; it is sent to where it works.

    Attributes:
        run: name of the run.
        run_id: its random id.
        host: of its run process.
        folder: the run's.
        role: `run`, `coordinator` or `learner of LINEAGE`.
        incarnation: see `incarnation_of`.
    """

    run: str
    run_id: str
    host: str = ""
    folder: str = ""
    role: str = RUN
    incarnation: int = 0

    def to(self, role: str, incarnation: int) -> "Holder":
        """Return the holder of another role of the same run."""
        return replace(self, role=role, incarnation=incarnation)

    @property
    def words(self) -> tuple[str, str, int]:
        """Run id, role and incarnation, as `fence.lua` takes them."""
        return self.run_id, self.role, self.incarnation

    def claim(self, client: redis.Redis, key: str | None = None, *, new: bool = False) -> None:
        """Note this holder, at the start and wherever a server has lost what it knew.

        Args:
            client: of the server.
            key: of a stream's meta; None for the run's claim.
            new: whether this incarnation must not be noted yet.

        Raises:
            ReplacedError: if another run or a later incarnation is noted there.
            BufferUnavailable: if the server cannot be reached.
        """
        home = (self.host, self.folder) if key is None else ("", "")
        key = key or claim_key(self.run)
        with reaching(client, f"claim run {self.run}"):
            answer = call_script(client, "claim", [key], [*self.words, "new" if new else "", *home])
        self.require(client, answer)

    def require(self, client: redis.Redis, answer: Sequence[bytes]) -> None:
        """Raise ReplacedError if that is what a script of ours has answered."""
        if answer[0] in (b"other", b"replaced"):
            raise self._refused(client, answer)

    def _refused(self, client: redis.Redis, answer: Sequence[bytes]) -> ReplacedError:
        who = f"run {self.run}" if self.role == RUN else f"{self.role} in run {self.run}"
        claim = read_claim(client, self.run)
        home = "a place that is not known" if claim is None else f"{claim.folder} on {claim.host}"
        if answer[0] == b"other":
            return ReplacedError(
                f"{who}: expected the keys of run id {self.run_id} at {describe(client)}, found those of"
                f" {answer[1].decode(errors='replace')}, a run of the same name in {home}; nothing that this one writes"
                " counts any more, so start it again under another --name"
            )
        return ReplacedError(
            f"{who}: expected no incarnation after {self.incarnation}, found {int(answer[1])} of {home}: this process"
            " was replaced, and nothing that it writes counts any more; let the other one go on"
        )
