"""deploy/: what every container of compose.yaml keeps to, and that its files name what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: nothing else here reads YAML")
ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_container_has_no_rights_and_a_root_that_cannot_be_written(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["restart"] == ("no" if set(service.get("profiles", ())) & {"jobs", "train"} else service["restart"])
    assert "healthcheck" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_files_and_in_no_environment(name: str) -> None:
    service = SERVICES[name]
    words = [f"{key}={value}" for key, value in service.get("environment", {}).items()]
    assert not [word for word in words if "PASSWORD" in word and "PASSWORD_FILE=/run/secrets/" not in word]
    assert not [word for word in words if word.startswith(("ALPACA", "DATABASE_URL", "TELEGRAM"))]
    used = [secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", ())]
    assert set(used) <= set(COMPOSE["secrets"])
    assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in SERVICES[name]])
def test_images_are_built_from_files_that_exist(name: str) -> None:
    dockerfile = ROOT / SERVICES[name]["build"]["dockerfile"]
    words = dockerfile.read_text(encoding="utf-8")
    copied = next(line for line in words.splitlines() if line.startswith("COPY pyproject")).split()[1:-1]
    assert [file for file in copied if file != "*.py" and not (ROOT / file).exists()] == []
    let_in = dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text(encoding="utf-8").splitlines()
    assert [file for file in copied if f"!{file}" not in let_in] == []
    assert ("train" in words.partition("'.[")[2].partition("]")[0]) == (name == "training")  # torch is there only


# ------------------------------------------------------------ the training job on Kubernetes

# Fields of KubeRay's own types (ray.io/v1, 1.6.2), since its schema is not at hand here: a misspelt one would be
# dropped by the server without a word.
RAY_JOB = frozenset(
    """activeDeadlineSeconds backoffLimit clusterSelector deletionStrategy entrypoint entrypointNumCpus
    entrypointNumGpus entrypointResources jobId managedBy metadata preRunningDeadlineSeconds rayClusterSpec
    runtimeEnvYAML shutdownAfterJobFinishes submissionMode submitterConfig submitterPodTemplate suspend
    ttlSecondsAfterFinished""".split()
)
RAY_CLUSTER = frozenset(
    """authOptions autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions headGroupSpec
    headServiceAnnotations managedBy rayVersion suspend upgradeStrategy workerGroupSpecs""".split()
)
HEAD = frozenset("enableIngress headService labels rayStartParams resources serviceType template".split())
WORKERS = frozenset(
    """groupName idleTimeoutSeconds labels maxReplicas minReplicas numOfHosts rayStartParams replicas resources
    scaleStrategy suspend template""".split()
)
UNUSED = frozenset({"/data/cache", "/data/logs", "/data/models"})  # by workers: tasks write nothing
CLAIM, JOB = yaml.safe_load_all((ROOT / "deploy" / "kuberay-training.yaml").read_text(encoding="utf-8"))
CLUSTER: dict[str, Any] = JOB["spec"]["rayClusterSpec"]
PODS: dict[str, dict[str, Any]] = {
    "head": CLUSTER["headGroupSpec"]["template"]["spec"],
    "worker": CLUSTER["workerGroupSpecs"][0]["template"]["spec"],
    "submitter": JOB["spec"]["submitterPodTemplate"]["spec"],
}


def test_job_is_made_of_fields_that_the_operator_knows() -> None:
    assert (CLAIM["apiVersion"], CLAIM["kind"]) == ("v1", "PersistentVolumeClaim")
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    for table, known in (
        (JOB["spec"], RAY_JOB),
        (CLUSTER, RAY_CLUSTER),
        (CLUSTER["headGroupSpec"], HEAD),
        (CLUSTER["workerGroupSpecs"][0], WORKERS),
    ):
        assert set(table) <= known
    for group in (CLUSTER["headGroupSpec"], CLUSTER["workerGroupSpecs"][0]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    workers = CLUSTER["workerGroupSpecs"][0]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    assert f"ray=={CLUSTER['rayVersion']}" in (ROOT / "constraints.txt").read_text().split()


@pytest.mark.parametrize("name", PODS)
def test_pod_has_no_rights_and_mounts_what_it_declares(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert "memory" in container["resources"]["limits"]
    words = [f"{line['name']}={line['value']}" for line in container["env"]]
    assert not [word for word in words if word.startswith(("ALPACA", "DATABASE_URL", "TELEGRAM"))]
    written = {line["value"] for line in container["env"] if line["value"].startswith("/")}
    mounts = tuple(mount["mountPath"] for mount in container["volumeMounts"])
    unused = UNUSED if name == "worker" else set()
    assert {path for path in written if not path.startswith(mounts)} == unused


def test_ray_nodes_have_the_shared_memory_that_the_object_store_asks_for() -> None:
    for name in ("head", "worker"):
        volumes = {volume["name"]: volume for volume in PODS[name]["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in PODS[name]["containers"][0]["volumeMounts"]}
        assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"  # noqa: S108 - where Linux keeps it
    claimed = PODS["head"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claimed == CLAIM["metadata"]["name"]


def test_entrypoint_is_a_command_line_that_training_takes() -> None:
    name, *words = JOB["spec"]["entrypoint"].split()
    assert name == "trading-train"
    from train_rl_model import app

    taken = CliRunner().invoke(app, [*words, "--help"])
    assert taken.exit_code == 0, taken.output
    wrong = CliRunner().invoke(app, [*words, "--no-such-option"])
    assert wrong.exit_code == 2


def unit(name: str) -> list[str]:
    lines = (ROOT / "deploy" / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_telegram_unit_is_as_closed_as_the_engines_and_runs_where_no_keys_are() -> None:
    engine, telegram = unit("trading-engine.service"), unit("trading-telegram.service")
    first = engine.index("NoNewPrivileges=yes")
    closed = [line for line in engine[first:] if not line.startswith("MemoryMax")]

    assert [line for line in closed if line not in telegram] == []
    assert next(line for line in telegram if line.startswith("ExecStart=")).endswith("engine.py telegram")
    assert "WorkingDirectory=/var/lib/trading-telegram" in telegram
    assert "EnvironmentFile=/etc/trading-engine.env" not in telegram
