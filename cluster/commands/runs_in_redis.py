"""What `distill runs` does in Redis: how much each run keeps there, and its end."""

from collections.abc import Sequence
from contextlib import ExitStack

from cluster.buffer.stats import RunUsage, delete_run, list_runs
from cluster.redis.connection import connect, describe, require_primary
from cluster.redis.holder import read_claim


def usage(urls: Sequence[str]) -> dict[str, RunUsage]:
    """Return what runs keep in these servers, by the run's name. Raises BufferUnavailable."""
    found: dict[str, RunUsage] = {}
    for url in urls:
        with connect(url) as client:
            for of_run in list_runs(client):
                found[of_run.run] = found[of_run.run] + of_run if of_run.run in found else of_run
    return found


def delete(urls: Sequence[str], run: str, run_id: str | None) -> tuple[int, list[str]]:
    """Delete what a run keeps in these servers.

    Args:
        urls: of the servers.
        run: its name.
        run_id: its id, so that another run of that name keeps its keys; None to delete whoever's they are.

    Returns:
        How many keys there were, and a sentence on each server where the name is another run's.

    Raises:
        BufferUnavailable: if a server does not answer.
    """
    others: list[str] = []
    keys = 0
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(url)) for url in urls]
        # One that is away is found out before anything is deleted at another.
        for client in clients:
            require_primary(client)
        for client in clients:
            claim = read_claim(client, run)
            if claim is not None and run_id not in (None, claim.run_id):
                others.append(f"{run} at {describe(client)} is the run in {claim.folder} on {claim.host}")
            else:
                keys += delete_run(client, run)
    return keys, others
