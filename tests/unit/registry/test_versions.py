"""Versions: how they are listed, compared, handed out, yanked and deleted."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import semver
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import (
    MEGABYTE,
    PUBLISHER,
    START,
    Clock,
    Replica,
    package,
)
from tests.fakes.storage import Fault, FaultyStore, Operation
from voiceflow.artifact import digest_of
from voiceflow.catalog.names import ChannelName, ModelName, VersionName
from voiceflow.catalog.queries import VersionFilter
from voiceflow.catalog.versions import Bump, ChangeKind, VersionState
from voiceflow.errors import (
    ContentCorrupt,
    InvalidInput,
    NotAllowedNow,
    NotFound,
    OutOfRange,
    VoiceFlowError,
)
from voiceflow.identity.caller import Caller
from voiceflow_registry.records import blob_key, version_key
from voiceflow_registry.storage.object_store import ObjectStore, StoreUnavailable

OPERATOR = Caller("spiffe://test/operator")
CHANNEL = ChannelName("tones", "stable")


def name(version: str, model: str = "tones") -> VersionName:
    """A version's name."""
    return VersionName(model, semver.Version.parse(version))


def yank(replica: Replica, version: str, reason: str = "bad", request_id: str = "") -> None:
    """Yanks a version."""
    replica.versions.yank(
        PUBLISHER, name(version), reason=reason, request_id=request_id, validate_only=False
    )


def delete(replica: Replica, version: str, *channels: ChannelName, request_id: str = "") -> None:
    """Deletes a version that these channels use."""
    replica.versions.delete(
        OPERATOR,
        name(version),
        request_id=request_id,
        validate_only=False,
        in_use=lambda _: channels,
    )


def listed(
    replica: Replica, parent: str | None = "tones", size: int = 0, **where: Any
) -> list[str]:
    """Versions of all pages, as `model/semver`."""
    found, token = [], ""
    while True:
        page = replica.versions.list(
            ModelName(parent) if parent else None,
            where=VersionFilter.model_validate(where),
            page_size=size,
            page_token=token,
            full=False,
        )
        found += [version.name for version in page.items]
        assert len(found) < 1000, "a list that never ends"
        token = page.next_page_token
        if not token:
            return [
                text.removeprefix("models/").replace("/versions/", "/").removeprefix("tones/")
                for text in found
            ]


@pytest.fixture(scope="module")
def many() -> Replica:
    """A registry of two models; of `tones` 1.1.0 is yanked and 0.9.0 deleted."""
    replica = Replica(MemoryStore(), clock=Clock())
    versions = ["0.9.0", "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.1.0", "1.10.0"]
    random.Random(1).shuffle(versions)
    for version in [*versions, "1.9.0", "2.0.0-beta"]:
        replica.publish(package(version))
    replica.publish(package("3.0.0", model="aaa", weights=b"others", embedding_space="space-2"))
    yank(replica, "1.1.0")
    yank(replica, "0.9.0")
    delete(replica, "0.9.0")
    return replica


PRECEDENCE = [
    "2.0.0-beta",
    "1.10.0",
    "1.9.0",
    "1.1.0",
    "1.0.0",
    "1.0.0-rc.10",
    "1.0.0-rc.2",
    "1.0.0-rc.1",
]


@pytest.mark.parametrize("size", [0, 1, 3, 8])
def test_versions_are_listed_highest_precedence_first(many: Replica, size: int) -> None:
    """As SemVer has it, whatever the page size; of all models by model first."""
    assert listed(many, size=size) == PRECEDENCE
    assert listed(many, None, size=size) == ["aaa/3.0.0", *PRECEDENCE]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"states": ["yanked"]}, ["1.1.0"]),
        ({"states": ["deleted"]}, ["0.9.0"]),
        ({"states": ["deleted", "yanked"]}, ["1.1.0", "0.9.0"]),
        ({"exclude_prereleases": True}, ["1.10.0", "1.9.0", "1.1.0", "1.0.0"]),
        ({"semver_range": ">=1.1.0, <1.10.0"}, ["1.9.0", "1.1.0"]),
        ({"semver_range": ">1.0.0-rc.2,<=1.0.0"}, ["1.0.0", "1.0.0-rc.10"]),
        ({"semver_range": "=1.0.0"}, ["1.0.0"]),
        ({"semver_range": ">=1.9.0,!=1.10.0"}, ["2.0.0-beta", "1.9.0"]),
        ({"embedding_space": "space-2"}, []),
        ({"publisher": "spiffe://test/nobody"}, []),
        ({"contract": "diarization-window/1.0"}, []),
        ({"digest": digest_of(package("1.9.0").manifest)}, ["1.9.0"]),
        ({"digest": digest_of(b"others")}, []),
        ({"digest": digest_of(b"weights"), "semver_range": ">1.9.0"}, PRECEDENCE[:2]),
    ],
)
def test_all_filters_that_are_set_must_hold(
    many: Replica, where: dict[str, Any], expected: list[str]
) -> None:
    """Each filter narrows the list; deleted versions are listed only if asked for."""
    assert listed(many, size=2, **where) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1.0.0",
        ">=1.0",
        "~1.0.0",
        ">=1.0.0,",
        ",",
        ">=1.0.0 <2.0.0",
        "=1.0.0," * 200,
        ">=\0",
        "=1.0.0+b",
    ],
)
def test_a_range_that_is_none_is_refused_with_what_is_allowed(many: Replica, text: str) -> None:
    """The field and the way to write it are named."""
    with pytest.raises(InvalidInput, match="joined by commas") as caught:
        listed(many, semver_range=text)
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", "filter.semver_range")


def test_a_token_goes_on_with_its_own_filters_alone(many: Replica) -> None:
    """Also one whose key was never listed does no harm."""
    page = many.versions.list(None, where=VersionFilter(), page_size=1, page_token="", full=False)
    with pytest.raises(InvalidInput) as caught:
        many.versions.list(
            ModelName("tones"),
            where=VersionFilter(),
            page_size=1,
            page_token=page.next_page_token,
            full=False,
        )
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@given(
    published=st.lists(
        st.builds(
            semver.Version,
            st.integers(0, 2),
            st.integers(0, 2),
            st.just(0),
            st.sampled_from([None, "a", "a.1", "rc.2", "rc.10"]),
        ),
        unique_by=str,
        max_size=8,
    ),
    size=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_pages_of_versions_hold_each_once_while_others_are_published(
    published: list[semver.Version], size: int
) -> None:
    """What is published between two pages makes nothing else come twice or not at all."""
    replica = Replica(MemoryStore())
    half = len(published) // 2
    for version in published[:half]:
        replica.publish(package(str(version)))
    found, token = [], ""
    later = iter(published[half:])
    while half:
        page = replica.versions.list(
            None, where=VersionFilter(), page_size=size, page_token=token, full=False
        )
        found += [version.name.rpartition("/")[2] for version in page.items]
        token = page.next_page_token
        if not token:
            break
        for version in later:
            replica.publish(package(str(version)))
            break
    assert len(found) == len(set(found))
    assert [text for text in found if text in set(map(str, published[:half]))] == [
        str(version) for version in sorted(published[:half], reverse=True)
    ]


def test_the_basic_view_is_without_manifest_and_signature(many: Replica) -> None:
    """The full one has them, in a list too."""
    for full in (False, True):
        page = many.versions.list(
            ModelName("aaa"), where=VersionFilter(), page_size=1, page_token="", full=full
        )
        assert (page.items[0].manifest is not None) is full
        assert (many.versions.get(name("1.9.0"), full=full).manifest is not None) is full


def test_models_are_listed_by_name_and_known_by_their_versions(many: Replica) -> None:
    """Newest ones leave yanked and deleted versions out, and pre-releases where they should."""
    models = many.versions.list_models(name_prefix="", page_size=0, page_token="").items
    assert [model.name for model in models] == ["models/aaa", "models/tones"]
    tones = models[1]
    assert tones == many.versions.get_model(ModelName("tones"))
    assert tones.newest_version == "models/tones/versions/1.10.0"
    assert tones.newest_prerelease == "models/tones/versions/2.0.0-beta"
    assert tones.version_count == 9
    assert tones.create_time == START
    first = many.versions.list_models(name_prefix="models/", page_size=1, page_token="")
    second = many.versions.list_models(
        name_prefix="models/", page_size=1, page_token=first.next_page_token
    )
    assert [model.name for model in (*first.items, *second.items)] == ["models/aaa", "models/tones"]
    found = many.versions.list_models(name_prefix="models/to", page_size=0, page_token="").items
    assert [model.name for model in found] == ["models/tones"]


def test_what_was_never_published_is_not_found(many: Replica) -> None:
    """Each kind has its reason."""
    calls: dict[str, list[Callable[[], object]]] = {
        "MODEL_NOT_FOUND": [
            lambda: many.versions.get_model(ModelName("none")),
            lambda: listed(many, "none"),
        ],
        "VERSION_NOT_FOUND": [
            lambda: many.versions.get(name("9.9.9"), full=True),
            lambda: many.versions.state(name("9.9.9")),
            lambda: many.versions.download(name("9.9.9"), "model.onnx", 0),
            lambda: yank(many, "9.9.9"),
            lambda: delete(many, "9.9.9"),
            lambda: many.versions.diff(name("9.9.9"), None),
            lambda: many.versions.diff(name("1.9.0"), name("9.9.9")),
            lambda: many.versions.diff(name("3.0.0", "aaa"), None),
        ],
    }
    for reason, acts in calls.items():
        for act in acts:
            with pytest.raises(NotFound) as caught:
                act()
            assert caught.value.reason == reason


def download(replica: Replica, file: str, offset: int = 0, version: str = "1.0.0") -> bytes:
    """A file from an offset on; checks that its chunks follow one another."""
    out = replica.versions.download(name(version), file, offset)
    content = b""
    for at, chunk in out.chunks:
        assert at == offset + len(content)
        assert 0 < len(chunk) <= MEGABYTE
        content += chunk
    assert offset + len(content) == out.file.size_bytes
    return content


def test_a_download_goes_from_any_offset_to_the_end() -> None:
    """Files and the manifest alike; at the very end nothing is left."""
    replica = Replica(MemoryStore())
    weights = random.Random(0).randbytes(3 * MEGABYTE + 5)
    what = package(weights=weights)
    replica.publish(what)
    for offset in (0, 1, MEGABYTE, len(weights) - 1, len(weights)):
        assert download(replica, "model.onnx", offset) == weights[offset:]
    for offset in (0, 7, len(what.manifest)):
        assert download(replica, "manifest.json", offset) == what.manifest[offset:]


def test_a_download_beyond_the_end_or_of_no_file_is_refused() -> None:
    """Before anything is sent."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    for file, offset, kind, reason, field in (
        ("model.onnx", 8, OutOfRange, "OFFSET_OUT_OF_RANGE", "offset"),
        ("manifest.json", 1 << 40, OutOfRange, "OFFSET_OUT_OF_RANGE", "offset"),
        ("model.onnx", -1, InvalidInput, "FIELD_INVALID", "offset"),
        ("../model.onnx", 0, NotFound, "FILE_NOT_FOUND", "file"),
        ("", 0, NotFound, "FILE_NOT_FOUND", "file"),
    ):
        with pytest.raises(VoiceFlowError) as caught:
            replica.versions.download(package().name, file, offset)
        assert isinstance(caught.value, kind)
        assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize("damage", ["flip", "short", "long", "gone"])
def test_r27_a_file_that_is_not_as_it_was_stored_never_ends_well(damage: str) -> None:
    """A flipped bit, missing or surplus bytes: the end is an error, not an end."""
    store = MemoryStore()
    replica = Replica(store)
    weights = bytes(2 * MEGABYTE)
    replica.publish(package(weights=weights))
    _damage(store, blob_key(digest_of(weights)), damage)
    for offset in (0, MEGABYTE) if damage != "flip" else (0,):
        with pytest.raises(ContentCorrupt) as caught:
            download(replica, "model.onnx", offset)
        assert caught.value.reason == "CONTENT_CORRUPT"
    with pytest.raises(ContentCorrupt), replica.versions.folder(name("1.0.0")):
        pass


def test_r27_a_record_with_a_flipped_bit_is_found_out() -> None:
    """No method believes it, and the manifest within is not handed out."""
    store = MemoryStore()
    replica = Replica(store)
    replica.publish(package())
    _damage(store, version_key(name("1.0.0")), "flip")
    acts: list[Callable[[], object]] = [
        lambda: replica.versions.get(name("1.0.0"), full=True),
        lambda: replica.versions.download(name("1.0.0"), "manifest.json", 0),
        lambda: listed(replica),
    ]
    for act in acts:
        with pytest.raises(ContentCorrupt):
            act()


def _damage(store: ObjectStore, key: str, damage: str) -> None:
    info = store.info(key)
    assert info is not None
    content = bytearray(b"".join(store.get_stream(key)))
    store.delete(key, if_generation=info.generation)
    content[len(content) * 3 // 4] ^= 1
    changed = {"flip": content, "short": content[:-1], "long": content + b"x"}
    if damage != "gone":
        store.put(key, bytes(changed[damage]), if_generation=0)


def test_a_folder_holds_the_files_and_goes() -> None:
    """Under the manifest's names, verified, as long as they are needed."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    with replica.versions.folder(name("1.0.0")) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == package().files
    assert not folder.exists()


def test_a_difference_is_from_the_newest_version_before_that_is_not_yanked() -> None:
    """Unless a base is named; versions of two models are refused."""
    replica = Replica(MemoryStore())
    replica.publish(package("1.0.0"))
    replica.publish(package("1.1.0", licence="MIT"))
    replica.publish(package("1.2.0", embedding_space="tones-2"))
    replica.publish(package("1.0.0", model="others"))
    difference = replica.versions.diff(name("1.2.0"), None)
    assert difference.base == "models/tones/versions/1.1.0"
    assert difference.changes[0].kind is ChangeKind.EMBEDDING_SPACE
    assert (difference.required_bump, difference.actual_bump) == (Bump.MAJOR, Bump.MINOR)
    yank(replica, "1.1.0")
    assert replica.versions.diff(name("1.2.0"), None).base == "models/tones/versions/1.0.0"
    assert replica.versions.diff(name("1.2.0"), name("1.1.0")).base == "models/tones/versions/1.1.0"
    with pytest.raises(NotFound) as missing:
        replica.versions.diff(name("1.0.0"), None)
    assert (missing.value.reason, missing.value.field) == ("VERSION_NOT_FOUND", "base")
    with pytest.raises(InvalidInput) as differ:
        replica.versions.diff(name("1.2.0"), name("1.0.0", "others"))
    assert differ.value.reason == "MODELS_DIFFER"


def test_the_first_yank_stands_and_is_answered_to_all() -> None:
    """Later ones, with other reasons, get its record; the version stays readable."""
    store, clock = MemoryStore(), Clock()
    replica = Replica(store, clock=clock)
    replica.publish(package())
    first = replica.versions.yank(
        PUBLISHER, name("1.0.0"), reason="NaN on noise", request_id="", validate_only=False
    )
    assert first.state is VersionState.YANKED
    assert first.yank is not None
    assert (first.yank.reason, first.yank.yank_time) == ("NaN on noise", START)
    clock.forward(60)
    second = Replica(store, clock=clock).versions.yank(
        OPERATOR, name("1.0.0"), reason="other", request_id="", validate_only=False
    )
    assert second == first == replica.versions.get(name("1.0.0"), full=False)
    assert download(replica, "model.onnx") == b"weights"


def test_yanking_with_validate_only_tells_and_changes_nothing() -> None:
    """It answers as if it had been done."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    told = replica.versions.yank(
        PUBLISHER, name("1.0.0"), reason="x", request_id="", validate_only=True
    )
    assert told.state is VersionState.YANKED
    assert replica.versions.state(name("1.0.0")) is VersionState.PUBLISHED


def test_a_yank_is_explained_in_one_line_of_1_to_1024_characters() -> None:
    """No reason, a novel, and what a terminal would obey are refused."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    for reason, expected in (
        ("", "FIELD_REQUIRED"),
        ("x" * 1025, "FIELD_INVALID"),
        ("bad\x1b]0;owned\x07", "FIELD_INVALID"),
        ("bad\u2028good", "FIELD_INVALID"),
    ):
        with pytest.raises(InvalidInput) as caught:
            yank(replica, "1.0.0", reason)
        assert (caught.value.reason, caught.value.field) == (expected, "reason")
    yank(replica, "1.0.0", "é" * 1024)


def test_a_request_id_stands_for_one_yank_or_one_deletion() -> None:
    """Again it is answered again; with another payload it is refused."""
    replica = Replica(MemoryStore())
    replica.publish(package("1.0.0"))
    replica.publish(package("1.1.0"))
    yank(replica, "1.1.0")
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    for _ in range(2):
        yank(replica, "1.0.0", "bad", one)
        delete(replica, "1.0.0", request_id=two)
    acts: list[Callable[[], object]] = [
        lambda: yank(replica, "1.0.0", "worse", one),
        lambda: yank(replica, "1.1.0", "bad", one),
        lambda: delete(replica, "1.1.0", request_id=two),
    ]
    for act in acts:
        with pytest.raises(InvalidInput) as caught:
            act()
        assert caught.value.reason == "REQUEST_ID_REUSED"
    assert replica.versions.state(name("1.1.0")) is VersionState.YANKED


def test_only_a_yanked_version_that_no_channel_uses_is_deleted() -> None:
    """What stands in the way is named; nothing is changed by the refusal."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    with pytest.raises(NotAllowedNow) as caught:
        delete(replica, "1.0.0")
    assert caught.value.reason == "VERSION_NOT_YANKED"
    yank(replica, "1.0.0")
    other = ChannelName("tones", "canary")
    with pytest.raises(NotAllowedNow, match="promote another version there first") as caught:
        delete(replica, "1.0.0", CHANNEL, other)
    assert caught.value.reason == "VERSION_IN_USE"
    assert [violation.subject for violation in caught.value.violations] == [
        str(CHANNEL),
        str(other),
    ]
    assert replica.versions.state(name("1.0.0")) is VersionState.YANKED
    told = replica.versions.delete(
        OPERATOR, name("1.0.0"), request_id="", validate_only=True, in_use=lambda _: ()
    )
    assert told.state is VersionState.DELETED
    assert replica.versions.state(name("1.0.0")) is VersionState.YANKED


def test_a_deleted_version_keeps_its_record_and_gives_no_files() -> None:
    """Deleting again answers the first deletion."""
    clock = Clock()
    replica = Replica(MemoryStore(), clock=clock)
    what = package()
    replica.publish(what)
    yank(replica, "1.0.0")
    delete(replica, "1.0.0")
    clock.forward(5)
    delete(replica, "1.0.0")
    version = replica.versions.get(name("1.0.0"), full=True)
    assert version.state is VersionState.DELETED
    assert version.delete_time == START
    assert version.manifest == what.manifest
    for file in ("model.onnx", "manifest.json"):
        with pytest.raises(NotAllowedNow) as caught:
            replica.versions.download(name("1.0.0"), file, 0)
        assert caught.value.reason == "VERSION_DELETED"
    with pytest.raises(NotAllowedNow), replica.versions.folder(name("1.0.0")):
        pass


def test_a_download_that_a_deletion_overtakes_says_so() -> None:
    """Files that were collected on the way are gone, not corrupt."""
    store = MemoryStore()
    replica = Replica(store)
    weights = bytes(3 * MEGABYTE)
    replica.publish(package(weights=weights))
    chunks = replica.versions.download(name("1.0.0"), "model.onnx", 0).chunks
    next(chunks)
    yank(replica, "1.0.0")
    delete(replica, "1.0.0")
    replica.collector.collect(OPERATOR, validate_only=False, grace_seconds=None, maximum_objects=0)
    with pytest.raises(NotAllowedNow) as caught:
        list(chunks)
    assert caught.value.reason == "VERSION_DELETED"


def test_a_deletion_asks_which_channels_use_the_version_after_it_has_seen_the_yank() -> None:
    """So a promotion that announces itself before it looks for a yank cannot be missed."""
    store = MemoryStore()
    Replica(store).publish(package())
    yank(Replica(store), "1.0.0")
    faulty = FaultyStore(store)
    seen: list[Operation] = []

    def in_use(_: VersionName) -> list[ChannelName]:
        seen.extend(faulty.operations)
        return []

    Replica(faulty).versions.delete(
        OPERATOR, name("1.0.0"), request_id="", validate_only=False, in_use=in_use
    )
    assert Operation("info", "yanks/tones/1.0.0.json") in seen
    assert not any(operation.method == "put" for operation in seen)


def test_a_store_that_does_not_answer_is_told_of() -> None:
    """No act takes silence for absence."""
    store = MemoryStore()
    Replica(store).publish(package())
    silent = Replica(FaultyStore(store, when=lambda _: Fault.REFUSE))
    acts: list[Callable[[], object]] = [
        lambda: silent.versions.get(name("1.0.0"), full=False),
        lambda: silent.versions.get_model(ModelName("tones")),
        lambda: silent.versions.state(name("2.0.0")),
        lambda: listed(silent),
    ]
    for act in acts:
        with pytest.raises(StoreUnavailable):
            act()


def test_listing_reads_no_record_that_its_number_rules_out() -> None:
    """A range and a state are told by keys alone."""
    store = MemoryStore()
    replica = Replica(store)
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        replica.publish(package(version))
    yank(replica, "1.1.0")
    faulty = FaultyStore(store)
    assert listed(Replica(faulty), semver_range="<2.0.0", states=["yanked"]) == ["1.1.0"]
    read = {item.key for item in faulty.operations if item.method == "get"}
    assert {key for key in read if key.startswith("versions/")} == {"versions/tones/1.1.0.json"}
