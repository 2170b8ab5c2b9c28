"""`distill scale`: the scaling experiment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console
from tyro.constructors import PrimitiveConstructorSpec

from cluster.commands.options import parse_options
from distill.buffer_urls import BufferUrls, split_urls
from distill.config import MOST_ACTORS, Section
from distill.errors import ConfigError
from distill.game_names import GameName
from distill.setting_values import meant_whole_number
from distill.teachers import choose_teachers

_MOST_SIMULATED = 10_000
_MOST_SERVERS = 64


def _numbers(words: list[str]) -> tuple[int, ...]:
    """Return the whole numbers of `1,2,4` or of `1 2 4`; raises ValueError for anything else."""
    return tuple(meant_whole_number(part.strip()) for word in words for part in word.split(","))


Numbers = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...],
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="INT[,INT...]",
        instance_from_str=_numbers,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [str(number) for number in value],
    ),
]
"""Several whole numbers, with commas or spaces between them."""


class ScaleOptions(Section):
    """Measure what more actors bring, what stops them, and what to add next; the same command again goes on."""

    actors: Numbers = (1, 2, 4)
    """Numbers of actors to measure, as in 1,2,4."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 3
    """Measurements of each number; more can be added later."""
    simulate_env: Annotated[float | None, Field(gt=0.0, le=3_600_000.0)] = None
    """Milliseconds: simulate actors that step all lanes once in this time, with recorded chunks and without PyTorch."""
    redis_shards: Numbers = ()
    """Numbers of Redis servers to measure, each with a stream of the game; 1, or all of --buffer, if empty."""
    buffer: BufferUrls | None = None
    """URLs of your own Redis servers, separated by commas; private ones on this machine are started if absent."""
    address: str | None = None
    """Ray cluster to run on, such as `auto` or `ray-head:6379`; a Ray of the command's own is started if absent."""
    game: GameName = "pong"
    """Game that is played."""
    teachers: tuple[Path, ...] = (Path("teachers"),)
    """Teacher files, or folders of them."""
    lanes: Annotated[int, Field(ge=1, le=1024)] = 16
    """Emulators per actor."""
    chunk_steps: Annotated[int, Field(ge=8, le=1024)] = 128
    """Steps per chunk."""
    learn: bool = True
    """Let the learner make updates; without, it only takes chunks into its replay."""
    sample_to_insert: Annotated[float | None, Field(gt=0.0)] = None
    """Times that a transition is sampled on average; `None` lets actors and learner run as fast as they can."""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    """Device of the learner."""
    seconds: Annotated[float, Field(ge=1.0, le=3600.0)] = 10.0
    """Length of a measurement."""
    warm_up: Annotated[float, Field(ge=0.0, le=3600.0)] = 5.0
    """Seconds of play before it."""
    bare: bool = True
    """Compare real actors with as many plain loops without Ray and Redis."""
    out: Path = Path("scaling")
    """Folder of the experiment: measured points, which are never measured again, and what is made of them."""
    render: bool = False
    """Make table, plot and JSON anew from the points that are there, and measure nothing."""
    page: Path | None = None
    """With --render: document whose figures are renewed, between its marks, from all experiments beside --out."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Measure, or make the results anew."""
    options = parse_options(ScaleOptions, arguments, "scale", ScaleOptions.__doc__ or "")
    if options.page is not None and not options.render:
        raise ConfigError("page: it goes with --render")
    if options.render:
        _render(options, console)
        return
    servers = _servers(options)
    most = MOST_ACTORS if options.simulate_env is None else _MOST_SIMULATED
    if not options.actors or max(options.actors) > most:
        raise ConfigError(f"actors: expected numbers from 1 to {most:,}, found {','.join(map(str, options.actors))}")
    teacher = choose_teachers(options.teachers, (options.game,))[options.game].path.read_bytes()
    # What only shows results needs neither Ray nor torch.
    from cluster.bench.machine import describe_machine  # noqa: PLC0415
    from cluster.scale.cells import Settings, cells_of  # noqa: PLC0415
    from cluster.scale.conduct import Plan, conduct  # noqa: PLC0415
    from cluster.scale.folder import ScaleFolder  # noqa: PLC0415

    settings = Settings(**{name: getattr(options, name) for name in Settings.__dataclass_fields__})
    settings.run_config()
    cells = cells_of(options.actors, servers, options.repeats)
    plan = Plan.of(settings, cells, ScaleFolder(options.out.absolute()), describe_machine())
    conduct(plan, teacher, console, bare=options.bare)


def _servers(options: ScaleOptions) -> tuple[int, ...]:
    named = None if options.buffer is None else len(split_urls(options.buffer))
    servers = options.redis_shards or (named or 1,)
    most = named or _MOST_SERVERS
    if max(servers) > most:
        why = f"since --buffer names {named} servers" if named else "all of them on this machine"
        raise ConfigError(f"redis_shards: expected at most {most}, {why}, found {max(servers)}")
    return servers


def _render(options: ScaleOptions, console: Console) -> None:
    from cluster.experiment.results import renew_document  # noqa: PLC0415 - it draws with matplotlib
    from cluster.scale.folder import ScaleFolder  # noqa: PLC0415
    from cluster.scale.page import scaling_section  # noqa: PLC0415
    from cluster.scale.results import write_results  # noqa: PLC0415
    from cluster.scale.show import show  # noqa: PLC0415

    folder = ScaleFolder(options.out)
    summary = write_results(folder)
    if summary is not None:
        show(summary, folder, console)
    elif options.page is None:
        raise ConfigError(f"out: {folder.points} is not there; measure first, or name the folder of an experiment")
    if options.page is not None:
        section = scaling_section(options.out.parent, options.page.parent)
        renewed = renew_document("page", options.page, section)
        console.print(f"{options.page}: {'renewed' if renewed else 'as it was'}", soft_wrap=True)
