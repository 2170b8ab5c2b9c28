"""The Lua scripts of the buffer service. Each runs atomically, on the keys of one game and shard or of one lineage.

A server forgets its scripts when it restarts. Whoever may load scripts (the run's driver and its learner) loads all of
them, at the start and whenever one is missing. A producer may not (`acl.py` says why): to it a missing script is an
outage, which ends when the learner next reads, a moment later.
"""

import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError

FENCED = ("claim", "change", "commit", "read")
"""Scripts that only the present holder of a role may run: `fence.lua` comes before them."""
NAMES = ("push", "claim", "change", "commit", "stats", "read")
"""In the order of loading. What the learner calls all the time comes last: if loading breaks off, it starts again."""


def load_scripts(client: redis.Redis) -> None:
    """Make the server know all scripts; harmless where it does. Raises redis.RedisError."""
    for name in NAMES:
        client.script_load(_text(name))


def call_script(client: redis.Redis, name: str, keys: Sequence[str], args: Sequence[bytes | float | str]) -> Any:
    """Run a script, after loading all of them if the server does not know it. Raises redis.RedisError."""
    try:
        return client.evalsha(script_sha(name), len(keys), *keys, *args)
    except NoScriptError:
        load_scripts(client)
        return client.evalsha(script_sha(name), len(keys), *keys, *args)


@functools.cache
def script_sha(name: str) -> str:
    """Return the name under which a server knows a script, such as `push`."""
    return hashlib.sha1(_text(name).encode()).hexdigest()


def _text(name: str) -> str:
    parts = ("fence", name) if name in FENCED else (name,)
    folders = {"change": "cluster.models"}
    files = (resources.files(folders.get(part, "cluster.buffer")).joinpath(f"{part}.lua") for part in parts)
    return "".join(file.read_text(encoding="utf-8") for file in files)
