"""What pictures use of matplotlib's axes and canvas, with the types of parameters, which matplotlib leaves out."""

from collections.abc import Sequence, Sized
from typing import BinaryIO, Literal, Protocol

from matplotlib.axis import YAxis
from matplotlib.spines import Spines


class Panel(Protocol):
    """A `matplotlib.axes.Axes`; lengths are in points."""

    @property
    def lines(self) -> Sized:
        """Return what `plot`, `step` and `axhline` have drawn."""
        ...

    @property
    def spines(self) -> Spines:
        """Return its border."""
        ...

    @property
    def yaxis(self) -> YAxis:
        """Return its vertical axis."""
        ...

    def plot(
        self,
        x: Sequence[float],
        y: Sequence[float],
        /,
        *,
        color: str,
        label: str = ...,
        ls: str = ...,
        lw: float = ...,
        marker: str = ...,
        markersize: float = ...,
        drawstyle: str = ...,
    ) -> object:
        """Draw a line through points, or their markers."""
        ...

    def step(
        self, x: Sequence[float], y: Sequence[float], /, *, where: Literal["post"], color: str, label: str
    ) -> object:
        """Draw a line of steps."""
        ...

    def axhline(self, y: float, /, *, color: str, linestyle: str, label: str) -> object:
        """Draw a horizontal line from side to side."""
        ...

    def axhspan(self, low: float, high: float, /, *, color: str, alpha: float, linewidth: float) -> object:
        """Colour a band from side to side."""
        ...

    def fill_between(
        self,
        x: Sequence[float],
        low: Sequence[float],
        high: Sequence[float],
        /,
        *,
        color: str,
        alpha: float,
        linewidth: float,
    ) -> object:
        """Colour the area between two lines."""
        ...

    def legend(
        self,
        *,
        loc: Literal["best", "upper left", "lower right"] = "best",
        fontsize: str,
        frameon: bool,
        ncols: int = 1,
    ) -> object:
        """Explain the lines that have labels."""
        ...

    def grid(self, *, alpha: float) -> None:
        """Draw lines behind the axes' numbers."""
        ...

    def set_title(self, title: str, /, *, fontsize: str = ...) -> object:
        """Write above it."""
        ...

    def set_xlabel(self, label: str, /) -> object:
        """Write below it."""
        ...

    def set_ylabel(self, label: str, /) -> object:
        """Write beside it."""
        ...

    def set_xticks(
        self,
        ticks: Sequence[float],
        labels: Sequence[str],
        /,
        *,
        rotation: float,
        ha: Literal["center", "right"],
        fontsize: str,
    ) -> object:
        """Set where the horizontal axis has labels, and which."""
        ...

    def set_xlim(self, left: float, right: float, /) -> object:
        """Set the ends of the horizontal axis."""
        ...

    def set_ylim(self, bottom: float, top: float, /) -> object:
        """Set the ends of the vertical axis."""
        ...

    def set_xscale(self, scale: Literal["log"], /) -> None:
        """Set how values become places from left to right."""
        ...

    def set_yscale(self, scale: Literal["log"], /) -> None:
        """Set how values become heights."""
        ...

    def twinx(self) -> "Panel":
        """Return one more on the same times, with a vertical axis on the right."""
        ...


class Canvas(Protocol):
    """A `matplotlib.backends.backend_agg.FigureCanvasAgg`."""

    def print_png(self, file: BinaryIO, /) -> None:
        """Write the figure as PNG."""
        ...
