"""What docs/deploying has for systemd, containers and Kubernetes agrees with itself, and works."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from endoscope.settings import CoreSettings
from endoscope_export.settings import ExportSettings
from endoscope_memory.settings import MemorySettings

DOCS = Path(__file__).parents[2] / "docs"
DEPLOYING = DOCS / "deploying"
UNIT = DEPLOYING / "systemd" / "router.service"
CONTAINERFILE = DEPLOYING / "container" / "Containerfile"
MANIFESTS = DEPLOYING / "kubernetes" / "router.yaml"
POLICY = DEPLOYING / "kubernetes" / "network-policy.yaml"
COLLECT = DEPLOYING / "kubernetes" / "collect.sh"
SECRET = "deployment-secret-5d1e"
ENDOSCOPE = [sys.executable, "-m", "endoscope"]


# --- what the files say ----------------------------------------------------------------------


def unit() -> dict[str, list[str]]:
    """Return the unit's settings; each may be given several times."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the Containerfile, as word and rest."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line]
    found: list[list[tuple[str, str]]] = []
    for word, _, rest in (line.partition(" ") for line in lines):
        if word == "FROM":
            found.append([])
        found[-1].append((word, " ".join(rest.split())))
    return found


def image(word: str) -> str:
    """Return the only instruction of that name in the image's last stage."""
    [rest] = [rest for name, rest in stages()[-1] if name == word]
    return rest


def image_variables() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(image("ENV")))


def manifest(kind: str) -> Any:
    texts = [path.read_text() for path in (MANIFESTS, POLICY)]
    documents = [document for text in texts for document in yaml.safe_load_all(text)]
    [found] = [document for document in documents if document["kind"] == kind]
    return found


def pod() -> Any:
    return manifest("Deployment")["spec"]["template"]["spec"]


def container() -> Any:
    [found] = pod()["containers"]
    return found


def mounted(volume: str) -> Path:
    [path] = [m["mountPath"] for m in container()["volumeMounts"] if m["name"] == volume]
    return Path(path)


def volume(name: str) -> Any:
    [found] = [volume for volume in pod()["volumes"] if volume["name"] == name]
    return found


CONFIGURATIONS = {
    "systemd": (DEPLOYING / "systemd" / "router.yaml").read_text(),
    "container": (DEPLOYING / "container" / "router.yaml").read_text(),
    "kubernetes": manifest("ConfigMap")["data"]["router.yaml"],
}


def section(where: str) -> Any:
    return yaml.safe_load(CONFIGURATIONS[where])["plugins"]["experimental_diagnostics"]


def secret_file(where: str) -> Path:
    return Path(section(where)["shared_secret"].removeprefix("${file.").removesuffix("}"))


@pytest.mark.parametrize("where", CONFIGURATIONS)
def test_a_configuration_is_valid(where, tmp_path, run):
    (tmp_path / "secret").write_text(SECRET)
    text = CONFIGURATIONS[where].replace(str(secret_file(where)), str(tmp_path / "secret"))
    (tmp_path / "router.yaml").write_text(text)
    done = run([*ENDOSCOPE, "doctor", "--config", tmp_path / "router.yaml"])
    assert "the configuration is valid" in done.stdout


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of each `endoscope` command in the documents, the program's not included."""
    for path in (DOCS / "operations.md", *sorted(DEPLOYING.rglob("README.md"))):
        for block in re.findall(r"^ *```sh\n(.*?)```", path.read_text(), re.DOTALL | re.MULTILINE):
            for words in re.findall(r"(?:^|[ '])endoscope ([^#\n|>&']+)", block, re.MULTILINE):
                yield tuple(words.partition(" -- ")[0].split())


def test_commands_in_the_documents_exist_with_their_options(run):
    used: dict[str, set[str]] = {}
    for command, *words in commands():
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        used.setdefault(command, set()).update(options)
    assert {"processes", "dump", "outliers", "report", "export", "status"} <= used.keys()
    for command, options in used.items():
        told = run([*ENDOSCOPE, command, "--help"])
        assert told.returncode == 0, command
        assert options <= set(re.findall(r"--[a-z-]+", told.stdout)), command


# --- systemd ---------------------------------------------------------------------------------


@pytest.fixture
def installed_unit(tmp_path, needs) -> Path:
    """Write the unit for programs that are there, which is verified too."""
    needs("systemd-analyze")
    path = tmp_path / UNIT.name
    path.write_text(
        UNIT.read_text().replace("ExecStart=/opt/router/bin/endoscope", "ExecStart=/bin/true")
    )
    return path


def test_systemd_takes_the_unit(installed_unit, run):
    done = run(["systemd-analyze", "verify", installed_unit])
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_rates_the_unit_as_well_confined(installed_unit, run):
    rated = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager"]
    done = run([*rated, installed_unit])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_makes_the_places_that_its_configuration_names():
    [state], [runtime], [credential] = (
        unit()[name] for name in ("StateDirectory", "RuntimeDirectory", "LoadCredential")
    )
    output = Path(section("systemd")["output_directory"])
    socket = Path(section("systemd")["listen"].removeprefix("unix:"))
    assert output.parent == Path("/var/lib", state)
    assert socket.parent == Path("/run", runtime)
    assert secret_file("systemd") == Path("/run/credentials", UNIT.name, credential.split(":")[0])


def test_the_unit_switches_the_user_and_leaves_in_place_what_views_need():
    assert unit()["User"] == ["router"]
    assert "--user" not in unit()["ExecStart"][0]
    assert unit()["SystemCallFilter"] == ["@system-service"]  # less, and no view could be made
    assert "ProcSubset" not in unit()


# --- the image -------------------------------------------------------------------------------


def test_hadolint_finds_nothing_in_the_containerfile(needs, run):
    needs("hadolint")
    done = run(["hadolint", CONTAINERFILE])
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_the_service_under_endoscope_as_an_ordinary_user():
    assert json.loads(image("ENTRYPOINT")) == ["endoscope", "run", "--"]
    assert json.loads(image("CMD"))[0] == "gunicorn"
    assert image("USER") == "10001:10001"
    assert image_variables()["PYTHONUNBUFFERED"] == "1"


def test_the_image_has_its_configuration_and_jemalloc_but_no_compiler():
    instructions = " ".join(rest for _, rest in stages()[-1])
    assert f"docs/deploying/container/router.yaml {image_variables()['ENDOSCOPE_CONFIG']}" in (
        instructions
    )
    assert "libjemalloc2" in instructions
    assert "gcc" not in instructions
    assert str(Path(section("container")["output_directory"]).parent) in instructions


def test_the_image_has_every_package_but_the_readers():
    packages = (DOCS.parent / "packages").iterdir()
    names = {f"endoscope_{path.name}" for path in packages if (path / "pyproject.toml").exists()}
    wanted = names - {"endoscope_report", "endoscope_core"} | {"endoscope"}
    assert set(re.findall(r"/wheels/(endoscope\w*)-", CONTAINERFILE.read_text())) == wanted


# --- Kubernetes ------------------------------------------------------------------------------


def test_the_manifests_keep_kubernetes_schema():
    validate = pytest.importorskip("kubernetes_validate")
    for kind in ("ConfigMap", "Deployment", "NetworkPolicy"):
        validate.validate(manifest(kind), "1.31", strict=True)


def test_the_pod_mounts_what_its_configuration_names():
    variables = {variable["name"]: variable["value"] for variable in container()["env"]}
    [file] = manifest("ConfigMap")["data"]
    assert Path(variables["ENDOSCOPE_CONFIG"]) == mounted("config") / file
    assert volume("config")["configMap"]["name"] == manifest("ConfigMap")["metadata"]["name"]
    assert secret_file("kubernetes").parent == mounted("secret")
    # Below the volume, whose own root belongs to another user.
    assert Path(section("kubernetes")["output_directory"]).parent == mounted("diagnostics")


def test_the_secret_is_the_one_that_the_document_makes():
    text = (MANIFESTS.parent / "README.md").read_text()
    name, key = re.findall(r"create secret generic (\S+) --from-file=(\S+)", text)[0]
    assert (name, key) == (volume("secret")["secret"]["secretName"], secret_file("kubernetes").name)
    assert f"get secret {name} --output jsonpath='{{.data.{key}}}'" in text


def test_the_volume_holds_more_than_what_is_kept():
    memory, export = MemorySettings.model_fields, ExportSettings.model_fields
    kept = sum(
        field.default
        for field in (
            memory["keep_bytes"],
            memory["keep_view_bytes"],
            export["keep_compressed_bytes"],
        )
    )
    [gibibytes] = re.findall(r"^(\d+)Gi$", volume("diagnostics")["emptyDir"]["sizeLimit"])
    assert int(gibibytes) * 2**30 > kept + 2**30
    assert "medium" not in volume("diagnostics")["emptyDir"]


def test_the_pod_is_confined_and_is_the_images_user():
    identity = pod()["securityContext"]
    assert f"{identity['runAsUser']}:{identity['fsGroup']}" == image("USER")
    assert identity["runAsNonRoot"] is True
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container()["resources"]["limits"]["memory"]


def test_the_probes_and_the_ports_are_the_services_own():
    [port] = container()["ports"]
    probes = [
        container()[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")
    ]
    assert probes == [port["name"]] * 2
    assert str(port["containerPort"]) != section("kubernetes")["listen"].rpartition(":")[2]


def test_the_pod_is_given_the_time_that_its_end_takes():
    [_, pause] = container()["lifecycle"]["preStop"]["exec"]["command"]
    grace = CoreSettings.model_fields["grace_seconds"].default
    assert pod()["terminationGracePeriodSeconds"] > int(pause) + 30 + grace  # gunicorn's 30


def test_the_policy_is_of_this_pod_and_opens_the_diagnostics_to_readers_only():
    policy = manifest("NetworkPolicy")["spec"]
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    ports = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["ingress"]}
    diagnostics = int(section("kubernetes")["listen"].rpartition(":")[2])
    assert ports.pop(diagnostics)
    assert ports == {container()["ports"][0]["containerPort"]: None}


# --- for real --------------------------------------------------------------------------------

# As the kubelet would: the secret on a tmpfs, an emptyDir of fsGroup's, nothing else writable.
AS_IN_A_POD = f"""\
set -e
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p {mounted("secret")}
printf %s {SECRET} > {secret_file("kubernetes")}
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mkdir {mounted("diagnostics")}
mount -t tmpfs -o mode=2777 tmpfs {mounted("diagnostics")}
for place in / /run /var/lib; do mount -o remount,bind,ro "$place"; done
! touch /etc/writable /run/writable /var/lib/writable 2>/dev/null
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs \\
    {sys.executable} -m endoscope run --config "$CONFIG" -- "$@"
"""
ISOLATED = ("unshare", "--mount", "--propagation", "private")


@pytest.fixture
def host_in_a_pod(launcher, needs, run, wait_for) -> Any:
    """Run the image's command on a read-only root, with the volumes of the pod."""
    needs("unshare", "setpriv", "import gunicorn", "import leaky_service")
    if os.geteuid() != 0:
        pytest.skip("a mount namespace takes root")
    tried = run([*ISOLATED, "mount", "-t", "tmpfs", "tmpfs", "/run"])
    if tried.returncode:
        pytest.skip(f"mounting is not allowed here: {tried.stderr.strip()}")
    settings = section("kubernetes")
    del settings["listen"]  # the launcher finds a free port
    words = json.loads(image("CMD"))
    command = ["127.0.0.1:0" if word == "0.0.0.0:8000" else word for word in words]
    wrapper = [*ISOLATED, "sh", "-c", AS_IN_A_POD, "sh"]
    host = launcher.start(command, wrapper=wrapper, answering=False, **settings)
    host.secret = SECRET
    wait_for("diagnostics answer", host.answers)
    return host


def workers(host: Any) -> set[int]:
    """Return the processes that answer, but for gunicorn's first."""
    try:
        rows = host.get("/processes")
    except (OSError, http.client.HTTPException):  # the door has just ended: ask again
        return set()
    return {row["pid"] for row in rows if row["state"] == "serving"} - {host.pid}


def test_on_a_read_only_root_every_process_is_dumped_and_exported(host_in_a_pod, needs, wait_for):
    needs("libjemalloc")
    wait_for("both workers have joined", lambda: len(workers(host_in_a_pod)) == 2)
    dumps = host_in_a_pod.post("/memory/dump?process=all")["processes"]
    assert [dump["status"] for dump in dumps] == [200] * 3
    name = dumps[0]["answer"]["name"]
    assert host_in_a_pod.ask("GET", f"/memory/dumps/{name}?format=flamegraph").status == 200
    archive = host_in_a_pod.ask("GET", "/export?without=binary").body
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        assert f"memory/{name}" in members.getnames()
        assert json.load(members.extractfile("manifest.json"))["failures"] == []


def test_a_reload_as_the_unit_does_it_brings_new_workers_that_all_answer(host_in_a_pod, wait_for):
    wait_for("both workers have joined", lambda: len(workers(host_in_a_pod)) == 2)
    assert unit()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    for _ in range(2):  # by the second, gunicorn has been the door, and has given it away
        reload(host_in_a_pod, wait_for)
    assert "Traceback" not in host_in_a_pod.stderr


def reload(host: Any, wait_for: Any) -> None:
    before = workers(host)
    os.kill(host.pid, signal.SIGHUP)
    wait_for("new workers", lambda: len(now := workers(host)) == 2 and not now & before)


# --- collecting from pods --------------------------------------------------------------------

# What `collect.sh` asks of a cluster. Nothing is to be forwarded: the pods listen where it asks.
KUBECTL = """\
#!/bin/sh
case "$1 $3 $4" in
"get --selector app=router") echo pod/router-1; echo pod/router-2 ;;
"port-forward 18089:8089 " | "port-forward 18090:8089 ") exec sleep 60 ;;
*) exit 1 ;;
esac
"""


def test_the_archives_of_all_pods_are_collected(launcher, tmp_path, environment, needs, run):
    needs("bash", "import endoscope_report")
    program = ["python", "-c", "input()"]
    for port in (18089, 18090):
        settings = {"listen": f"127.0.0.1:{port}", "shared_secret": SECRET}
        launcher.start(program, stdin=subprocess.PIPE, **settings)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    folder = tmp_path / "incident-7"
    done = run(
        ["bash", COLLECT, "app=router", folder, "--only", "python"],
        environment={**environment, "PATH": path, "ENDOSCOPE_SECRET": SECRET},
    )
    assert done.returncode == 0, done.stderr
    targets = json.loads((folder / "index.json").read_text())["targets"]
    assert [target["verdict"] for target in targets] == ["gaps", "gaps"]  # only what was asked for
    assert len({target["sha256"] for target in targets}) == 2
