"""The scripts of deploy/gcp on a stand-in for `gcloud`: what they call, and what they refuse."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.gcp_project import BUCKET, GCP, NEEDED, PROJECT, Project, may
from tests.deploy.k8s_cluster import K8S, RENDERED, load, matches, read
from tests.deploy.queries import ROOT

SCRIPTS: Final = sorted(NEEDED)
URL: Final = f"gs://{BUCKET}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty one."""
    return Project(tmp_path)


def done(project: Project, script: str, *more: str, **environment: str) -> str:
    """Runs a script that has to succeed; what it prints."""
    ended = project.run(script, *NEEDED[script], *more, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def failed(project: Project, script: str, *more: str) -> tuple[int, str]:
    """Runs a script that has to fail; its exit status and the last it says of why."""
    ended = project.run(script, *NEEDED[script], *more)
    assert ended.returncode != 0
    return ended.returncode, ended.stderr


def test_there_are_these_scripts() -> None:
    """All of them are tried here, and can be run."""
    runnable = sorted(path.name for path in GCP.glob("*.sh") if path.stat().st_mode & 0o111)
    assert runnable == SCRIPTS
    assert {path.name for path in GCP.iterdir()} - set(SCRIPTS) == {
        "ci.yaml",
        "common.sh",
        "grants.txt",
        "loadtest.yaml",
    }


def test_shellcheck_finds_nothing() -> None:
    """In any script, also in what they share."""
    shellcheck = Path(sys.executable).with_name("shellcheck")
    ended = subprocess.run(
        [shellcheck, "--external-sources", *GCP.glob("*.sh")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_says_how_it_is_called(script: str, project: Project) -> None:
    """Every option with what it means; and stops where it fails."""
    told = done(project, script, "--help")
    text = (GCP / script).read_text()
    (known,) = re.findall(r'^known="([^"]+)"$', text, re.MULTILINE)
    assert set(re.findall(r"^  --([a-z-]+)", told, re.MULTILINE)) == {*known.split(), "dry-run"}
    assert "set -euo pipefail" in text
    assert project.state["calls"] == []


@pytest.mark.parametrize(
    ("script", "wrong", "told"),
    [
        (
            "bucket.sh",
            ["--project", "Example"],
            "--project: 'Example'; allowed is an id of 6 to 30",
        ),
        ("bucket.sh", ["--location", "EU; rm"], "--location: 'EU; rm'; allowed is a location"),
        ("bucket.sh", ["--bucket", "gs://a"], "--bucket: 'gs://a'; allowed is 3 to 63"),
        ("bucket.sh", ["--retention", "1"], "--retention: there is no such option"),
        ("bucket.sh", ["--bucket"], "--bucket: a value is missing"),
        ("bucket.sh", ["europe"], "europe: there are no arguments but options"),
        ("identities.sh", ["--prefix", "/a"], "--prefix: '/a'; allowed is parts of"),
        ("identities.sh", ["--prefix", "a')"], "--prefix: 'a')'; allowed is parts of"),
        ("identities.sh", ["--namespace", "A"], "--namespace: 'A'; allowed is at most 63"),
        ("identities.sh", ["--pool", "x"], "--pool: 'x'; allowed is PROJECT.svc.id.goog"),
        (
            "project.sh",
            ["--images-location", "EU"],
            "--images-location: 'EU'; allowed is a location",
        ),
        ("project.sh", ["--images", "a/b"], "--images: 'a/b'; allowed is at most 63"),
        ("benchmark-t4.sh", ["--zone", "europe"], "--zone: 'europe'; allowed is a zone"),
        ("benchmark-t4.sh", ["--machine", "e2-small"], "allowed is a type of the series N1"),
        ("benchmark-t4.sh", ["--hours", "13"], "--hours: '13'; allowed is 1 to 12"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    script: str, wrong: list[str], told: str, project: Project
) -> None:
    """With what is allowed and how to call, before anything is called."""
    status, said = failed(project, script, *wrong)
    assert status == 2
    assert told in said
    assert f"usage: deploy/gcp/{script}" in said
    assert project.state["calls"] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_dry_run_prints_what_an_empty_project_is_asked_for(
    script: str, project: Project, settled_once: Project
) -> None:
    """And calls nothing."""
    printed = done(project, script, "--dry-run").replace("\\", "")
    assert project.state["calls"] == []
    if script not in {"benchmark-t4.sh", "ci.sh"}:
        plain = [line.removeprefix("gcloud ") for line in printed.splitlines()]
        calls = [" ".join(words) for words in settled_once.state["calls"]]
        assert [call for call in calls if call in plain] == plain


def test_the_bucket_is_made_once(project: Project) -> None:
    """With uniform access and no public; neither editors nor viewers of the project keep rights."""
    done(project, "bucket.sh", BUCKET=BUCKET)
    first = project.calls()
    assert first[0] == (
        f"storage buckets create {URL} --project={PROJECT} --location=europe-west4"
        " --uniform-bucket-level-access --public-access-prevention --soft-delete-duration=7d"
    )
    assert {who for who, _, _ in project.state["policies"][URL]} == {f"projectOwner:{PROJECT}"}
    done(project, "bucket.sh")
    assert [call.split(" --")[0] for call in project.calls()[len(first) :]] == [
        f"storage buckets update {URL}"
    ]


def test_a_bucket_elsewhere_stays_as_it_is(project: Project) -> None:
    """A bucket cannot be moved, so another location is a mistake."""
    done(project, "bucket.sh")
    before = project.calls()
    status, said = failed(project, "bucket.sh", "--location", "us-central1")
    assert (status, project.calls()) == (1, before)
    assert f"{URL} is in EUROPE-WEST4, and stays there" in said


def test_accounts_are_made_once(settled: Project) -> None:
    """First what is granted, then to whom; a second run changes nothing."""
    calls = settled.calls()
    begin = next(at for at, call in enumerate(calls) if f"buckets create {URL}" in call)
    first = calls[begin + 1 :]
    kinds = [" ".join(call.split()[:3]) for call in first]
    assert [kind for at, kind in enumerate(kinds) if kinds.index(kind) == at] == [
        "storage buckets remove-iam-policy-binding",
        "iam service-accounts create",
        "iam roles create",
        "storage buckets add-iam-policy-binding",
        "iam service-accounts add-iam-policy-binding",
        f"projects add-iam-policy-binding {PROJECT}",
    ]
    before = settled.state
    there = {**before["there"]}
    there["voiceflowObjects.create"] = {"includedPermissions": "storage.objects.create;storage.x"}
    settled.set(there=there, calls=[])
    done(settled, "identities.sh")
    changed = [call.split(" --")[0] for call in settled.calls()]
    # A role that somebody has widened has one permission again.
    assert changed[0] == "iam roles update voiceflowObjects.create"
    assert all(one.startswith("iam service-accounts add-iam-policy") for one in changed[1:])
    assert settled.state["policies"] == before["policies"]
    permissions = [
        one["includedPermissions"]
        for name, one in settled.state["there"].items()
        if name.startswith("voiceflowObjects.")
    ]
    assert permissions == [f"storage.objects.{one}" for one in ("get", "list", "create", "delete")]


@pytest.mark.parametrize("where", [URL, PROJECT])
def test_an_account_that_may_do_more_is_told(where: str, settled: Project) -> None:
    """What somebody has granted by hand is not left unsaid, nor taken away behind their back."""
    policies = settled.state["policies"]
    email = f"voiceflow-registry@{PROJECT}.iam.gserviceaccount.com"
    policies[where].append([f"serviceAccount:{email}", "roles/storage.objectAdmin", ""])
    settled.set(policies=policies)
    status, said = failed(settled, "identities.sh")
    assert status == 1
    assert "voiceflow-registry may do more in" in said
    assert "roles/storage.objectAdmin" in said


def test_what_fails_ends_the_script(project: Project) -> None:
    """Nothing is granted to an account that could not be made."""
    project.set(fails=["service-accounts create voiceflow-collection"])
    failed(project, "identities.sh")
    assert not [call for call in project.calls() if "add-iam" in call]
    project.set(fails=["describe"])
    status, said = failed(project, "bucket.sh")
    assert (status, "it was told to fail" in said) == (1, True)


def test_names_are_those_of_the_cluster(settled: Project) -> None:
    """Accounts, namespace and store of production are those that the scripts make by default."""
    production = load("production-gke")
    bound = {
        one["metadata"]["name"]: one["metadata"]["annotations"]["iam.gke.io/gcp-service-account"]
        for one in production.of("ServiceAccount")
        if "annotations" in one["metadata"]
    }
    there = settled.state["there"]
    outside = {f"voiceflow-{who}@{PROJECT}.iam.gserviceaccount.com" for who in ("metrics", "nodes")}
    assert {*bound.values(), *outside} == {name for name in there if "@" in name}
    for name, email in bound.items():
        assert settled.state["policies"][email] == [
            [
                f"serviceAccount:{PROJECT}.svc.id.goog[voiceflow/{name}]",
                "roles/iam.workloadIdentityUser",
                "",
            ]
        ]
    store = next(
        one["data"]["store"] for one in production.of("ConfigMap") if "store" in one["data"]
    )
    prefix = store.removeprefix(f"{URL}/")
    assert store == f"{URL}/{prefix}"
    assert may(settled.state, "voiceflow-registry", "create", f"{prefix}/versions/a")
    assert not may(settled.state, "voiceflow-registry", "create", f"other/{prefix}/versions/a")
    assert not may(settled.state, "voiceflow-telemetry", "get", f"{prefix}/versions/a")


def test_who_asks_for_metrics_is_who_may(settled: Project) -> None:
    """The query frontend, in a namespace of its own, which is where others look for it."""
    objects = {one["kind"]: one for one in read(K8S / "query-frontend.yaml")}
    account, service = objects["ServiceAccount"]["metadata"], objects["Service"]
    email = account["annotations"]["iam.gke.io/gcp-service-account"]
    member = f"serviceAccount:{PROJECT}.svc.id.goog[{account['namespace']}/{account['name']}]"
    policies = settled.state["policies"]
    assert policies[email] == [[member, "roles/iam.workloadIdentityUser", ""]]
    assert [f"serviceAccount:{email}", "roles/monitoring.viewer", ""] in policies[PROJECT]
    pod = objects["Deployment"]["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == account["name"]
    assert f"--query.project-id={PROJECT}" in pod["spec"]["containers"][0]["args"]
    assert matches(service["spec"]["selector"], pod["metadata"]["labels"])
    url = f"http://{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    port = service["spec"]["ports"][0]["port"]
    (adapter,) = read(K8S / "prometheus-adapter.yaml")
    assert (adapter["prometheus"]["url"], adapter["prometheus"]["port"]) == (url, port)
    asked = (RENDERED / "production-gke-argo.yaml").read_text()
    assert set(re.findall(r"http://frontend\S+", asked)) == {f"{url}:{port}"}


def test_nodes_may_read_the_images_of_the_overlays(settled: Project) -> None:
    """And write nothing but logs and metrics; alerts are evaluated as them."""
    member = f"serviceAccount:voiceflow-nodes@{PROJECT}.iam.gserviceaccount.com"
    policies = settled.state["policies"]
    held = {
        (where, role) for where in policies for who, role, _ in policies[where] if who == member
    }
    assert held == {
        ("voiceflow", "roles/artifactregistry.reader"),
        (PROJECT, "roles/container.defaultNodeServiceAccount"),
        (PROJECT, "roles/monitoring.viewer"),
    }
    (made,) = [call for call in settled.calls() if call.startswith("artifacts repositories create")]
    assert "--location=europe " in made
    assert "--immutable-tags" in made
    folder = f"europe-docker.pkg.dev/{PROJECT}/voiceflow/"
    ours = [one.spec["image"] for one in load("production-gke").containers if one.is_ours]
    assert ours
    assert [image for image in ours if not image.startswith(folder)] == []


def test_the_benchmark_leaves_no_machine(project: Project, tmp_path: Path) -> None:
    """Made, used, asked for what it found, and removed; also where the benchmark fails."""
    out = tmp_path / "out"
    clean = project.with_clean_checkout()
    ended = project.run("benchmark-t4.sh", *NEEDED["benchmark-t4.sh"], "--out", str(out),
                        "--", "--streams", "7", **clean)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    calls = project.calls()
    assert [" ".join(call.split()[:3]) for call in (calls[0], calls[-1])] == [
        "compute instances create",
        "compute instances delete",
    ]
    assert "--accelerator=type=nvidia-tesla-t4,count=1" in calls[0]
    assert "--no-service-account --no-scopes --max-run-duration=2h" in calls[0]
    (installed,) = [call for call in calls if "requirements/inference-cuda.lock" in call]
    assert "if nvidia-smi; then" in installed
    assert [call for call in calls if "benchmarks.providers" in call]
    assert [call for call in calls if "voiceflow bench streams --json --streams 7" in call]
    assert sorted(path.name for path in out.iterdir()) == [
        "machine.txt",
        "providers.json",
        "streams.json",
    ]
    assert project.state["there"] == {}
    project.set(fails=["bench streams"])
    named = (*NEEDED["benchmark-t4.sh"], "--out", str(out))
    ended = project.run("benchmark-t4.sh", *named, **clean)
    assert ended.returncode != 0
    assert project.state["there"] == {}
    assert not (ROOT / "benchmarks" / "results" / "t4").exists()


def test_the_benchmark_takes_no_machine_that_is_there(project: Project) -> None:
    """Nor removes it."""
    project.set(there={"voiceflow-benchmark-t4": {}})
    clean = project.with_clean_checkout()
    ended = project.run("benchmark-t4.sh", *NEEDED["benchmark-t4.sh"], **clean)
    assert ended.returncode == 1
    assert "is there already" in ended.stderr
    assert project.calls() == []
