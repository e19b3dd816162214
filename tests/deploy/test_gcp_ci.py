"""The script that lets workflows in grants each what its jobs need, and nobody else anything."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.gcp_project import BUCKET, GCP, NEEDED, PROJECT, REPOSITORY, Project, prefixes
from tests.deploy.k8s_cluster import load, read
from tests.deploy.queries import ROOT
from tests.deploy.test_workflows import jobs
from tests.fakes.gcloud import NUMBER

DATA: Final = f"{PROJECT}-voiceflow-data"
PLACE: Final = f"projects/{NUMBER}/locations/global/workloadIdentityPools/voiceflow-ci"
USER: Final = "roles/iam.workloadIdentityUser"
WORKFLOWS: Final = [ROOT / ".github/workflows" / f"{name}.yaml" for name in ("images", "model")]


def email(environment: str) -> str:
    """The account of an environment."""
    return f"voiceflow-ci-{environment}@{PROJECT}.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def opened_once(settled_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project into which workflows are let; to be looked at only."""
    project = settled_once.copied(tmp_path_factory.mktemp("opened"))
    done(project)
    return project


@pytest.fixture
def opened(opened_once: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    return opened_once.copied(tmp_path)


def done(project: Project, *more: str) -> str:
    """Runs the script; what it prints."""
    ended = project.run("ci.sh", *NEEDED["ci.sh"], *more)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_dry_run_prints_what_is_then_asked_for(settled: Project) -> None:
    """But for the number of the project, which it cannot know."""
    before = settled.state["calls"]
    printed = done(settled, "--dry-run").replace("projects/NUMBER/", f"projects/{NUMBER}/")
    assert settled.state["calls"] == before
    done(settled)
    calls = settled.calls()[-len(printed.splitlines()) :]
    assert [shlex.split(line)[1:] for line in printed.splitlines()] == [
        words for words in settled.state["calls"] if " ".join(words) in calls
    ]


def test_each_environment_has_an_account_and_acts_as_no_other(opened: Project) -> None:
    """Those of the workflows, by the subject of GitHub's tokens."""
    environments = {
        job["environment"]
        for path in WORKFLOWS
        for _, job in jobs(path)
        if job.get("permissions", {}).get("id-token") == "write"
    }
    policies = opened.state["policies"]
    assert {name for name in opened.state["there"] if name.startswith("voiceflow-ci-")} == {
        email(one) for one in environments
    }
    for one in environments:
        subject = f"repo:{REPOSITORY}:environment:{one}"
        member = f"principal://iam.googleapis.com/{PLACE}/subject/{subject}"
        assert policies[email(one)] == [[member, USER, ""]]


def test_only_this_repository_is_let_in_from_its_branch_and_its_tags(opened: Project) -> None:
    """By its number, too: its name may come to belong to somebody else."""
    assert opened.state["there"]["github"]["attributeCondition"] == (
        f"assertion.repository == '{REPOSITORY}' && assertion.repository_id == '7'"
        " && (assertion.ref == 'refs/heads/main' || assertion.ref.startsWith('refs/tags/v'))"
    )
    (made,) = [call for call in opened.calls() if "create-oidc" in call]
    assert "--issuer-uri=https://token.actions.githubusercontent.com " in made
    assert "--attribute-mapping=google.subject=assertion.sub," in made


def test_accounts_have_what_their_jobs_need(opened: Project) -> None:
    """And nothing in the registry's bucket."""
    state = opened.state
    held = {
        (who.removeprefix("serviceAccount:voiceflow-ci-").partition("@")[0], where, role)
        for where, policy in state["policies"].items()
        for who, role, _ in policy
        if "voiceflow-ci-" in who and who.startswith("serviceAccount:")
    }
    objects = f"projects/{PROJECT}/roles/voiceflowObjects"
    assert held == {
        ("training", f"gs://{DATA}", f"{objects}.get"),
        ("training", f"gs://{DATA}", f"{objects}.list"),
        ("publishing", PROJECT, "roles/container.clusterViewer"),
        ("promotion", PROJECT, "roles/container.clusterViewer"),
        ("images", "voiceflow", "roles/artifactregistry.writer"),
    }
    (expression,) = {under for _, role, under in state["policies"][f"gs://{DATA}"] if "get" in role}
    place = f"projects/_/buckets/{DATA}/objects"
    assert prefixes(expression) == [f"{place}/speech/", f"{place}/conversations/"]


def test_a_second_run_changes_nothing_but_whom_it_lets_in(opened: Project) -> None:
    """The condition is that of the last run."""
    before = opened.state
    opened.set(calls=[])
    done(opened, "--branch", "stable")
    assert opened.state["policies"] == before["policies"]
    kinds = {" ".join(call.split(" --")[0].split()[:4]) for call in opened.calls()}
    assert kinds == {
        "iam workload-identity-pools providers update-oidc",
        *(f"iam service-accounts add-iam-policy-binding {email(one)}" for one in
          ("training", "publishing", "promotion", "images")),
    }  # fmt: skip
    condition = opened.state["there"]["github"]["attributeCondition"]
    assert "'refs/heads/stable'" in condition
    assert "'refs/heads/main'" not in condition


@pytest.mark.parametrize("where", [PROJECT, f"gs://{DATA}", "voiceflow"])
def test_an_account_that_may_do_more_is_told(where: str, opened: Project) -> None:
    """In the project, in the bucket of what is trained with, at the images."""
    policies = opened.state["policies"]
    who = "images" if where == "voiceflow" else "training"
    policies[where].append([f"serviceAccount:{email(who)}", "roles/editor", ""])
    opened.set(policies=policies)
    ended = opened.run("ci.sh", *NEEDED["ci.sh"])
    assert ended.returncode == 1
    assert f"voiceflow-ci-{who} may do more in" in ended.stderr
    assert "roles/editor" in ended.stderr


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--repository", "voiceflow"], "--repository: 'voiceflow'; allowed is OWNER/NAME"),
        (["--repository", "a/b' || true"], "allowed is OWNER/NAME"),
        (["--repository-id", "x"], "--repository-id: 'x'; allowed is a number"),
        (["--branch", "a'"], "--branch: 'a''; allowed is the name of a branch"),
        (["--speech", "/a"], "--speech: '/a'; allowed is parts of"),
        (["--conversations", "a b"], "--conversations: 'a b'; allowed is parts of"),
        (["--ci-pool", "gcp-a"], "names that begin with gcp- are Google's"),
        (["--data", BUCKET], "allowed is another bucket than the registry's"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: list[str], told: str, settled: Project) -> None:
    """Before anything is called."""
    before = settled.state["calls"]
    ended = settled.run("ci.sh", *NEEDED["ci.sh"], *wrong)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert settled.state["calls"] == before


def test_it_ends_with_the_variables_that_the_workflows_read(settled: Project) -> None:
    """As commands; those of the cluster are told on the page."""
    told = [shlex.split(line) for line in done(settled).splitlines()]
    assert all(words[:3] == ["gh", "variable", "set"] for words in told)
    assert all(words[words.index("--repo") + 1] == REPOSITORY for words in told)
    set_ = {(words[3], words[-3] if "--env" in words else ""): words[-1] for words in told}
    used = set(re.findall(r"\bvars\.(\w+)", "".join(path.read_text() for path in WORKFLOWS)))
    brought = {"GKE_CLUSTER", "GKE_LOCATION", "VOICEFLOW_NAMESPACE", "VOICEFLOW_CA"}
    assert {name for name, _ in set_} == used - brought
    assert set_["GCP_WORKLOAD_IDENTITY_PROVIDER", ""] == f"{PLACE}/providers/github"
    for environment in ("publishing", "promotion"):
        assert set_["GCP_REGISTRY_ACCOUNT", environment] == email(environment)
    page = (ROOT / "docs" / "gcp.md").read_text()
    assert all(f"gh variable set {name} " in page for name in brought - {"VOICEFLOW_NAMESPACE"})


def test_what_they_may_do_in_the_cluster_is_a_port_forward() -> None:
    """To the registry, for the two accounts that find the cluster."""
    role, binding = read(GCP / "ci.yaml")
    (named,) = [rule for rule in role["rules"] if "services" in rule["resources"]]
    assert named["resourceNames"] == ["voiceflow-registry"]
    assert load("production-gke").has("Service", "voiceflow-registry")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "create"}
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", "voiceflow-ci")
    assert {one["name"] for one in binding["subjects"]} == {
        email(one) for one in ("publishing", "promotion")
    }


def test_the_scripts_say_what_a_page_says(tmp_path: Path) -> None:
    """The page's call of this script is one that it takes."""
    page = (ROOT / "docs" / "gcp.md").read_text()
    (line,) = re.findall(r"^deploy/gcp/ci\.sh .*$", page, re.MULTILINE)
    ended = Project(tmp_path).run("ci.sh", *shlex.split(line)[1:], "--dry-run")
    assert ended.returncode == 0, ended.stderr
