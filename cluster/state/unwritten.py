"""What of a run the machine refuses to write: it is counted, each kind is told once, and the run goes on without it."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

from distill.errors import DistillError
from distill.machine_errors import machine_error


class Unwritten:
    """Counts refused writes by kind, see `cluster.monitor.metrics.definitions.WRITES`.

    Args:
        tell: takes a sentence for the user and the log.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.counts = Counter[str]()
        self._tell = tell
        self._refused: set[str] = set()

    @contextmanager
    def outlived(self, kind: str) -> Generator[None]:
        """Count what the machine raises within, instead of letting it end the run; other errors pass."""
        try:
            yield
        except (DistillError, OSError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            self.refused(kind, str(error) if isinstance(error, DistillError) else machine_error(error))
        else:
            self.written(kind)

    def refused(self, kind: str, why: str, count: int = 1) -> None:
        """Count refused writes of a kind, and tell it unless that was told already."""
        self.counts[kind] += count
        if kind not in self._refused:
            self._refused.add(kind)
            self._tell(f"{kind}: {why.rstrip('.')}; the run goes on, and counts what is refused")

    def written(self, kind: str) -> None:
        """Take note that a kind can be written, and tell it if it could not."""
        if kind in self._refused:
            self._refused.remove(kind)
            self._tell(f"{kind}: written again; {self.counts[kind]} writes were refused so far")
