"""The whole way of a scaling experiment: which cells are left, measure them, keep their points, make the results."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from cluster.ray.cluster import ray_cluster
from cluster.run.stop_request import StopRequest
from cluster.scale.cells import Cell, Settings, differences
from cluster.scale.folder import ScaleFolder
from cluster.scale.measure import Measurements
from cluster.scale.points import Point, append_point, read_points
from cluster.scale.reference import Reference
from cluster.scale.results import write_results
from cluster.scale.show import show
from cluster.state.folder import git_commit
from distill.config import BufferConfig
from distill.errors import ConfigError


@dataclass(frozen=True)
class Plan:
    """An experiment as it is to be conducted.

    Attributes:
        settings: of all cells.
        cells: all of it.
        left: those that were not measured yet.
        folder: where the points are.
        machine: on which it is conducted.
    """

    settings: Settings
    cells: Sequence[Cell]
    left: Sequence[Cell]
    folder: ScaleFolder
    machine: str

    @classmethod
    def of(cls, settings: Settings, cells: Sequence[Cell], folder: ScaleFolder, machine: str) -> "Plan":
        """Find out what is left to do.

        Raises:
            ConfigError: if the folder has points that were measured with other settings, or on another machine.
            RunError: if points are damaged.
        """
        known = read_points(folder.points)
        for point in known:
            measured = {**point.settings, "machine": point.machine}
            if told := differences(measured, settings.identity() | {"machine": machine}):
                raise ConfigError(
                    f"out: {folder.points} has points that were measured otherwise: {told}; give another --out, which"
                    " keeps both"
                )
        there = {point.cell for point in known}
        return cls(settings, cells, [cell for cell in cells if cell not in there], folder, machine)


def conduct(plan: Plan, teacher: bytes, console: Console, *, bare: bool) -> None:
    """Measure the cells that are left, and make the results of all that there are.

    Args:
        plan: what to measure.
        teacher: model file of the game as bytes.
        console: to tell on.
        bare: whether real actors are compared with bare loops.

    Raises:
        DistillError: if a cell cannot be measured; what was measured before is kept.
        RunError: if books do not balance.
    """
    folder, settings = plan.folder, plan.settings
    with folder.claim(), StopRequest("the measured points") as stop:
        if plan.left:
            console.print(f"{len(plan.left)} of {len(plan.cells)} measurements are left")
            with ray_cluster(settings.address, BufferConfig(buffer=settings.buffer)) as cluster:
                reference = Reference(settings, teacher) if bare and settings.simulate_env is None else None
                measurements = Measurements(settings, teacher, cluster, stop, reference, plan.machine, git_commit())
                try:
                    for cell in plan.left:
                        point = measurements.measure(cell)
                        append_point(folder.points, point)
                        console.print(_line(point), soft_wrap=True)
                except KeyboardInterrupt:
                    console.print("stopped; the same command goes on, and measures no point again")
        summary = write_results(folder)
    if summary is not None:
        show(summary, folder, console)


def _line(point: Point) -> str:
    p99 = f", push p99 {1000.0 * point.push['p99']:,.1f} ms" if "p99" in point.push else ""
    efficiency = f", efficiency {point.efficiency:.2f}" if point.efficiency is not None else ""
    balanced = "" if point.books is None else ", books balanced" if not point.books["wrong"] else ", BOOKS NOT BALANCED"
    return (
        f"{point.cell.name}: {point.transitions:,.0f} transitions/s{efficiency}, {point.samples:,.0f} samples/s{p99}"
        f"{balanced}"
    )
