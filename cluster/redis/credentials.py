"""User name, password and CA of the buffer service, which every process reads from its own environment.

They are never part of a URL of the configuration: that one stands in a run's folder, in logs and in process lists.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distill.errors import ConfigError

USERNAME = "DISTILL_REDIS_USERNAME"
PASSWORD = "DISTILL_REDIS_PASSWORD"
PASSWORD_FILE = "DISTILL_REDIS_PASSWORD_FILE"
CA_FILE = "DISTILL_REDIS_CA_FILE"


@dataclass(frozen=True)
class Credentials:
    """Who this process is to Redis, and whom it trusts.

    Attributes:
        username: None for Redis' default user.
        password: None where the server wants none.
        ca_file: PEM file of the CA that has signed the server's certificate; None for the system's CAs.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


def credentials_from(environment: Mapping[str, str] = os.environ) -> Credentials:
    """Read the credentials; a variable that is empty counts as absent.

    Raises:
        ConfigError: if the variables contradict each other or name a file that cannot be read.
    """
    username, password = environment.get(USERNAME) or None, environment.get(PASSWORD) or None
    file = environment.get(PASSWORD_FILE) or None
    if password and file:
        raise ConfigError(f"{PASSWORD} and {PASSWORD_FILE}: expected one of the two, found both; unset one")
    if file:
        password = read_secret(Path(file), PASSWORD_FILE)
    if username and password is None:
        raise ConfigError(f"{USERNAME}: expected a password with it, found none; set {PASSWORD_FILE} or {PASSWORD}")
    ca_file = environment.get(CA_FILE) or None
    if ca_file and not os.access(ca_file, os.R_OK):
        raise ConfigError(f"{CA_FILE}: expected a PEM file that can be read, found none at {ca_file}")
    return Credentials(username, password, Path(ca_file) if ca_file else None)


def read_secret(path: Path, name: str) -> str:
    """Return the one line of a file.

    Args:
        path: the file.
        name: what names it, for messages.

    Raises:
        ConfigError: if it cannot be read, or does not hold exactly one line; what it holds is never shown.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{name}: expected a file with one line, the password, at {path}: {reason}") from None
    if len(lines) != 1 or not lines[0]:
        raise ConfigError(f"{name}: expected one line, the password, in {path}, found {len(lines)} lines")
    return lines[0]
