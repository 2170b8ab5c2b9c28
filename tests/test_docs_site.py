"""The documentation as a site: it is built, every link of it leads somewhere, and every page can be reached."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("*.md", "mkdocs.yml", "docs", "docker", "cluster/ray")

pytest.importorskip("material", reason="without mkdocs-material: pip install 'policy-distillery[docs]'")


def build(folder: Path, checkout: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_asks_no_other_server(site: Path):
    for document in (ROOT / "docs").glob("*.md"):
        assert (site / "docs" / document.stem / "index.html").is_file()
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r'(src|rel="stylesheet" href)="?https?:', text), page


def test_what_pages_link_to_is_there_and_what_no_page_shows_is_not(site: Path):
    assert (site / "docs/examples/run.yaml").is_file() and (site / "docker/compose.yaml").is_file()
    assert not {path.suffix for path in site.rglob("*")} & {".safetensors", ".py", ".sh", ".key", ".crt"}


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path):
    # A copy with git's list of its files, since the site is made of what git knows.
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *COPIED]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        if (ROOT / name).is_file() and not name.endswith(".safetensors"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "LICENSE", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    with (tmp_path / "docs/watch.md").open("a") as document:
        document.write("\n[a page](gone.md), [a place](report.md#gone)\n")
    done = build(tmp_path / "site", tmp_path)
    assert done.returncode == 1
    assert "'gone.md'" in done.stderr and "'report.md#gone'" in done.stderr
