"""Finds out before a run begins whether Redis lets its process do all that it will have to.

The commands are queued in a transaction that is never executed: Redis checks a user's rights when it queues, and
forgets the transaction with its connection. So nothing changes, and no right is needed to ask.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import redis
from redis.exceptions import ExecAbortError, NoPermissionError, OutOfMemoryError, ResponseError

from cluster.redis.acl import learner
from cluster.redis.connection import describe, reaching
from cluster.redis.scripts import script_sha
from distill.errors import ConfigError

Command = tuple[str, ...]

_NO_SHARD = 4096
"""More than a game can have, so that the keys are nobody's."""
BEFORE_KEY: dict[str, tuple[str, ...]] = {"evalsha": (script_sha("read"), "1")}
AFTER_KEY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("evalsha", "get", "hgetall", "memory|usage", "smembers", "type", "unlink", "xlen"), ()),
    **dict.fromkeys(("hdel", "hget", "hmget", "rpush", "sadd", "set", "srem"), ("x",)),
    "hset": ("x", "x"),
    "hincrby": ("x", "1"),
    "lrange": ("0", "-1"),
    "xadd": ("*", "x", "x"),
    "xdel": ("0-1",),
    "xrange": ("-", "+"),
    "xrevrange": ("+", "-"),
    "xsetid": ("0-1",),
    "xtrim": ("MAXLEN", "1"),
}
"""Arguments that make a command complete, by its name."""


class _Connection(Protocol):
    """A connection of redis-py, which gives commands no types."""

    def pack_commands(self, commands: Sequence[Command], /) -> list[bytes]: ...

    def send_packed_command(self, command: list[bytes], /) -> None: ...

    def read_response(self) -> object: ...

    def disconnect(self) -> None: ...


class _Pool(Protocol):
    def get_connection(self) -> _Connection: ...

    def release(self, connection: _Connection, /) -> None: ...


def require_rights(client: redis.Redis, run: str, game: str) -> None:
    """Check that the user of this process may do what a run's driver and learner do.

    Args:
        client: of a server of the run.
        run: name of the run, or one like it if it has none yet.
        game: one of its games.

    Raises:
        ConfigError: naming what the user may not do.
        BufferUnavailable: if the server does not answer, or takes no writes.
    """
    with reaching(client, "try what a run does"):
        refused = _refused(client, list(_commands(run, game)))
    if refused:
        names = ", ".join(sorted({_name(command) for command in refused}))
        raise ConfigError(
            f"buffer service at {describe(client)}: its user may not do what a run does: {names}"
            f" (first: {' '.join(refused[0])}); `python -m cluster.redis.acl --run {run}` prints the rights of"
            f" {run}-learner"
        )


def _commands(run: str, game: str) -> Iterator[Command]:
    """Return one complete command for every right on a key that the role has."""
    for grant in learner(run).grants:
        for pattern in grant.keys:
            key = pattern.replace("*", f"{game}:{_NO_SHARD}")
            for name in grant.commands:
                yield (*name.split("|"), *BEFORE_KEY.get(name, ()), key, *AFTER_KEY[name])


def _refused(client: redis.Redis, commands: Sequence[Command]) -> list[Command]:
    """Return the commands that this user may not use, found out on a connection of their own.

    Raises:
        redis.RedisError: for what is wrong with the server.
    """
    pool = cast(_Pool, client.connection_pool)
    connection = pool.get_connection()
    try:
        refused = _send(connection, [("multi",), ("exec",)])
        # Without a transaction the rest would be executed.
        if not any(command[0] in ("multi", "exec") for command in refused):
            _send(connection, [("multi",)])
            refused += _send(connection, commands)
        return refused
    finally:
        connection.disconnect()
        pool.release(connection)


def _send(connection: _Connection, commands: Sequence[Command]) -> list[Command]:
    """Send commands, and return those that are refused."""
    refused: list[Command] = []
    connection.send_packed_command(connection.pack_commands(commands))
    for command in commands:
        try:
            connection.read_response()
        except (NoPermissionError, ExecAbortError):
            refused.append(command)
        except OutOfMemoryError:
            # At its limit it serves: producers wait until what was read makes room.
            continue
        except ResponseError as error:
            # One whose transactions are refused answers EXEC so.
            if "unknown command" not in str(error) and "without MULTI" not in str(error):
                raise
            refused.append(command)
    return refused


def _name(command: Command) -> str:
    return " ".join(command[: 2 if command[0] == "memory" else 1]).upper()
