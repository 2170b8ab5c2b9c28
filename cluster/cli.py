"""The `distill` command: one function a subcommand, errors as one line and exit code 2."""

import logging
import os
import sys
from collections.abc import Callable, Sequence

from rich import get_console
from rich.console import Console
from rich.logging import RichHandler

from distill.errors import DistillError

PLAIN_WIDTH = 140

COMMANDS = {
    "run": "distil teachers into one student",
    "teach": "train a DQN teacher of a game",
    "online": "train Q-learners and distil from the best so far all the while",
    "evaluate": "play whole episodes with a model and print its scores",
    "import-teacher": "turn a Stable-Baselines3, CleanRL or plain PyTorch file into a teacher",
    "teachers": "list teacher files with their cards",
    "export": "write a student or teacher as ONNX",
    "runs": "list runs with their size, or delete one",
    "scale-actors": "change how many actors the games of a run have, also while it runs",
    "watch": "serve a live page of a run: its games being played, curves, actors",
    "report": "write one HTML file about runs and compare them",
    "models": "list a run's models, export one, or roll a promotion back",
    "bench": "measure this machine against bare loops",
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
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one subcommand; return the exit code: 0 done, 2 wrong use or input, 130 interrupted."""
    console = get_console()
    if not console.is_terminal:
        # Without a terminal there is no width to keep to, and a table in a log should not be folded.
        console.width = PLAIN_WIDTH
    if not arguments or arguments[0] in ("-h", "--help"):
        console.print(_usage(), highlight=False, soft_wrap=True)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        sys.stderr.write(f"distill: unknown command {name!r}\n{_usage()}\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[_handler()])
    # It advises on its cache where HOME cannot be written to, and tells of fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        _load(name)(rest, console)
    except DistillError as error:
        sys.stderr.write(f"distill {name}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"distill {name}: interrupted\n")
        return 130
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    return 0


def _handler() -> logging.Handler:
    """Return a handler that keeps log lines above a live display on a terminal, and writes plain lines elsewhere."""
    if not get_console().is_terminal:
        return logging.StreamHandler()
    handler = RichHandler(show_path=False, show_level=False, show_time=False)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    return handler


def _load(name: str) -> Callable[[Sequence[str], Console], None]:
    """Import a subcommand only when it is used: torch and Ray take seconds."""
    import importlib  # noqa: PLC0415 - beside its only use

    return importlib.import_module(f"cluster.commands.{name.replace('-', '_')}").command


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return f"usage: distill COMMAND [OPTIONS]\n\n{lines}\n\n`distill COMMAND --help` tells the options of each."


if __name__ == "__main__":
    main()
