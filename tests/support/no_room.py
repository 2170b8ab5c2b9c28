"""A disk on which no file of this process grows any more, for tests without the right to mount one."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_room() -> Generator[None]:
    """Let no file of this process grow, as on a full disk; Python takes no notice of the signal for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
