"""Looks around before anything else is imported: are the packages this program's, and is there a current folder?"""

import importlib.util
from pathlib import Path

PACKAGES = ("actors", "cluster", "distill", "learner")
MARK = "Policy Distillery"
"""Stands in the first line of each of them."""


def trouble() -> str | None:
    """Return one sentence about what keeps this program from starting, or None."""
    try:
        Path.cwd()
    except OSError as error:
        return f"the current folder cannot be used ({error.strerror}); go to one that exists, and start again"
    for package in PACKAGES:
        found = _found(package)
        if found is None:
            return f"the package {package} is missing beside {Path(__file__).parent}; install policy-distillery again"
        if not _is_ours(package, found):
            return (
                f"the package {package} in {found.parent} is not this program's{_owners(package)};"
                " install policy-distillery into an environment of its own, with pipx or uv tool"
            )
    return None


def _found(package: str) -> Path | None:
    """Return where a package would be imported from."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _is_ours(package: str, found: Path) -> bool:
    """Tell whether a package lies beside this one, and was not overwritten by another of its name."""
    ours = Path(__file__).parent.parent / package / "__init__.py"
    try:
        return ours.samefile(found) and MARK in found.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return False


def _owners(package: str) -> str:
    """Return which other installed distributions have a package of that name; reading them takes a while."""
    from importlib.metadata import packages_distributions  # noqa: PLC0415 - only where something is wrong

    others = sorted({*packages_distributions().get(package, ())} - {"policy-distillery"})
    return f" but that of {' and '.join(others)}" if others else ""
