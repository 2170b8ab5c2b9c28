"""`distill completion`: print a script by which a shell completes commands, options and their values."""

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import Literal

import tyro
from rich.console import Console

from cluster import commands
from cluster.commands.options import completion_script, parse_options
from distill.config import Section

Shell = Literal["bash", "zsh", "fish"]

_FILES: dict[Shell, str] = {
    "bash": """
_distill() {
  _tyro_distill "$@"
  local word=${COMP_WORDS[COMP_CWORD]} found=("${COMPREPLY[@]}") each
  COMPREPLY=()
  for each in "${found[@]}"; do
    [[ -z $each || ( $each == -* && $word != -* ) ]] || COMPREPLY+=("$each")
  done
}
complete -o default -F _distill distill
""",
    "zsh": """
(( CURRENT == 2 )) || [[ ${words[CURRENT]} == -* ]] || _files
""",
    "fish": """
complete --command distill --arguments '(__fish_complete_path (commandline --current-token))' --condition '
  test (count (commandline --tokenize --cut-at-cursor --current-process)) -ge 2
  and not string match --quiet -- "-*" (commandline --current-token)'
""",
}
"""What follows tyro's script: it knows files as values of options, and here many words without an option are files."""


class CompletionOptions(Section):
    """Print a script by which a shell completes commands, options and their values; README says where to put it."""

    shell: tyro.conf.Positional[Shell]
    """Shell that is to read it: bash, zsh or fish."""


def command(arguments: Sequence[str], console: Console) -> None:
    """Print the script."""
    options = parse_options(CompletionOptions, arguments, "completion", CompletionOptions.__doc__ or "")
    # It is no text for people: a line that was folded or escaped would be another program.
    console.file.write(script(options.shell))


def script(shell: Shell) -> str:
    """Return what a shell is to read."""
    return completion_script(subcommands(), shell) + _FILES[shell]


def subcommands() -> dict[str, type[Section]]:
    """Return the model of every subcommand's options by its name; this imports all of them, which takes seconds."""
    modules = [importlib.import_module(f"{commands.__name__}.{found.name}") for found in _modules()]
    return {_name(module): _options(module) for module in modules if hasattr(module, "command")}


def _modules() -> list[pkgutil.ModuleInfo]:
    return sorted(pkgutil.iter_modules(commands.__path__), key=lambda found: found.name)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2].replace("_", "-")


def _options(module: ModuleType) -> type[Section]:
    """Return the one model of settings that a subcommand's module defines."""
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    (options,) = [value for value in own if issubclass(value, Section)]
    return options
