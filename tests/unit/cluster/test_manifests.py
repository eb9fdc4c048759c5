"""What cannot be run here is checked against the schemas that its makers publish."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml

CLUSTER = Path(__file__).parents[3] / "cluster"
POD_TEMPLATE = {
    "type": "object",
    "required": ["spec"],
    "properties": {"spec": {"type": "object"}, "metadata": {"type": "object"}},
}
PARAMS = {"type": "object", "additionalProperties": {"type": "string"}}
# The fields of KubeRay's API reference (ray.io/v1): what stands in ours must be one of them, with its type.
HEAD = {
    "type": "object",
    "required": ["rayStartParams", "template"],
    "additionalProperties": False,
    "properties": {
        "serviceType": {"type": "string"},
        "enableIngress": {"type": "boolean"},
        "rayStartParams": PARAMS,
        "template": POD_TEMPLATE,
    },
}
WORKERS = {
    "type": "object",
    "required": ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    "additionalProperties": False,
    "properties": {
        "groupName": {"type": "string"},
        "replicas": {"type": "integer", "minimum": 0},
        "minReplicas": {"type": "integer", "minimum": 0},
        "maxReplicas": {"type": "integer", "minimum": 1},
        "numOfHosts": {"type": "integer", "minimum": 1},
        "rayStartParams": PARAMS,
        "template": POD_TEMPLATE,
    },
}
CLUSTER_SPEC = {
    "type": "object",
    "required": ["headGroupSpec"],
    "additionalProperties": False,
    "properties": {
        "rayVersion": {"type": "string"},
        "enableInTreeAutoscaling": {"type": "boolean"},
        "suspend": {"type": "boolean"},
        "headGroupSpec": HEAD,
        "workerGroupSpecs": {"type": "array", "items": WORKERS},
    },
}
JOB_SPEC = {
    "type": "object",
    "required": ["entrypoint", "rayClusterSpec"],
    "additionalProperties": False,
    "properties": {
        "entrypoint": {"type": "string"},
        "runtimeEnvYAML": {"type": "string"},
        "jobId": {"type": "string"},
        "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
        "backoffLimit": {"type": "integer", "minimum": 0},
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": {"type": "integer", "minimum": 0},
        "suspend": {"type": "boolean"},
        "rayClusterSpec": CLUSTER_SPEC,
    },
}
SPECS = {"RayCluster": CLUSTER_SPEC, "RayJob": JOB_SPEC}


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / name).read_text())


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"].get("rayClusterSpec", manifest["spec"])


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(manifest)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"] for group in groups]


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_kuberay_manifests_fit_the_api(name: str) -> None:
    manifest = load(name)
    assert manifest["apiVersion"] == "ray.io/v1"
    jsonschema.validate(manifest["spec"], SPECS[manifest["kind"]])
    assert cluster_of(manifest)["rayVersion"] == ray.__version__


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_pods_fit_the_kubernetes_schema(name: str) -> None:
    templates = pods(load(name))
    assert len(templates) == 2
    for template in templates:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "checked"}, **template}
        kubernetes_validate.validate(pod, "1.33", strict=True)


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_every_pod_takes_its_token_from_the_secret(name: str) -> None:
    for template in pods(load(name)):
        for container in template["spec"]["containers"]:
            env = {entry["name"]: entry for entry in container["env"]}
            assert env["RAY_AUTH_MODE"]["value"] == "token"
            assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "hemometric-token"
            assert "value" not in env["RAY_AUTH_TOKEN"]


def test_a_misspelt_field_would_be_found() -> None:
    manifest = load("raycluster.yaml")
    manifest["spec"]["workerGroupSpec"] = manifest["spec"].pop("workerGroupSpecs")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest["spec"], CLUSTER_SPEC)


def test_the_job_runs_a_script_and_a_config_that_exist() -> None:
    words = load("rayjob.yaml")["spec"]["entrypoint"].split()
    root = CLUSTER.parent
    shipped = [Path(word).relative_to("/opt/hemometric") for word in words if word.startswith("/opt/hemometric/")]
    assert [path.suffix for path in shipped] == [".py", ".yaml"]
    for path in shipped:
        assert (root / path).is_file()


def test_vms_fit_rays_own_schema() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = load("vms.yaml")
    jsonschema.validate(config, schema)
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if "ray start" in line)


def test_the_image_installs_pinned_versions_and_runs_unprivileged() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    assert any("pip install" in line and "-c constraints.txt" in line for line in lines)
    assert "USER ray" in lines
