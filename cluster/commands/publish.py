"""`distill publish`: a model as a folder ready for a hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field
from rich.console import Console

from cluster.commands.options import parse_options
from distill.config import Section, Share
from distill.errors import ConfigError


class PublishOptions(Section):
    """Make a folder of a model, ready for a hub: card with scores, weights, ONNX, films, and a page that runs it."""

    source: tyro.conf.Positional[Path]
    """Folder of a run that has ended, or a native model file."""
    out: tyro.conf.Positional[Path]
    """Folder to make; it must not exist."""
    name: Annotated[str | None, Field(min_length=1, max_length=96)] = None
    """Name of the model in its card; that of the repository or of the folder if absent."""
    license: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")] = None
    """Identifier of the model's licence, such as mit or cc-by-4.0; the card says none if absent."""
    video: bool = True
    """Film an episode of each game."""
    page: bool = True
    """Make play.html, an offline page on which the network runs in a browser; npm fetches onnxruntime-web for it."""
    epsilon: Share = 0.05
    """Share of uniformly random actions in film and page."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the episode of film and page."""
    repo: Annotated[str | None, Field(pattern=r"^[\w.-]+/[\w.-]+$")] = None
    """Upload the folder into this model repository, OWNER/NAME, by huggingface_hub, whose login and variables count."""
    private: bool = False
    """Make that repository private if it is not there yet."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Make the folder, and upload it if asked to."""
    options = parse_options(PublishOptions, arguments, "publish", PublishOptions.__doc__ or "")
    # They take seconds, which help and wrong options need not wait for.
    from cluster.publish.folder import Wanted, make_folder, require_free  # noqa: PLC0415
    from cluster.publish.hub import require_hub, upload  # noqa: PLC0415
    from cluster.publish.runtime import require_npm  # noqa: PLC0415
    from cluster.publish.source import read_source  # noqa: PLC0415

    if options.private and options.repo is None:
        raise ConfigError("private: it says how a repository is made; name one with --repo")
    if options.repo is not None:
        require_hub()
    if options.page:
        require_npm()
    require_free(options.out)
    source = read_source(options.source)
    name = options.name or (options.repo or options.out.absolute().name).rpartition("/")[2]
    wanted = Wanted(name, options.license, options.video, options.page, options.epsilon, options.seed)
    files = make_folder(source, options.out, wanted)
    console.print(f"{options.out}: {', '.join(files)}", soft_wrap=True)
    if not source.scores:
        console.print("its card has no scores; `distill evaluate MODEL --write-card` makes them", soft_wrap=True)
    if options.repo is not None:
        console.print(f"uploaded: {upload(options.out, options.repo, private=options.private)}", soft_wrap=True)
