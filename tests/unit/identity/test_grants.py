"""The access file: what it grants, and what is refused in it."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.errors import InvalidInput
from voiceflow.identity.caller import CallerRole
from voiceflow.identity.grants import Grant, Grants, read_grants

ACCESS = """\
schema_version: 1
grants:
  - principal: spiffe://voiceflow.local/publisher/alice
    roles: [publisher]
    models: ["diarizer", "asr-*"]
  - principal: spiffe://voiceflow.local/pod/*
    roles: [client, reader]
    pods: ["blue-*"]
  - principal: spiffe://voiceflow.local/pod/one
    roles: [client, operator]
    pods: ["green-1"]
"""


def refusal(text: str) -> InvalidInput:
    """How an access file is refused."""
    with pytest.raises(InvalidInput) as caught:
        Grants.from_yaml(text)
    assert caught.value.reason == "ACCESS_INVALID"
    return caught.value


def entry(lines: str) -> str:
    """An access file with one grant of a few lines."""
    first, *rest = lines.splitlines()
    return "\n".join(["schema_version: 1", "grants:", f"  - {first}", *(f"    {x}" for x in rest)])


def test_a_principal_has_what_its_grant_says() -> None:
    """Roles and models, with the credential and the address that the caller came with."""
    caller = Grants.from_yaml(ACCESS).caller(
        "spiffe://voiceflow.local/publisher/alice", credential="jti:1", peer="ipv4:10.0.0.1:5"
    )
    assert caller.roles == {CallerRole.PUBLISHER}
    assert caller.owns_model("diarizer")
    assert caller.owns_model("asr-small")
    assert not caller.owns_model("diarizer-2")
    assert not caller.is_pod("blue-1", "diarizer")
    assert (caller.credential, caller.peer) == ("jti:1", "ipv4:10.0.0.1:5")


def test_grants_that_match_add_up() -> None:
    """The exact one and the one with a wildcard."""
    caller = Grants.from_yaml(ACCESS).caller("spiffe://voiceflow.local/pod/one")
    assert caller.roles == {CallerRole.CLIENT, CallerRole.READER, CallerRole.OPERATOR}
    assert caller.is_pod("green-1", "diarizer")
    assert caller.is_pod("blue-7", "diarizer")
    assert not caller.is_pod("green-2", "diarizer")


def test_pods_that_are_granted_with_models_follow_channels_of_these_alone() -> None:
    """Grants of one principal do not mix, and models of its pods are not its own to publish."""
    text = """
schema_version: 1
grants:
  - {principal: spiffe://t/a, roles: [client], pods: ["asr-*"], models: [asr, "asr-*"]}
  - {principal: spiffe://t/a, roles: [client], pods: ["any-1*"]}
  - {principal: spiffe://t/a, roles: [publisher], models: [tts]}
"""
    caller = Grants.from_yaml(text).caller("spiffe://t/a")
    for model, pod, own in (
        ("asr", "asr-1", True),
        ("asr-small", "asr-2", True),
        ("diarizer", "asr-1", False),
        ("tts", "asr-1", False),
        ("diarizer", "any-1", True),
        ("asr", "any-2", False),
        ("any-1", "other", False),
    ):
        assert caller.is_pod(pod, model) == own
    assert caller.owns_model("tts")
    assert not caller.owns_model("asr")


def test_one_grant_may_bound_pods_and_what_is_published() -> None:
    """By the same models."""
    text = entry("principal: spiffe://t/a\nroles: [client, publisher]\npods: [a]\nmodels: [asr]")
    caller = Grants.from_yaml(text).caller("spiffe://t/a")
    assert caller.owns_model("asr")
    assert caller.is_pod("a", "asr")
    assert not caller.is_pod("a", "tts")


@pytest.mark.parametrize(
    "principal",
    [
        "spiffe://voiceflow.local/publisher/bob",
        "spiffe://voiceflow.local/publisher/alice/x",
        "spiffe://voiceflow.local/publisher",
        "spiffe://voiceflow.local/publisher/Alice",
        "spiffe://elsewhere/publisher/alice",
        "spiffe://voiceflow.local/pod/one/two",
        "spiffe://voiceflow.local/pod",
        "host:127.0.0.1",
        "",
    ],
)
def test_who_is_granted_nothing_may_do_nothing(principal: str) -> None:
    """Neither a neighbour's name, nor more or fewer segments, get a role."""
    caller = Grants.from_yaml(ACCESS).caller(principal)
    assert caller.principal == principal
    assert (caller.roles, caller.models, caller.pods) == (frozenset(), (), ())


SEGMENTS = st.sampled_from(["a", "b", "pod"])
PRINCIPALS = st.lists(SEGMENTS, min_size=1, max_size=3).map(lambda x: "spiffe://t/" + "/".join(x))
PATTERNS = st.tuples(PRINCIPALS, st.booleans()).map(
    lambda x: x[0].rpartition("/")[0] + "/*" if x[1] else x[0]
)


@given(st.lists(st.tuples(PATTERNS, st.sampled_from(CallerRole)), max_size=6), PRINCIPALS)
def test_a_wildcard_stands_for_exactly_one_segment(
    granted: list[tuple[str, CallerRole]], principal: str
) -> None:
    """What the lookup finds is what reading each pattern as an expression would find."""
    grants = Grants(Grant(principal=pattern, roles=(role,)) for pattern, role in granted)
    wanted = {
        role
        for pattern, role in granted
        if re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), principal)
    }
    assert grants.caller(principal).roles == wanted


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "spiffe://*",
        "spiffe://*/a",
        "spiffe://t*/a",
        "spiffe://t/*/a",
        "spiffe://t/a*",
        "spiffe://t/*a",
        "spiffe://t/a-*",
        "spiffe://t/**",
        "spiffe://t/a/?",
        "spiffe://t/a/[ab]",
        "spiffe://t/a/../*",
        "spiffe://t/",
        "spiffe://t",
        "https://t/a",
        "alice",
    ],
)
def test_a_wildcard_is_the_whole_last_segment_or_refused(pattern: str) -> None:
    """It never stands for a part of a name, a trust domain or a path."""
    error = refusal(entry(f"principal: '{pattern}'\nroles: [client]"))
    assert error.field == "grants.0.principal"
    assert "the last segment may be *" in error.message


@pytest.mark.parametrize(
    ("lines", "field", "line"),
    [
        ("principal: spiffe://t/a\nroles: [admin]", "grants.0.roles.0", 4),
        ("principal: spiffe://t/a\nroles: [client, Reader]", "grants.0.roles.1", 4),
        ("principal: spiffe://t/a\nroles: []", "grants.0.roles", 4),
        ("principal: spiffe://t/a\nroles: client", "grants.0.roles", 4),
        ("principal: spiffe://t/a", "grants.0.roles", 3),
        ("roles: [client]", "grants.0.principal", 3),
        ("principal: 7\nroles: [client]", "grants.0.principal", 3),
        ("principal: spiffe://t/a\nroles: [client]\nmodel: [a]", "grants.0.model", 5),
        ("principal: spiffe://t/a\nroles: [client]\nmodels: [a]", "grants.0", 3),
        ("principal: spiffe://t/a\nroles: [reader]\nmodels: [a]", "grants.0", 3),
        ("principal: spiffe://t/a\nroles: [reader]\npods: [a]", "grants.0", 3),
        ("principal: spiffe://t/a\nroles: [publisher]\nmodels: ['[a]']", "grants.0.models.0", 5),
        ("principal: spiffe://t/a\nroles: [publisher]\nmodels: [a, '']", "grants.0.models.1", 5),
        ("principal: spiffe://t/a\nroles: [publisher]\nmodels: ['A?']", "grants.0.models.0", 5),
        ("principal: spiffe://t/a\nroles: [publisher]\nmodels: '*'", "grants.0.models", 5),
        ("principal: spiffe://t/a\nroles: [client]\npods: [7]", "grants.0.pods.0", 5),
    ],
)
def test_a_fault_is_told_with_its_line_and_field(lines: str, field: str, line: int) -> None:
    """An unknown key, role or pattern refuses the whole file: half of it would be a guess."""
    error = refusal(entry(lines))
    assert error.field == field
    assert error.message.startswith(f"line {line}: {field}: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "grants: []",
        "schema_version: 2\ngrants: []",
        "schema_version: '1'\ngrants: []",
        "schema_version: true\ngrants: []",
        "schema_version: 1",
        "schema_version: 1\ngrants:",
        "schema_version: 1\ngrants: {}",
        "schema_version: 1\ngrants: []\nmore: 1",
        "schema_version: 1\ngrants: []\n---\nschema_version: 1\ngrants: []",
        "schema_version: 1\ngrants: [",
        "schema_version: 1\ngrants: []\n\tx: 1",
        "\x00",
        "schema_version: 2026-13-40\ngrants: []",
        "schema_version: " + "9" * 5000,
        "[" * 100_000,
        "!!python/object/apply:os.system [true]",
        "schema_version: 1\ngrants: !!python/name:os.system",
    ],
)
def test_what_is_no_access_file_is_refused(text: str) -> None:
    """Another version, another form, several documents, no YAML at all."""
    refusal(text)


def test_a_key_that_is_stated_twice_is_refused() -> None:
    """Which of the two holds is not left to the reader of YAML."""
    error = refusal(entry("principal: spiffe://t/a\nroles: [client]\nroles: [operator]"))
    assert error.message.startswith("line 5: 'roles' is stated twice")


def test_aliases_are_refused_before_they_are_followed() -> None:
    """A kilobyte of them would stand for gigabytes."""
    bomb = "a: &a0 [x]\n" + "".join(
        f"b{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
    )
    assert "anchors and aliases are not allowed" in refusal(bomb).message
    assert "aliases" in refusal("schema_version: 1\ngrants: &a [*a]").message


def test_merge_keys_are_refused() -> None:
    """They would bring in what does not stand there."""
    refusal(entry("<<: {principal: spiffe://t/a}\nroles: [client]"))


def test_a_key_that_is_no_text_is_refused() -> None:
    """As `on` and `no` are to YAML."""
    for key in ("no", "1", "[a]", "{a: b}"):
        assert "is no plain text" in refusal(f"schema_version: 1\n? {key}\n: 1").message


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!?|>'\"#%@\n\t ,1~<"), max_size=40))
def test_no_text_brings_the_reader_down(text: str) -> None:
    """It is an access file or it is refused as none."""
    refusal(text)


def test_what_a_file_is_refused_for_names_the_file(tmp_path: Path) -> None:
    """Missing, no text, a folder, too large, or with a fault within."""
    path = tmp_path / "access.yaml"
    contents = (None, b"\xff\xfe", b"#" * (1024 * 1024 + 1), b"schema_version: 2\ngrants: []")
    for content in contents:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidInput, match=re.escape(str(path))) as caught:
            read_grants(path)
        assert caught.value.reason == "ACCESS_INVALID"
    with pytest.raises(InvalidInput, match="no regular file"):
        read_grants(tmp_path)


def test_a_file_that_is_good_is_read(tmp_path: Path) -> None:
    """As it stands in the documentation."""
    path = tmp_path / "access.yaml"
    path.write_text(ACCESS, encoding="utf-8")
    for pod, role in product(("one", "two"), (CallerRole.CLIENT, CallerRole.READER)):
        assert role in read_grants(path).caller(f"spiffe://voiceflow.local/pod/{pod}").roles
