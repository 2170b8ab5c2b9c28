"""Claims a run's name in its Redis: two runs of one name would learn from each other's chunks and mix their models."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict

import redis

from cluster.buffer.address import BufferAddress
from cluster.output.shell import command_line
from cluster.redis.connection import connect, describe, reaching
from cluster.redis.holder import Claim, Holder, read_claim
from cluster.redis.keys import StreamKeys, claim_key, model_keys, stream_keys
from cluster.redis.typed_redis import typed
from distill.errors import BufferUnavailable, ReplacedError, RunError
from distill.protocols import explorers_lineage

log = logging.getLogger(__name__)


class NameClaim:
    """The name of a run at all servers of its buffer service.

    Args:
        address: of the buffer service.
        holder: the run process.
        lineages: the run's lineages of models.
    """

    def __init__(self, address: BufferAddress, holder: Holder, lineages: Sequence[str]) -> None:
        self._address = address
        self._holder = holder
        self._lineages = [name for lineage in lineages for name in (lineage, explorers_lineage(lineage))]

    def take(self) -> None:
        """Claim the name at every server, or at none; whoever worked for the run before is fenced from now on.

        Raises:
            RunError: if another run has it, or keys of that name are there which no run claims.
            ReplacedError: if the run goes on elsewhere.
            BufferUnavailable: if a server cannot be reached.
        """
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(url)) for url in self._address.servers]
            for client in clients:
                self._require_free(client)
            for client in clients:
                try:
                    self._holder.claim(client, new=True)
                except ReplacedError:
                    # Between the two looks another run was faster.
                    self._require_free(client)
                    raise
            for server, keys in self._streams():
                self._holder.claim(clients[server], keys.meta)

    def drop(self) -> None:
        """Delete the run's keys, as one that has never begun leaves none; whose Redis is away keeps them."""
        with ExitStack() as stack:
            for server, url in enumerate(self._address.servers):
                client = stack.enter_context(connect(url))
                try:
                    if (claim := read_claim(client, self._holder.run)) and claim.run_id == self._holder.run_id:
                        self._delete(client, server)
                except BufferUnavailable as error:
                    log.warning("run %s has not begun, and some of its keys stay: %s", self._holder.run, error)

    def _delete(self, client: redis.Redis, server: int) -> None:
        run = self._holder.run
        keys = [key for at, stream in self._streams() if at == server for key in asdict(stream).values()]
        with reaching(client, f"delete run {run}"):
            for lineage in self._lineages:
                names = asdict(model_keys(run, lineage))
                model = names.pop("model")
                keys += [*names.values(), *(f"{model}{int(version)}" for version in client.smembers(names["held"]))]
            # The claim goes with the last of what it guards.
            client.unlink(*keys, claim_key(run))

    def _streams(self) -> Iterator[tuple[int, StreamKeys]]:
        """Yield the keys of every stream with the number of its server."""
        for game in self._address.games:
            for server, shards in self._address.shards_by_server(game).items():
                for shard in shards:
                    yield server, stream_keys(self._address.run, game, shard)

    def _require_free(self, client: redis.Redis) -> None:
        claim = read_claim(client, self._holder.run)
        if claim is None:
            self._require_no_keys(client)
        elif claim.run_id != self._holder.run_id:
            raise self._taken(client, claim)

    def _require_no_keys(self, client: redis.Redis) -> None:
        run = self._holder.run
        pipeline = typed(client).pipeline(transaction=False)
        metas = [keys.meta for _, keys in self._streams()]
        for meta in metas:
            pipeline.hget(meta, "pushed_transitions")
        newest = [model_keys(run, lineage).newest for lineage in self._lineages]
        for key in newest:
            pipeline.get(key)
        with reaching(client, f"look for keys of run {run}"):
            found = [key for key, value in zip([*metas, *newest], pipeline.execute(), strict=True) if value is not None]
        if found:
            raise RunError(
                f"run {run}: expected no keys of that name at {describe(client)}, found {found[0]}, which no run"
                " claims, as older versions leave them; choose another --name, or, if that run has ended, delete them"
                f" with `{command_line('distill', 'runs', '--delete', run, '--buffer', describe(client))}` in a folder"
                " that has no run of that name"
            )

    def _taken(self, client: redis.Redis, claim: Claim) -> RunError:
        run = self._holder.run
        root = claim.folder.rpartition("/")[0] or "/"
        deletion = command_line("distill", "runs", "--root", root, "--delete", run, "--buffer", describe(client))
        return RunError(
            f"run {run}: expected that name to be free at {describe(client)}, found it taken by the run in"
            f" {claim.folder} on {claim.host}; choose another --name, or, if it is not needed, delete it there with"
            f" `{deletion}`"
        )
