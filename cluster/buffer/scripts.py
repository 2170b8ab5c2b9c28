"""The Lua scripts of the buffer service. Each runs atomically on the keys of one game and shard."""

from importlib import resources

import redis
from redis.commands.core import Script


def script(client: redis.Redis, name: str) -> Script:
    """Return a script of this folder, such as `push`, which loads itself wherever the server does not know it."""
    return client.register_script(resources.files("cluster.buffer").joinpath(f"{name}.lua").read_text(encoding="utf-8"))
