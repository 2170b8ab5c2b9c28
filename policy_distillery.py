"""The program `distill` before any of its packages is imported: are they its own, and is there a current folder?

Their names are short: other projects have packages of the same names, and pip installs one over the other.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("actors", "cluster", "distill", "learner")
MARK = "Policy Distillery"
"""Stands in the first line of each of them."""


def main() -> None:
    """Run the command line and exit, or say in one sentence why it cannot run."""
    reason = trouble()
    if reason is not None:
        sys.stderr.write(f"distill: {reason}\n")
        sys.exit(2)
    from cluster.cli import main as command_line  # noqa: PLC0415 - only now is it known to be this program's

    command_line()


def trouble() -> str | None:
    """Return one sentence about what keeps this program from starting, or None."""
    try:
        Path.cwd()
    except OSError as error:
        return f"the current folder cannot be used ({error.strerror}); go to one that exists, and start again"
    for package in PACKAGES:
        ours = Path(__file__).parent / package / "__init__.py"
        found = _found(package)
        if found is None or not ours.exists():
            return f"the package {package} is missing in {ours.parent.parent}; install policy-distillery again"
        if not ours.samefile(found) or MARK not in _first_line(found):
            return (
                f"the package {package} in {found.parent} is not this program's{_owners(package)};"
                " install policy-distillery into an environment of its own, with pipx or uv tool"
            )
    return None


def _found(package: str) -> Path | None:
    """Return what would be imported under a name."""
    spec = find_spec(package)
    path = Path(spec.origin) if spec is not None and spec.origin is not None else None
    return path if path is not None and path.exists() else None


def _first_line(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").partition("\n")[0]


def _owners(package: str) -> str:
    """Return which other installed distributions have a package of that name."""
    from importlib.metadata import packages_distributions  # noqa: PLC0415 - it takes a while, and is seldom needed

    others = sorted({*packages_distributions().get(package, ())} - {"policy-distillery"})
    return f" but that of {' and '.join(others)}" if others else ""


if __name__ == "__main__":
    main()
