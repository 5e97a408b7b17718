"""deploy/kubernetes/: Kubernetes' own schemas, and what they cannot say."""

import asyncio
import re
from typing import Any

import psycopg
import pytest
import yaml

from bot.app import CLOSE_S, FINISH_S
from bot.settings import BotSettings
from core.queue.database import TASK
from core.queue.schema import prepare
from core.settings import variable_names
from tests.hosting.dockerfile import DOCKERFILE
from tests.support.data import ROOT
from tests.support.postgres import Cluster
from web.settings import WebSettings

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.33", "1.36")
"""Of Kubernetes."""

KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
OBJECTS: dict[str, dict[str, Any]] = {
    f"{path.stem}/{one['kind']}": one
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for one in yaml.safe_load_all(path.read_text("utf-8"))
}
PODS = {name: one["spec"]["template"] for name, one in OBJECTS.items() if "template" in one.get("spec", {})}
BOT, WORKER, PAGE = "bot/StatefulSet", "worker/Deployment", "page/Deployment"
SECRET = OBJECTS["secret.example/Secret"]
SHARED = OBJECTS["settings/ConfigMap"]


def container(pod: str) -> dict[str, Any]:
    [only] = PODS[pod]["spec"]["containers"]
    return only  # type: ignore[no-any-return]


def variables(pod: str) -> dict[str, Any]:
    """What a pod sets by itself: a value, or where it is from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(pod)["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name, one in OBJECTS.items() if "keda.sh" not in one["apiVersion"]])
def test_an_object_fits_kubernetes_schema(name: str, version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    kubernetes_validate.validate(OBJECTS[name], version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**OBJECTS[name], "speck": {}}, version, strict=True)


def test_the_kustomization_names_every_file_but_the_example_and_what_needs_keda() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files - {"secret.example.yaml", "keda.yaml"}
    assert all(one["kind"] != "Secret" for name, one in OBJECTS.items() if not name.startswith("secret.example"))
    assert {container(pod)["image"] for pod in PODS} == {image["name"] for image in KUSTOMIZATION["images"]}


def test_there_are_bots_workers_and_the_page() -> None:
    assert PODS.keys() == {BOT, WORKER, PAGE}
    assert [container(pod)["args"] for pod in (BOT, WORKER, PAGE)] == [["bot"], ["worker"], ["web"]]


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_is_confined_as_a_container_of_compose_is(pod: str) -> None:
    spec = PODS[pod]["spec"]
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    assert user
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user[1]), int(user[2]))
    assert security["fsGroup"] == int(user[2])
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    # GENREGENIE_PAGE_SERVICE_HOST and the like would be settings that nobody knows: it would not start.
    assert spec["enableServiceLinks"] is False
    mounts = {mount["mountPath"]: mount["name"] for mount in container(pod)["volumeMounts"]}
    volumes = {volume["name"]: volume["emptyDir"] for volume in spec["volumes"]}
    assert mounts.keys() == {"/tmp", SHARED["data"]["GENREGENIE_DATA_DIR"]}
    assert all(volumes[name]["sizeLimit"] for name in mounts.values())
    resources = container(pod)["resources"]
    assert {"cpu", "memory"} == resources["requests"].keys()
    assert resources["limits"]["memory"]


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_sets_what_its_program_reads_and_its_secrets_are_in_the_example(pod: str) -> None:
    known = variable_names(WebSettings if pod == PAGE else BotSettings)
    assert variables(pod).keys() <= known
    assert SHARED["data"].keys() <= known
    assert container(pod)["envFrom"] == [{"configMapRef": {"name": SHARED["metadata"]["name"]}}]
    for name, value in variables(pod).items():
        if isinstance(value, dict):
            assert value == {"secretKeyRef": {"name": SECRET["metadata"]["name"], "key": name}}
            assert name in SECRET["stringData"]


def test_only_the_bot_has_the_token_and_only_the_page_its_password() -> None:
    assert [pod for pod in PODS if "DISCORD_TOKEN" in str(PODS[pod])] == [BOT]
    assert [pod for pod in PODS if "GENREGENIE_WEB_PASSWORD" in str(PODS[pod])] == [PAGE]
    assert not any(word in str(SHARED) for word in ("TOKEN", "PASSWORD", "_URL"))


@pytest.mark.parametrize("pod", [BOT, WORKER])
def test_health_is_asked_for_where_it_is(pod: str) -> None:
    [port] = container(pod)["ports"]
    assert port["containerPort"] == BotSettings.model_fields["http_port"].default
    paths = {kind: container(pod)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: asked["path"] for kind, asked in paths.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {asked["port"] for asked in paths.values()} == {port["name"]}
    assert SHARED["data"]["GENREGENIE_HTTP_HOST"] == "0.0.0.0"


def test_the_page_is_asked_where_it_listens() -> None:
    [port] = container(PAGE)["ports"]
    assert variables(PAGE)["GENREGENIE_WEB_PORT"] == str(port["containerPort"])
    for kind in ("startup", "liveness", "readiness"):
        assert container(PAGE)[f"{kind}Probe"]["tcpSocket"] == {"port": port["name"]}


def test_there_is_time_to_finish_what_runs() -> None:
    assert PODS[BOT]["spec"]["terminationGracePeriodSeconds"] > FINISH_S + CLOSE_S + 5
    drain_s = BotSettings.model_fields["drain_s"].default
    assert PODS[WORKER]["spec"]["terminationGracePeriodSeconds"] >= drain_s + 30


def test_the_ordinals_of_the_bots_have_all_shards_and_each_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    bots = OBJECTS[BOT]
    assert bots["spec"]["podManagementPolicy"] == "Parallel"
    assert bots["spec"]["serviceName"] == OBJECTS["bot/Service"]["metadata"]["name"]
    values = {name: value for name, value in variables(BOT).items() if name.startswith("DISCORD_SHARD")}
    shards: list[int] = []
    for ordinal in range(bots["spec"]["replicas"]):
        monkeypatch.setattr("socket.gethostname", lambda pod=f"{bots['metadata']['name']}-{ordinal}": pod)
        shards += BotSettings(_env_file=None, **values).shard_ids or []  # type: ignore[call-arg]
    assert shards == list(range(int(values["DISCORD_SHARD_COUNT"])))


@pytest.mark.parametrize("name", [name for name, one in OBJECTS.items() if one["kind"] == "Service"])
def test_a_service_leads_to_a_port_of_its_pods(name: str) -> None:
    [pods] = [pod for pod in PODS.values() if pod["metadata"]["labels"] == OBJECTS[name]["spec"]["selector"]]
    ports = {port["name"] for port in pods["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in OBJECTS[name]["spec"]["ports"]} <= ports


@pytest.mark.parametrize("name", PODS)
def test_a_selector_selects_its_own_pods(name: str) -> None:
    assert OBJECTS[name]["spec"]["selector"]["matchLabels"] == PODS[name]["metadata"]["labels"]


def test_keda_scales_the_workers_by_the_queue() -> None:
    # KEDA's schemas are published nowhere that can be installed from.
    scaled, access = OBJECTS["keda/ScaledObject"], OBJECTS["keda/TriggerAuthentication"]
    assert {scaled["apiVersion"], access["apiVersion"]} == {"keda.sh/v1alpha1"}
    spec = scaled["spec"]
    assert spec.keys() <= {
        *("scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "triggers"),
    }
    assert spec["scaleTargetRef"] == {"kind": "Deployment", "name": OBJECTS[WORKER]["metadata"]["name"]}
    assert 0 < spec["minReplicaCount"] < spec["maxReplicaCount"], "a bot without workers is not ready"
    [trigger] = spec["triggers"]
    assert trigger["type"] == "postgresql"
    assert trigger["metadata"].keys() == {"query", "targetQueryValue"}
    assert float(trigger["metadata"]["targetQueryValue"]) > 0
    assert isinstance(trigger["metadata"]["targetQueryValue"], str), "metadata are strings"
    assert trigger["authenticationRef"] == {"name": access["metadata"]["name"]}
    [parameter] = access["spec"]["secretTargetRef"]
    assert parameter["parameter"] == "connection"
    assert parameter["name"] == SECRET["metadata"]["name"]
    assert parameter["key"] in SECRET["stringData"]


def test_kedas_query_counts_songs_that_wait_or_run(postgres: Cluster) -> None:
    database = postgres.new_database()

    async def make() -> None:
        async with await psycopg.AsyncConnection.connect(postgres.url(database), autocommit=True) as connection:
            await prepare(connection)

    asyncio.run(make())
    [trigger] = OBJECTS["keda/ScaledObject"]["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    assert postgres.sql(query, database) == "0"
    jobs = [(TASK, "todo"), (TASK, "doing"), (TASK, "succeeded"), ("tidy", "todo")]
    for task, status in jobs:
        postgres.sql(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, status) "
            f"VALUES ('any', '{task}', '{status}') RETURNING id",
            database,
        )
    assert postgres.sql(query, database) == "2"
