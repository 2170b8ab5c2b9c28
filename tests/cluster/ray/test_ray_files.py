"""The files that launch Ray: valid by Ray's, KubeRay's and Kubernetes' own schemas, and what they have to say."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml

from tests.support import programs

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "cluster/ray"
LAUNCHERS = ("local", "aws", "gcp")
SCHEMAS = ROOT / "../shared/schemas"
KINDS = {"raycluster": "rayclusters", "rayjob": "rayjobs"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pinned_ray() -> str:
    requirements = (ROOT / "docker/requirements.txt").read_text().splitlines()
    return next(line.removeprefix("ray==") for line in requirements if line.startswith("ray=="))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_file_is_valid_by_rays_own_schema(name: str) -> None:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    config = load(FILES / f"{name}.yaml")
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config | {"nonsense": 1}, schema)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_file_hands_the_token_over_and_keeps_the_learners_password_from_workers(name: str) -> None:
    config = load(FILES / f"{name}.yaml")
    mounts: dict[str, str] = config["file_mounts"]
    assert mounts["/home/distill/.ray/auth_token"] == "secrets/auth_token"
    # An image has RAY_AUTH_MODE; without one the commands set it.
    image = (ROOT / "docker/Dockerfile").read_text()
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in (image if "docker" in config else commands[-1])
    assert "secrets" not in mounts.values() and "secrets/passwords" not in mounts.values()
    assert not [local for local in mounts.values() if local.endswith("-learner")]
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert "DISTILL_REDIS_USERNAME=demo-learner" in head and "DISTILL_REDIS_USERNAME=demo-actor" in worker


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_file_tells_where_learner_and_actors_go(name: str) -> None:
    config = load(FILES / f"{name}.yaml")
    if name == "local":
        head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
        assert "distill_learner" in head and "distill_actor" not in head
        assert "distill_actor" in worker and "distill_learner" not in worker
    else:
        types = config["available_node_types"]
        assert "distill_learner" in types[config["head_node_type"]]["resources"]
        assert set(types["actors"]["resources"]) >= {"distill_actor"}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_what_a_launcher_file_copies_is_there(name: str) -> None:
    made = ("secrets/auth_token", "secrets/ca.crt", "secrets/passwords/demo-actor")
    for local in load(FILES / f"{name}.yaml")["file_mounts"].values():
        assert local in made or (ROOT / local).exists(), local


def strict(schema: Any) -> Any:
    """Return a schema that refuses fields that it does not name, which Kubernetes would silently drop."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if named and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    return result


@cache
def crd_schema(kind: str) -> Any:
    path = SCHEMAS / f"ray.io_{KINDS[kind]}.yaml"
    if not path.exists():
        pytest.skip("without KubeRay's definitions, which are not part of this project")
    (version,) = [version for version in load(path)["spec"]["versions"] if version["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    # Kubernetes itself defines these.
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


@pytest.mark.parametrize("kind", KINDS)
def test_a_kuberay_manifest_is_valid_by_its_definition(kind: str) -> None:
    manifest = load(FILES / f"kuberay/{kind}.yaml")
    jsonschema.validate(manifest, crd_schema(kind))
    assert manifest["apiVersion"] == "ray.io/v1"


@pytest.mark.parametrize("broken", ["rayVersoin", "authOptions", "groupName"])
def test_a_mistake_in_a_manifest_would_be_found(broken: str) -> None:
    manifest = load(FILES / "kuberay/raycluster.yaml")
    if broken == "rayVersoin":
        manifest["spec"][broken] = "2.60.0"
    elif broken == "authOptions":
        manifest["spec"][broken]["mode"] = "tokens"
    else:
        del manifest["spec"]["workerGroupSpecs"][0][broken]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, crd_schema("raycluster"))


def test_the_job_has_the_same_cluster() -> None:
    job, cluster = (load(FILES / f"kuberay/{kind}.yaml")["spec"] for kind in ("rayjob", "raycluster"))
    assert job["rayClusterSpec"] == cluster
    assert job["shutdownAfterJobFinishes"] is True


def test_the_cluster_has_a_learner_on_a_gpu_and_actors_that_scale() -> None:
    spec = load(FILES / "kuberay/raycluster.yaml")["spec"]
    assert spec["rayVersion"] == pinned_ray()
    assert spec["authOptions"] == {"mode": "token", "secretName": "distill-ray-token"}
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    learner, actors = spec["workerGroupSpecs"]
    assert learner["resources"] == {"distill_learner": "1"} and learner["maxReplicas"] == 1
    assert learner["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "distill_actor" in actors["resources"] and actors["minReplicas"] < actors["maxReplicas"]


def pod_specs() -> Iterator[tuple[str, Any]]:
    spec = load(FILES / "kuberay/raycluster.yaml")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield group.get("groupName", "head"), group["template"]["spec"]
    for manifest in yaml.safe_load_all((FILES / "kuberay/redis.yaml").read_text()):
        if manifest["kind"] == "Deployment":
            yield "redis", manifest["spec"]["template"]["spec"]


def test_no_pod_is_root_or_has_a_secret_that_it_does_not_need() -> None:
    secrets = {}
    for name, spec in pod_specs():
        assert spec["securityContext"]["runAsNonRoot"] is True
        (container,) = spec["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert not [variable for variable in container.get("env", ()) if "PASSWORD" in variable["name"]
                    and not variable["name"].endswith("_FILE")]  # fmt: skip
        secrets[name] = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
    assert secrets == {
        "head": {"distill-redis-learner"},
        "learner": {"distill-redis-learner"},
        "actors": {"distill-redis-actor"},
        "redis": {"distill-redis"},
    }


@pytest.mark.parametrize("name", ["redis", "runs"])
def test_the_other_manifests_are_valid_by_kubernetes_schema(name: str) -> None:
    validator = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run(
        [validator, "--strict", FILES / f"kuberay/{name}.yaml"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_kustomize_puts_everything_together(tmp_path: Path) -> None:
    """Secrets of docker/make-secrets.sh, redis.conf, images and manifests, as `kubectl apply -k` would send them."""
    kubectl = programs.require("kubectl")
    programs.require("openssl")
    for folder in ("cluster/ray/kuberay", "docker/redis"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("secrets"))
    subprocess.run(
        [ROOT / "docker/make-secrets.sh", tmp_path / "cluster/ray/kuberay/secrets", "distill-redis", "demo"],
        env=os.environ | {"PYTHON": sys.executable}, cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip
    done = subprocess.run(
        [kubectl, "kustomize", tmp_path / "cluster/ray/kuberay"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    built = list(yaml.safe_load_all(done.stdout))
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in built}
    wanted = {("Secret", name) for name in ("distill-ray-token", "distill-redis", "distill-redis-actor",
                                            "distill-redis-learner")}  # fmt: skip
    assert names >= wanted | {
        ("ConfigMap", "distill-redis"),
        ("RayCluster", "distill"),
        ("Deployment", "distill-redis"),
    }
    data = {manifest["metadata"]["name"]: set(manifest["data"]) for manifest in built if manifest["kind"] == "Secret"}
    assert data["distill-ray-token"] == {"auth_token"}, "the key that KubeRay looks for"
    assert data["distill-redis-actor"] == data["distill-redis-learner"] == {"ca.crt", "password"}
    assert data["distill-redis"] == {"ca.crt", "redis.crt", "redis.key", "users.acl"}
