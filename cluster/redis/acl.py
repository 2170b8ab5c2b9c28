"""What each role may do in Redis: the one place where it is written down, printed as an ACL file for a server.

Roles:
    actor: plays for one run. It pushes chunks and reads the run's models.
    learner: drives one run and learns. It also claims the run's name, reads its chunks, mends their streams, commits
        cursors, publishes models, counts what the buffer holds and loads the scripts. It may push, since a run on one
        machine has one user, and deletes what a run leaves that has not begun.
    operator: lists and deletes all runs, sees whose they are, and makes the server read its ACL file again. It reads no
        data.

A script runs with the rights of its caller, so what a script does is granted here as well. Rights that differ by key
need Redis 7.0's selectors. An actor may load no scripts: then it runs none but ours.

Use: `python -m cluster.redis.acl --run NAME --secrets FOLDER > users.acl`. Passwords never stand on the command line.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.redis.credentials import read_secret
from cluster.redis.keys import PREFIX, claim_key, model_keys, stream_patterns
from distill.config import GeneralConfig
from distill.errors import ConfigError, DistillError

OPERATOR = "operator"
_CONNECTION = ("ping", "select")


@dataclass(frozen=True)
class Grant:
    """Commands that may be used on keys.

    Attributes:
        commands: such as `hget` or `memory|usage`.
        keys: patterns.
        write: whether they may also change these keys.
    """

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    write: bool = False


@dataclass(frozen=True)
class Role:
    """All that a user may do.

    Attributes:
        commands: those that concern no key.
        grants: those on keys.
    """

    commands: tuple[str, ...]
    grants: tuple[Grant, ...]


def actor(run: str) -> Role:
    """Return the rights of a run's actors."""
    keys = stream_patterns(run)
    return Role(
        _CONNECTION,
        (
            # Redis asks for write access to every key of a script; the grants below decide what it really changes.
            Grant(("evalsha",), (keys.chunks, keys.meta, keys.producers, keys.cursors), write=True),
            Grant(("xadd", "xtrim"), (keys.chunks,), write=True),
            # At maxmemory a push looks at the oldest chunk.
            Grant(("xrange",), (keys.chunks,)),
            Grant(("hget",), (keys.meta, keys.producers, keys.cursors)),
            Grant(("hset", "hincrby"), (keys.meta, keys.producers), write=True),
            Grant(("get", "hget", "hgetall", "smembers"), _registry(run)),
        ),
    )


def learner(run: str) -> Role:
    """Return the rights of a run's driver and learner."""
    keys, playing, claim = stream_patterns(run), actor(run), claim_key(run)
    return Role(
        (*playing.commands, "info", "script|load", "multi", "exec"),
        (
            *playing.grants,
            Grant(("xlen", "memory|usage", "xrevrange"), (keys.chunks,)),
            # A read mends what strangers have written.
            Grant(("type",), (keys.chunks, keys.meta, keys.producers, keys.cursors)),
            Grant(("xdel", "xsetid"), (keys.chunks,), write=True),
            Grant(("hset", "hdel"), (keys.meta, keys.cursors), write=True),
            Grant(("hmget",), (keys.meta, claim)),
            Grant(("hget",), (claim,)),
            Grant(("hset", "hdel"), (claim,), write=True),
            # A command that names several keys needs one grant for all of them.
            Grant(("evalsha",), (claim, model_keys(run, "*").revision), write=True),
            Grant(("lrange",), _registry(run)),
            Grant(("set", "hset", "hdel", "rpush", "sadd", "srem"), _registry(run), write=True),
            Grant(("unlink",), (claim, *asdict(keys).values(), *_registry(run)), write=True),
        ),
    )


def operator() -> Role:
    """Return the rights of those who look after all runs."""
    return Role(
        (*_CONNECTION, "info", "scan", "acl|load"),
        (
            Grant(("memory|usage", "xlen"), (PREFIX + "*",)),
            Grant(("hmget",), (claim_key("*"),)),
            Grant(("unlink",), (PREFIX + "*",), write=True),
        ),
    )


def _registry(run: str) -> tuple[str, ...]:
    """Return patterns of the keys of all lines of a run's models."""
    keys = model_keys(run, "*")
    return (f"{keys.model}*", *(value for name, value in asdict(keys).items() if name != "model"))


def roles(runs: Sequence[str]) -> dict[str, Role]:
    """Return the role of every user: `RUN-actor` and `RUN-learner` of each run, and `operator`."""
    users = {OPERATOR: operator()}
    for run in runs:
        users |= {f"{run}-actor": actor(run), f"{run}-learner": learner(run)}
    return users


def user_line(user: str, role: Role, password_sha256: str) -> str:
    """Return a user's line of an ACL file, which forgets whatever was granted before."""
    rules = [f"+{command}" for command in role.commands]
    for grant in role.grants:
        access = "~" if grant.write else "%R~"
        rules.append(f"({' '.join([f'+{name}' for name in grant.commands] + [access + key for key in grant.keys])})")
    return " ".join(["user", user, "reset", "on", f"#{password_sha256}", *rules])


def acl_file(runs: Sequence[str], secrets: Path) -> str:
    """Return a whole ACL file, in which nobody enters without a password.

    Args:
        runs: whose actors and learners may connect.
        secrets: folder with one file per user, named like the user, which holds his password.

    Raises:
        ConfigError: if a run's name is not allowed, or a password is missing.
    """
    for run in runs:
        GeneralConfig(name=run)
    lines = ["user default reset off"]
    for user, role in roles(runs).items():
        password = read_secret(secrets / user, f"password of {user}")
        lines.append(user_line(user, role, hashlib.sha256(password.encode()).hexdigest()))
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Print an ACL file.

    Raises:
        ConfigError: see `acl_file`.
    """
    parser = argparse.ArgumentParser(prog="python -m cluster.redis.acl", description="Print an ACL file for Redis.")
    parser.add_argument("--run", action="append", required=True, help="name of a run; may be given several times")
    parser.add_argument("--secrets", type=Path, required=True, help="folder with one password file per user")
    options = parser.parse_args(arguments)
    if len(set(options.run)) < len(options.run):
        raise ConfigError(f"run: expected every name once, found {', '.join(options.run)}")
    sys.stdout.write(acl_file(options.run, options.secrets))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DistillError as error:
        sys.exit(f"acl: {error}")
