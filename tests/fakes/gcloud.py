"""A stand-in for `gcloud` that keeps a project in a file and writes down each call.

    python -m tests.fakes.gcloud STATE.json WORDS…

It knows what the scripts of deploy/gcp ask for and refuses everything else. Whatever it is asked to
make must not be there, and whatever it is asked to change must be.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

State: TypeAlias = dict[str, Any]
EMPTY: Final[State] = {"calls": [], "there": {}, "policies": {}, "files": {}, "fails": []}
NUMBER: Final = "123456789012"
"""Of every project."""


def parsed(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Positional words, and options by name; those without a value are empty."""
    plain = [word for word in words if not word.startswith("--")]
    given = (word[2:].partition("=") for word in words if word.startswith("--"))
    return plain, {name: value for name, _, value in given}


def describe(state: State, what: str, options: Mapping[str, str]) -> str:
    """One field of what is there; an error for what is not."""
    if options["format"] == "value(projectNumber)":
        return NUMBER
    if what not in state["there"]:
        sys.exit(f"ERROR: NOT_FOUND: {what} was not found")
    field = options["format"].removeprefix("value(").removesuffix(")")
    return str({"name": what, **state["there"][what]}[field])


def create(state: State, what: str, options: Mapping[str, str]) -> str:
    """Makes something, with what Google grants on new buckets."""
    if what in state["there"]:
        sys.exit(f"ERROR: ALREADY_EXISTS: {what}")
    made = {"location": options.get("location", "").upper()}
    state["there"][what] = made | {
        "includedPermissions": options.get("permissions", ""),
        "attributeCondition": options.get("attribute-condition", ""),
    }
    if what.startswith("gs://"):
        convenience = {
            "projectOwner": ("legacyBucketOwner", "legacyObjectOwner"),
            "projectEditor": ("legacyBucketOwner", "legacyObjectOwner"),
            "projectViewer": ("legacyBucketReader", "legacyObjectReader"),
        }
        state["policies"][what] = [
            [f"{who}:{options['project']}", f"roles/storage.{role}", ""]
            for who, roles in convenience.items()
            for role in roles
        ]
    return ""


def update(state: State, what: str, options: Mapping[str, str]) -> str:
    """Changes something."""
    describe(state, what, {"format": "value(name)"})
    if "permissions" in options:
        state["there"][what]["includedPermissions"] = options["permissions"]
    if "attribute-condition" in options:
        state["there"][what]["attributeCondition"] = options["attribute-condition"]
    return ""


def binding(options: Mapping[str, str]) -> list[str]:
    """Who, which role, under which condition."""
    condition = options.get("condition", "None")
    expression = "" if condition == "None" else condition.removeprefix("expression=")
    return [options["member"], options["role"], expression.rpartition(",title=")[0] or expression]


def add(state: State, what: str, options: Mapping[str, str]) -> str:
    """Grants, once."""
    bindings = state["policies"].setdefault(what, [])
    if binding(options) not in bindings:
        bindings.append(binding(options))
    return ""


def remove(state: State, what: str, options: Mapping[str, str]) -> str:
    """Takes away what was granted."""
    state["policies"][what].remove(binding(options))
    return ""


def policy(state: State, what: str, options: Mapping[str, str]) -> str:
    """What one member is granted, in the columns that are asked for."""
    assert options["flatten"] == "bindings[].members"
    member = options["filter"].removeprefix("bindings.members=")
    held = [entry for entry in state["policies"].get(what, []) if entry[0] == member]
    if options["format"] == "value(bindings.role)":
        return "\n".join(role for _, role, _ in held)
    assert options["format"] == "value(bindings.role,bindings.condition.expression)"
    return "\n".join(f"{role}\t{expression}" for _, role, expression in held)


def delete(state: State, what: str, _: Mapping[str, str]) -> str:
    """Removes something."""
    del state["there"][what]
    return ""


_VERBS: Final[Mapping[str, Callable[[State, str, Mapping[str, str]], str]]] = {
    "describe": describe,
    "create": create,
    "create-oidc": create,
    "update": update,
    "update-oidc": update,
    "delete": delete,
    "add-iam-policy-binding": add,
    "remove-iam-policy-binding": remove,
    "get-iam-policy": policy,
}
_GROUPS: Final = (
    ("artifacts", "repositories"),
    ("iam", "workload-identity-pools", "providers"),
    ("iam", "workload-identity-pools"),
    ("storage", "buckets"),
    ("iam", "service-accounts"),
    ("iam", "roles"),
    ("compute", "instances"),
    ("projects",),
)


def answer(state: State, words: list[str]) -> str:
    """Does what one call asks for; what it prints."""
    plain, options = parsed(words)
    if any(failing in " ".join(words) for failing in state["fails"]):
        sys.exit("ERROR: it was told to fail")
    if plain[:2] in (["compute", "ssh"], ["services", "enable"]):
        return ""
    if plain[:2] == ["compute", "scp"]:
        source, target = plain[2:]
        if ":" in source:
            Path(target).write_text(f"{source}\n")
        return ""
    group = next((one for one in _GROUPS if tuple(plain[: len(one)]) == one), None)
    if group is None or plain[len(group)] not in _VERBS:
        sys.exit(f"ERROR: it knows nothing of {words}")
    verb, what = plain[len(group) :]
    if group == ("iam", "service-accounts") and verb == "create":
        what = f"{what}@{options['project']}.iam.gserviceaccount.com"
    return _VERBS[verb](state, what, options)


def main() -> None:
    """Notes the call, and answers it."""
    place = Path(sys.argv[1])
    state: State = json.loads(place.read_text())
    words = sys.argv[2:]
    state["calls"].append(words)
    try:
        told = answer(state, words)
    finally:
        place.write_text(json.dumps(state))
    sys.stdout.write(told + "\n" if told else "")


if __name__ == "__main__":
    main()
