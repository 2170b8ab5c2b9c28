"""What `distill runs` does in Redis: how much each run keeps there, and its end."""

from collections.abc import Sequence
from contextlib import ExitStack

from cluster.buffer.stats import RunUsage, delete_run, list_runs
from cluster.redis.connection import connect, require_primary


def usage(urls: Sequence[str]) -> dict[str, RunUsage]:
    """Return what runs keep in these servers, by the run's name. Raises BufferUnavailable."""
    found: dict[str, RunUsage] = {}
    for url in urls:
        with connect(url) as client:
            for of_run in list_runs(client):
                found[of_run.run] = found[of_run.run] + of_run if of_run.run in found else of_run
    return found


def delete(urls: Sequence[str], run: str) -> int:
    """Delete what a run keeps in these servers; return how many keys there were. Raises BufferUnavailable."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(url)) for url in urls]
        # One that is away is found out before anything is deleted at another.
        for client in clients:
            require_primary(client)
        return sum(delete_run(client, run) for client in clients)
