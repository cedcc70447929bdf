"""Checks that the rendered manifests are valid, are consistent with each other and with the server, and meet the
restricted Pod Security Standard."""

import itertools
import json
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"

# The oldest version of Kubernetes that GKE supports (in its extended channel), and the newest version for which
# kubernetes-validate has schemas.
VERSIONS = ["1.31", "1.37"]

# Custom resources, for which kubernetes-validate has no schemas.
CUSTOM = {
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.googleapis.com/v1", "PodMonitoring"),
    ("monitoring.googleapis.com/v1", "Rules"),
    ("networking.gke.io/v1", "GCPBackendPolicy"),
    ("networking.gke.io/v1", "HealthCheckPolicy"),
    ("serving.knative.dev/v1", "Service"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
}

# Components that replace the Deployment and the resources around it.
REPLACEMENTS = {"knative", "kserve"}

# Components that include `monitoring`.
COLLECTORS = {"monitoring-gke", "monitoring-operator"}


def combinations():
    """Returns every overlay, and every set of components that can be combined with the base."""
    components = {path.name for path in (MANIFESTS / "components").iterdir()}
    assert REPLACEMENTS < components
    combinable = sorted(components - REPLACEMENTS - COLLECTORS - {"monitoring"})
    sets = [{*some} for count in range(len(combinable) + 1) for some in itertools.combinations(combinable, count)]
    sets = [some | {collector} for some in sets for collector in COLLECTORS] + sets + [{"monitoring"}]
    sets += [{one} for one in REPLACEMENTS]
    return sorted((MANIFESTS / "overlays").iterdir()) + sorted(map(sorted, sets))


def name(combination):
    return combination.name if isinstance(combination, Path) else "+".join(["base", *combination])


@pytest.fixture(scope="session", params=combinations(), ids=name)
def objects(request, tmp_path_factory):
    folder = request.param
    if not isinstance(folder, Path):
        folder = tmp_path_factory.mktemp("overlay")
        (folder / "kustomization.yaml").write_text(
            json.dumps(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "resources": [relative(MANIFESTS / "base", folder)],
                    "components": [relative(MANIFESTS / "components" / one, folder) for one in request.param],
                }
            )
        )
    command = ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder)]
    rendered = subprocess.run(command, capture_output=True, text=True)
    assert rendered.returncode == 0, rendered.stderr
    objects = list(yaml.safe_load_all(rendered.stdout))
    assert objects
    return objects


def relative(path, start):
    return str(Path(*[".."] * len(start.resolve().parts[1:])) / path.resolve().relative_to("/"))


def of_kind(objects, kind, api=""):
    return [item for item in objects if item["kind"] == kind and item["apiVersion"].startswith(api)]


def pods(objects):
    """Yields labels and spec of each pod template."""
    for one in objects:
        if one["kind"] in {"Deployment", "Job"} or one["apiVersion"].startswith("serving.knative.dev"):
            template = one["spec"]["template"]
            yield template.get("metadata", {}).get("labels", {}), template["spec"]
        elif one["kind"] == "InferenceService":
            yield {}, one["spec"]["predictor"]


def containers(objects):
    for _, spec in pods(objects):
        yield from ((spec, container) for container in spec["containers"])


@pytest.mark.parametrize("version", VERSIONS)
def test_schemas(objects, version):
    for one in objects:
        if (one["apiVersion"], one["kind"]) in CUSTOM:
            continue
        # Fails if there is no schema for the kind.
        kubernetes_validate.validate(one, version, strict=True)


def test_objects_are_unique(objects):
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)
    assert len(list(pods(objects))) == 1 + len(of_kind(objects, "Job"))
    assert all(one["metadata"]["labels"]["app.kubernetes.io/name"] == "ml-app" for one in objects)


def test_selectors_select_the_pods(objects):
    if of_kind(objects, "InferenceService"):
        return
    [labels, *of_jobs] = [labels for labels, _ in pods(objects)]
    selectors = []
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Service" and one["apiVersion"] == "v1":
            selectors.append(spec["selector"])
        for key in ("selector", "podSelector"):
            if "matchLabels" in spec.get(key, {}):
                selectors.append(spec[key]["matchLabels"])
    for _, spec in pods(objects):
        selectors += [spread["labelSelector"]["matchLabels"] for spread in spec.get("topologySpreadConstraints", [])]
    if of_kind(objects, "Deployment"):
        assert len(selectors) >= 5
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert not any(selector.items() <= other.items() for selector in selectors for other in of_jobs)


def test_references_resolve(objects):
    existing = {(one["kind"], one["metadata"]["name"]) for one in objects}
    ports = {port["name"] for _, container in containers(objects) for port in container.get("ports", []) if "name" in port}
    for _, spec in pods(objects):
        assert ("ServiceAccount", spec["serviceAccountName"]) in existing
    for autoscaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = autoscaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in existing
    served = set()
    for service in of_kind(objects, "Service", "v1"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
            served.add((service["metadata"]["name"], port["port"]))
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in policy["spec"]["ingress"]:
            assert [port["port"] for port in rule["ports"]] == [5000]
    for route in of_kind(objects, "HTTPRoute"):
        for parent in route["spec"]["parentRefs"]:
            [gateway] = [one for one in of_kind(objects, "Gateway") if one["metadata"]["name"] == parent["name"]]
            assert parent["sectionName"] in {listener["name"] for listener in gateway["spec"]["listeners"]}
        for rule in route["spec"]["rules"]:
            assert all((backend["name"], backend["port"]) in served for backend in rule["backendRefs"])
    for policy in of_kind(objects, "HealthCheckPolicy") + of_kind(objects, "GCPBackendPolicy"):
        target = policy["spec"]["targetRef"]
        assert (target["kind"], target["name"]) in existing


def test_probes_use_paths_of_the_server(objects):
    document = json.loads((ROOT / "tests/cases/online-sales/openapi.json").read_text())
    paths = {path for path, operations in document["paths"].items() if "get" in operations}
    probed = set()
    for _, container in containers(objects):
        ports = {key for port in container.get("ports", []) for key in (port.get("name"), port["containerPort"])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe in container:
                get = container[probe]["httpGet"]
                probed.add(get["path"])
                assert get.get("port", 5000) in ports
    for policy in of_kind(objects, "HealthCheckPolicy"):
        check = policy["spec"]["default"]["config"]["httpHealthCheck"]
        probed.add(check["requestPath"])
        assert check["port"] in {port["containerPort"] for _, c in containers(objects) for port in c.get("ports", [])}
    assert probed and probed <= paths


# Kinds of objects that contain names of metrics.
METRICS = {"ConfigMap", "HorizontalPodAutoscaler", "PrometheusRule", "Rules"}

UNITS = {"m": 1e-3, "": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text):
    digits = text.rstrip("".join(UNITS))
    return float(digits) * UNITS[text[len(digits) :]]


def test_requests_are_within_limits(objects):
    for _, container in containers(objects):
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert "memory" in resources["limits"]
        for resource, limit in resources["limits"].items():
            assert quantity(resources["requests"][resource]) <= quantity(limit)


def test_the_drain_ends_before_the_pod_is_killed(objects):
    # The server completes requests for up to 8 s after the drain delay.
    shutdown = 8
    for spec, container in containers(objects):
        environment = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        grace = spec.get("terminationGracePeriodSeconds", 30)
        assert int(environment.get("ML_APP_DRAIN_DELAY", 0)) + shutdown < grace


def test_pods_are_restricted(objects):
    """Checks the rules of https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and further
    rules: the group is not root, the file system is read-only, and there is no token."""
    volumes = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for spec, container in containers(objects):
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        assert spec["automountServiceAccountToken"] is False
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= volumes
        of_pod, own = spec.get("securityContext", {}), container["securityContext"]
        context = {**of_pod, **own}
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == 65532
        assert context["seccompProfile"]["type"] in {"RuntimeDefault", "Localhost"}
        assert own["allowPrivilegeEscalation"] is False and not own.get("privileged")
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True
        assert not any("hostPort" in port for port in container.get("ports", []))
        assert {"procMount", "seLinuxOptions", "sysctls", "windowsOptions"}.isdisjoint(context)


def test_metrics_exist_in_the_server(objects):
    source = "".join(path.read_text() for path in [ROOT / "src/metrics.rs", ROOT / "src/metrics/process.rs"])
    text = json.dumps([one for one in objects if one["kind"] in METRICS])
    used = set(re.findall(r"\bml_app_[a-z_]+", text)) - {"ml_app_dashboard"}
    family = lambda name: re.sub("_seconds_(bucket|sum|count)$", "_seconds", name)
    assert [name for name in used if f'"{family(name)}"' not in source] == []
    if of_kind(objects, "ConfigMap"):
        assert used


def test_overlays_set_the_image(request, objects):
    if isinstance(request.node.callspec.params["objects"], Path):
        assert all(":" in container["image"] for _, container in containers(objects))


def test_a_job_has_a_pod_for_each_shard(objects):
    for job in of_kind(objects, "Job"):
        spec = job["spec"]
        arguments = spec["template"]["spec"]["containers"][0]["args"]
        assert spec["completionMode"] == "Indexed" and spec["parallelism"] == spec["completions"]
        assert f"--shard=$(INDEX)/{spec['completions']}" in arguments


def test_a_rollout_never_has_too_few_pods(objects):
    for deployment in of_kind(objects, "Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_components_have_a_readme():
    for component in (MANIFESTS / "components").iterdir():
        assert (component / "README.md").read_text().startswith(f"# {component.name}\n")
