"""`distill watch`: serve a live page of a run until ctrl-C."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field
from rich.console import Console

from cluster.commands.options import parse_options
from cluster.state.folder import CONFIG
from cluster.watch.server import WatchServer
from distill.config import Section
from distill.errors import ConfigError

TOKEN_VARIABLE = "DISTILL_WATCH_TOKEN"
_NICENESS = 10
"""The page's games give way to the run's."""


class WatchOptions(Section):
    """Serve a live page of a run that is running or finished; the run itself is only read."""

    run: tyro.conf.Positional[Path | None] = None
    """Folder of the run; the newest one in --root if absent."""
    root: Path = Path("runs")
    """Folder that holds the runs."""
    host: str = "127.0.0.1"
    """Address to listen on; one that other machines can reach needs a token."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port to listen on; 0 takes a free one."""
    token_file: Path | None = None
    """File whose first line is the token, which browsers ask for as a password; else $DISTILL_WATCH_TOKEN, if set."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Serve the page."""
    options = parse_options(WatchOptions, arguments, "watch", WatchOptions.__doc__ or "")
    folder = options.run or _newest(options.root)
    os.nice(_NICENESS)
    token = _token(options.token_file)
    with suppress(KeyboardInterrupt), WatchServer(folder, options.host, options.port, token) as server:
        console.print(f"{folder.resolve().name}: {server.address} (ctrl-C ends this page, not the run)", soft_wrap=True)
        # Whoever served the page for a run asks it so to end; open streams end in either case.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        while True:
            time.sleep(3600)


def _newest(root: Path) -> Path:
    configs = sorted(root.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    if not configs:
        raise ConfigError(f"watch: no run in {root}; name a run's folder, or start one with `distill run`")
    return configs[-1].parent


def _token(file: Path | None) -> str | None:
    """Return the token; it is no option of its own, as other users can read a process's options."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token file {file}: cannot be read: {error}") from error
    return lines[0].strip() if lines else ""
