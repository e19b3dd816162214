"""A project of Google Cloud as the scripts of deploy/gcp leave it, and who may do what in it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.deploy.queries import ROOT
from tests.fakes.gcloud import EMPTY

GCP: Final = ROOT / "deploy" / "gcp"
PROJECT: Final = "example-project"
BUCKET: Final = "example-project-voiceflow"
REPOSITORY: Final = "example/voiceflow"
NEEDED: Final = {
    "benchmark-t4.sh": ["--project", PROJECT, "--zone", "europe-west4-a"],
    "bucket.sh": ["--project", PROJECT, "--location", "europe-west4"],
    "ci.sh": ["--project", PROJECT, "--repository", REPOSITORY, "--repository-id", "7"],
    "identities.sh": ["--project", PROJECT],
    "project.sh": ["--project", PROJECT],
}
"""What each script has to be told, by its name."""

_OPERATORS: Final = 12
"""At most so many logical operators are in a condition."""
_TERM: Final = re.compile(r"resource\.name\.startsWith\('([^']+)'\)")


class Project:
    """A project, and scripts that are run on it.

    Args:
        folder: Where the stand-in for `gcloud` and what it keeps are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / "state.json"
        self.set(**EMPTY)
        gcloud = folder / "gcloud"
        arguments = shlex.join([sys.executable, "-IS", str(ROOT / "tests/fakes/gcloud.py")])
        gcloud.write_text(f'#!/bin/sh\nexec {arguments} {shlex.quote(str(self._state))} "$@"\n')
        gcloud.chmod(0o755)

    def copied(self, folder: Path) -> Project:
        """Another project, in which there is the same."""
        copy = Project(folder)
        copy.set(**self.state)
        return copy

    def settle(self) -> None:
        """Runs the scripts that an empty project needs."""
        for script in ("project.sh", "bucket.sh", "identities.sh"):
            ended = self.run(script, *NEEDED[script])
            assert ended.returncode == 0, ended.stderr

    @property
    def state(self) -> dict[str, Any]:
        """What is there now, and the calls so far."""
        state: dict[str, Any] = json.loads(self._state.read_text())
        return state

    def set(self, **state: Any) -> None:
        """Replaces parts of what is there."""
        before = self.state if self._state.exists() else {}
        self._state.write_text(json.dumps({**before, **state}))

    def run(
        self, script: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a script of deploy/gcp."""
        inherited = {"PATH": f"{self._folder}:{os.environ['PATH']}", "HOME": str(self._folder)}
        return subprocess.run(
            [GCP / script, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**inherited, **environment},
        )

    def with_clean_checkout(self) -> dict[str, str]:
        """Variables by which git takes an empty repository for the checkout."""
        home = self._folder / "repository"
        git = ["git", "-C", str(home)]
        home.mkdir()
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "a"]):
            subprocess.run([*git, *words], check=True)
        return {"GIT_DIR": str(home / ".git"), "GIT_WORK_TREE": str(home)}

    def calls(self) -> list[str]:
        """All calls so far, without those that look only."""
        looking = {"describe", "get-iam-policy"}
        return [" ".join(words) for words in self.state["calls"] if not looking & set(words)]


def may(state: Mapping[str, Any], account: str, permission: str, name: str) -> bool:
    """Whether an account has a permission for an object of the bucket.

    Args:
        state: Of the project.
        account: `voiceflow-registry`.
        permission: get, list, create or delete.
        name: Of the object; empty: the bucket is asked.
    """
    member = f"serviceAccount:{account}@{PROJECT}.iam.gserviceaccount.com"
    resource = f"projects/_/buckets/{BUCKET}" + (f"/objects/{name}" if name else "")
    for who, role, expression in state["policies"][f"gs://{BUCKET}"]:
        holds = (
            state["there"][role.rpartition("/")[2]]["includedPermissions"] if who == member else ""
        )
        if holds == f"storage.objects.{permission}" and any(
            resource.startswith(prefix) for prefix in prefixes(expression)
        ):
            return True
    return False


def prefixes(expression: str) -> list[str]:
    """What a condition lets names of resources begin with; no condition: anything."""
    if not expression:
        return [""]
    terms = expression.split(" || ")
    assert len(terms) <= _OPERATORS + 1
    found = [_TERM.fullmatch(term) for term in terms]
    assert all(found), expression
    return [one[1] for one in found if one]
