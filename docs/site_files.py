"""A hook of MkDocs: the site is made of the checkout's own files, where they link to each other as they do for readers.

MkDocs wants all of them in one folder and nothing else, so this gives it one with copies. What git ignores, such as
secrets beside the files that use them, is left out.
"""

import atexit
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "docs", "docker", "cluster/ray",
    "results/*/plot.png",
)  # fmt: skip
"""What pages link to is among these."""
LEFT_OUT = (".py", ".safetensors", ".json", ".sh")
"""Endings of files that no page shows."""


def on_config(config: Any) -> Any:
    """Let MkDocs read copies."""
    folder = Path(tempfile.mkdtemp(prefix="distill-docs-"))
    # Also of a build that fails.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *PAGES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in listed.split("\0"):
        if name and not name.endswith(LEFT_OUT) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    config["docs_dir"] = str(folder)
    return config
