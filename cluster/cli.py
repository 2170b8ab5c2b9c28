"""The `distill` command: one function a subcommand, errors as one line and exit code 2."""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler

from cluster.monitor.logs import BriefFormatter
from cluster.output.console import LiteralConsole
from cluster.output.literal import paragraph
from cluster.output.standard_output import exit_code, open_standard_streams
from cluster.processes.leaving import leave
from distill.errors import DistillError
from distill.machine_errors import machine_error

log = logging.getLogger(__name__)

PACKAGE = "policy-distillery"
HELP = ("help", "--help", "-h")

COMMANDS = {
    "run": "distil teachers into one student",
    "teach": "train a DQN teacher of a game",
    "online": "train Q-learners and distil from the best so far all the while",
    "record": "record labelled transitions, to distil from many times",
    "data": "list, verify or merge recordings",
    "evaluate": "play whole episodes with a model and print its scores",
    "compare": "test whether a new model plays better than an old one",
    "play": "look at a model playing: on the terminal, in a film, on a live page",
    "disagree": "show where a student's choices cost most by its teacher's q-values",
    "import-teacher": "turn a Stable-Baselines3, CleanRL or plain PyTorch file into a teacher",
    "teachers": "list teacher files with their cards",
    "export": "write a student or teacher as ONNX",
    "publish": "make a folder of a model, ready for a hub, or upload it",
    "runs": "list runs with their size, or delete one",
    "scale-actors": "change how many actors the games of a run have, also while it runs",
    "watch": "serve a live page of a run: its games being played, curves, actors",
    "report": "write one HTML file about runs and compare them",
    "models": "list a run's models, export one, or roll a promotion back",
    "experiment": "run one of the paper's experiments, with table, plot and page",
    "bench": "measure this machine against bare loops",
    "scale": "measure what more actors bring, what stops them, and what to add next",
    "completion": "print a script for your shell's completion",
}

SETTINGS = {
    # A `queue.py` in the current folder must not be imported in place of Python's by a process that this one starts.
    "PYTHONSAFEPATH": "1",
    # Under `uv run` Ray would pack the current folder and build an environment from it for each of its workers.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""Of the environment, for Python and Ray in all processes that a command starts."""


def main() -> None:
    """Run the command line and exit."""
    os.environ.update(SETTINGS)
    closed = open_standard_streams()
    if closed is not None:
        sys.stderr.write(f"distill: {closed}\n")
        sys.exit(2)
    leave(exit_code(run(sys.argv[1:])))


def run(arguments: Sequence[str]) -> int:
    """Run one subcommand; return the exit code: 0 done, 2 wrong use or input, 130 interrupted, or its own."""
    console = LiteralConsole()
    name, *rest = arguments or [""]
    if name in ("", *HELP) and not set(rest) - set(HELP):
        console.print(*_usage(), sep="\n", soft_wrap=True)
        return 0 if arguments else 2
    if name == "--version":
        console.print(_version())
        return 0
    if name == "help":
        name, rest = rest[0], ["--help"]
    if name not in COMMANDS:
        known = [*COMMANDS, "help"]
        near = [other for other in known if other.startswith(name)] or difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"; did you mean `distill {near[0]}`?" if near else ""
        sys.stderr.write("\n".join([f"distill: unknown command {name!r}{hint}", *_usage(), ""]))
        return 2
    return _run_command(name, rest, console)


def _run_command(name: str, arguments: Sequence[str], console: Console) -> int:
    logging.basicConfig(level=logging.INFO, handlers=[_handler(console)])
    # It advises on its cache where HOME cannot be written to, and tells of fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        _load(name)(arguments, console)
    except DistillError as error:
        sys.stderr.write(f"distill {name}: {paragraph(str(error))}\n")
        return 2
    except OSError as error:
        # What a machine can do at any moment is no fault of the program's; the traceback is for who looks for one.
        log.debug("%s", name, exc_info=error)
        sys.stderr.write(f"distill {name}: {paragraph(machine_error(error))}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"distill {name}: interrupted\n")
        return 130
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    return 0


def _handler(console: Console) -> logging.Handler:
    """Return a handler that keeps log lines above a live display, and writes plain lines where there is none."""
    handler: logging.Handler
    if console.is_interactive:
        handler = RichHandler(
            console=console,
            highlighter=NullHighlighter(),
            keywords=[],
            show_path=False,
            show_level=False,
            show_time=False,
        )
    else:
        handler = logging.StreamHandler()
    handler.setFormatter(BriefFormatter())
    return handler


def _load(name: str) -> Callable[[Sequence[str], Console], None]:
    """Import a subcommand only when it is used: torch and Ray take seconds."""
    import importlib  # noqa: PLC0415 - beside its only use

    return importlib.import_module(f"cluster.commands.{name.replace('-', '_')}").command


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 - takes as long as all the rest of `distill --help`

    return f"{PACKAGE} {metadata.version(PACKAGE)}"


def _usage() -> list[str]:
    width = max(map(len, COMMANDS))
    return [
        "usage: distill COMMAND [OPTIONS]",
        "",
        *(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()),
        "",
        "`distill COMMAND --help` tells the options of each, `distill --version` the version.",
    ]


if __name__ == "__main__":
    main()
