"""Takes one mend out of the product, in a child process at run time, to show that the checker notices."""

from collections.abc import Callable

MUTATIONS: dict[str, Callable[[], None]] = {}
"""By name; see `__main__` for how they are run."""


def apply_mutation(name: str) -> None:
    """Take a mend out of this process."""
    MUTATIONS[name]()
