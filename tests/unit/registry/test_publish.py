"""Publishing: what is taken in, what is refused and why, and that a version is made once."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import (
    MEGABYTE,
    PUBLISHER,
    Clock,
    Package,
    Replica,
    ScriptedGates,
    finding,
    package,
    send,
)
from voiceflow.artifact import digest_of
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ModelName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import DeclaredFile, VersionState
from voiceflow.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    NotAllowedNow,
    NotFound,
    Overloaded,
    TooLarge,
    VoiceFlowError,
)
from voiceflow.identity.caller import Caller
from voiceflow_registry.publishing.publish import Published
from voiceflow_registry.publishing.submission import PublishLimits
from voiceflow_registry.storage.filesystem import FilesystemStore

SMALL_PARTS = PublishLimits(part_bytes=8)


def keys(store: MemoryStore, prefix: str = "") -> list[str]:
    """What a store holds."""
    return [info.key for info in store.list(prefix)]


def reason_of(caught: pytest.ExceptionInfo[VoiceFlowError]) -> tuple[str, str | None]:
    """Reason and field of an error."""
    return caught.value.reason, caught.value.field


def test_a_published_version_is_what_was_sent() -> None:
    """Record, files, tensors and report are those of the package; no part of the upload is left."""
    store, clock = MemoryStore(), Clock()
    replica = Replica(store, clock=clock)
    what = package()
    published = replica.publish(what)
    assert not published.already_published
    version = published.version
    assert version.name == "models/tones/versions/1.0.0"
    assert version.manifest == what.manifest
    assert version.manifest_digest == digest_of(what.manifest)
    assert [(file.file, file.size_bytes, file.digest) for file in version.files] == [
        (file, len(content), digest_of(content)) for file, content in what.files.items()
    ]
    assert version.publisher == PUBLISHER.principal
    assert version.publish_time == clock.now
    assert version.passed_gates == (Gate.MANIFEST, Gate.GRAPH, Gate.CONTRACT)
    assert published.report.passed
    assert published.report.name.startswith(f"{version.name}/validations/")
    record = replica.versions.record(what.name)
    assert record.inputs[0].signature().name == "audio"
    assert not keys(store, "uploads/")
    with pytest.raises(NotFound, match="is published") as caught:
        replica.publishing.upload(PUBLISHER, what.upload)
    assert caught.value.reason == "UPLOAD_NOT_FOUND"


def test_r18_the_same_bytes_again_are_answered_with_the_record_that_exists() -> None:
    """Under its request id the first answer; under any other that it was there before."""
    store = MemoryStore()
    what, request_id = package(), str(uuid.uuid4())
    first = Replica(store).publish(what, request_id=request_id)
    before = keys(store)
    again = Replica(store).publish(what, request_id=request_id)
    assert again == first
    other = Replica(store).publish(what, caller=Caller("spiffe://test/other"))
    assert other.already_published
    assert other.version == first.version
    assert keys(store) == before


def test_r18_other_bytes_under_the_same_number_are_refused() -> None:
    """A version never changes: even its card's digest in the manifest makes it another."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    for validate_only in (False, True):
        with pytest.raises(AlreadyExists, match="a version never changes") as caught:
            replica.publish(package(weights=b"others"), validate_only=validate_only)
        assert reason_of(caught) == ("VERSION_EXISTS", "begin.version")


def test_a_request_id_stands_for_one_payload() -> None:
    """The id of another publishing is refused, before anything is written."""
    store, request_id = MemoryStore(), str(uuid.uuid4())
    replica = Replica(store)
    replica.publish(package(), request_id=request_id)
    before = keys(store)
    with pytest.raises(InvalidInput) as caught:
        replica.publish(package("1.1.0"), request_id=request_id)
    assert reason_of(caught) == ("REQUEST_ID_REUSED", "request_id")
    assert keys(store) == before


@pytest.mark.parametrize("same_bytes", [True, False])
def test_r19_of_eight_publishers_of_one_version_exactly_one_makes_it(same_bytes: bool) -> None:
    """With the same bytes all are answered with it, with others seven are refused."""
    store = MemoryStore()
    packages = [package(weights=b"w" if same_bytes else b"w%d" % n) for n in range(8)]
    together = threading.Barrier(8)

    def publish(number: int) -> str:
        replica = Replica(store)
        session = replica.begin(packages[number], caller=Caller(f"spiffe://test/{number}"))
        together.wait()
        for file, content in packages[number].files.items():
            send(session, file, content)
        together.wait()
        try:
            published = session.finish()
        except AlreadyExists as error:
            return error.reason
        return "again" if published.already_published else "made"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(publish, range(8)))
    lost = "again" if same_bytes else "VERSION_EXISTS"
    assert sorted([lost] * 7 + ["made"]) == outcomes
    assert len(keys(store, "versions/")) == 1


def test_eight_streams_of_one_caller_make_one_version() -> None:
    """Streams of one upload write the same parts, or are told to go on where the others are."""
    store = MemoryStore()
    what = package(weights=bytes(range(256)) * 4)

    def publish(_: int) -> bool:
        replica = Replica(store, limits=SMALL_PARTS)
        while True:
            try:
                return replica.publish(what).already_published
            except (Conflict, NotFound, InvalidInput) as error:  # as a client would: ask, go on
                assert error.reason in {  # noqa: PT017 - all others are wrong
                    "UPLOAD_SUPERSEDED",
                    "UPLOAD_NOT_FOUND",
                    "CHUNK_GAP",
                    "CHUNK_OVERLAP",
                    "UPLOAD_INCOMPLETE",
                }

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(publish, range(8)))[:2] != [False, False]
    assert len(keys(store, "versions/")) == 1
    Replica(store).publish(what)
    assert not keys(store, "uploads/")


def test_r1_an_upload_cut_short_goes_on_where_it_was_on_another_replica() -> None:
    """What was sent before the cut is kept; the rest alone is sent again."""
    store, clock = MemoryStore(), Clock()
    what = package(weights=bytes(1000))
    first = Replica(store, clock=clock, limits=SMALL_PARTS)
    session = first.begin(what)
    session.write("golden.npz", 0, b"golden", None)
    session.write("model.onnx", 0, bytes(500), None)
    session.write("README.md", 0, b"#", None)
    session.leave()

    second = Replica(store, clock=clock, limits=SMALL_PARTS)
    upload = second.publishing.upload(PUBLISHER, what.upload)
    assert [(file.received_bytes, file.size_bytes, file.complete) for file in upload.files] == [
        (500, 1000, False),
        (6, 6, True),
        (1, 9, False),
    ]
    assert upload.name == str(what.upload)
    assert upload.begin_time == clock.now
    session = second.begin(what)
    second.send_rest(session, what)
    assert not session.finish().already_published


def test_of_two_streams_that_go_on_from_one_offset_the_later_is_superseded() -> None:
    """It is told so when it would keep other bytes there; what the first has kept counts."""
    store = MemoryStore()
    what = package(weights=bytes(range(100)))
    content = what.files["model.onnx"]
    first, second = (Replica(store, limits=SMALL_PARTS).begin(what) for _ in range(2))
    first.write("model.onnx", 0, content[:5], None)
    second.write("model.onnx", 0, content[:20], None)
    with pytest.raises(Conflict, match="another stream goes on") as caught:
        first.write("model.onnx", 5, content[5:40], None)
    assert caught.value.reason == "UPLOAD_SUPERSEDED"
    first.leave()
    second.write("model.onnx", 20, content[20:], None)
    second.leave()
    Replica(store).publish(what)


def test_two_streams_that_send_the_same_parts_do_each_other_no_harm() -> None:
    """A part that stands there already, with the same bytes, is as good as one's own."""
    store = MemoryStore()
    what = package(weights=bytes(range(100)))
    sessions = [Replica(store, limits=SMALL_PARTS).begin(what) for _ in range(2)]
    for offset in range(0, 100, 5):
        for session in sessions:
            session.write("model.onnx", offset, what.files["model.onnx"][offset:][:5], None)
    for session in sessions:
        for file in ("golden.npz", "README.md"):
            session.write(file, 0, what.files[file], None)
    assert [session.finish().already_published for session in sessions] == [False, True]


def test_an_upload_that_ends_too_early_is_refused_and_kept() -> None:
    """Half-closing with bytes missing names the files and how far they came."""
    store = MemoryStore()
    replica = Replica(store)
    what = package()
    session = replica.begin(what)
    session.write("model.onnx", 0, b"weig", None)
    with pytest.raises(InvalidInput, match=r"model.onnx \(4 of 7 bytes\)") as caught:
        session.finish()
    assert reason_of(caught) == ("UPLOAD_INCOMPLETE", "chunk")
    assert replica.publishing.upload(PUBLISHER, what.upload).files[0].received_bytes == 4
    replica.publish(what)


def test_an_upload_is_its_callers_own() -> None:
    """Another caller of the same bytes neither sees it nor goes on with it."""
    replica = Replica(MemoryStore())
    what, other = package(), Caller("spiffe://test/other")
    session = replica.begin(what)
    session.write("model.onnx", 0, b"weig", None)
    session.leave()
    with pytest.raises(NotFound):
        replica.publishing.upload(other, what.upload)
    replica.begin(what, caller=other).leave()
    assert replica.publishing.upload(other, what.upload).files[0].received_bytes == 0


@pytest.mark.parametrize("part_bytes", [2, 8 << 20])
@pytest.mark.parametrize("on_disk", [False, True])
def test_r2_a_file_with_another_digest_is_refused_and_can_be_sent_anew(
    part_bytes: int, on_disk: bool, tmp_path: Path
) -> None:
    """Nothing of it is kept, in whichever store, and what other files sent is."""
    store = FilesystemStore(tmp_path) if on_disk else MemoryStore()
    replica = Replica(store, limits=PublishLimits(part_bytes=part_bytes))
    what = package()
    session = replica.begin(what)
    session.write("golden.npz", 0, b"gold", None)
    session.write("model.onnx", 0, b"weig", None)
    with pytest.raises(InvalidInput, match="send the file anew") as caught:
        session.write("model.onnx", 4, b"XXX", None)
    assert reason_of(caught) == ("DIGEST_MISMATCH", "chunk.data")
    assert not list(store.list("blobs/"))
    session.leave()
    files = replica.publishing.upload(PUBLISHER, what.upload).files
    assert [file.received_bytes for file in files] == [0, 4, 0]
    replica.publish(what)


def test_r2_no_bytes_are_compared_with_their_digest_too() -> None:
    """A file of no bytes is published; one that is only said to have none is not."""
    replica = Replica(MemoryStore())
    replica.publish(package("1.1.0", golden=b""))
    what = package(golden=b"golden", sizes={})
    declared = [
        file.model_copy(update={"size_bytes": 0}) if file.file == "golden.npz" else file
        for file in what.declared
    ]
    session = replica.begin(_with(what, declared))
    send(session, "model.onnx", b"weights")
    send(session, "README.md", what.files["README.md"])
    with pytest.raises(InvalidInput) as caught:
        session.finish()
    assert caught.value.reason == "DIGEST_MISMATCH"
    replica.publish(what)


def test_r2_wrong_bytes_are_refused_even_where_the_right_ones_are_held() -> None:
    """A file that need not be sent is compared all the same if it is."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    session = replica.begin(package("1.1.0"))
    with pytest.raises(InvalidInput) as caught:
        session.write("model.onnx", 0, b"weightX", None)
    assert caught.value.reason == "DIGEST_MISMATCH"
    session.write("model.onnx", 0, b"weights", None)
    assert not session.finish().already_published


def test_files_held_already_need_not_be_sent() -> None:
    """A version that shares all files with another is published without a byte."""
    replica = Replica(MemoryStore())
    replica.publish(package())
    session = replica.begin(package("1.0.1"))
    assert session.finish().version.name == "models/tones/versions/1.0.1"
    with pytest.raises(InvalidInput, match="has 7") as caught:
        replica.publishing.begin(
            PUBLISHER,
            package("1.0.2").name,
            manifest=package("1.0.2", sizes={}).manifest,
            signature=None,
            declared=[
                DeclaredFile(file="model.onnx", size_bytes=8),
                *package().declared[1:],
            ],
            request_id="",
            validate_only=False,
        )
    assert reason_of(caught) == ("FIELD_INVALID", "begin.files")


@pytest.mark.parametrize(
    ("file", "offset", "data", "crc32c", "reason", "field"),
    [
        ("other.onnx", 0, b"x", None, "FILE_UNKNOWN", "chunk.file"),
        ("model.onnx", 5, b"x", None, "CHUNK_GAP", "chunk.offset"),
        ("model.onnx", 0, b"weig", None, "CHUNK_OVERLAP", "chunk.offset"),
        ("model.onnx", -1, b"x", None, "CHUNK_OVERLAP", "chunk.offset"),
        ("model.onnx", 4, b"htsX", None, "FILE_TOO_LONG", "chunk.data"),
        ("model.onnx", 4, b"hts", 1, "CHUNK_CORRUPT", "chunk.crc32c"),
        ("model.onnx", 4, bytes(MEGABYTE + 1), None, "FIELD_INVALID", "chunk.data"),
    ],
    ids=["unknown", "r4-gap", "r4-duplicate", "r4-negative", "r3-too-long", "corrupt", "large"],
)
def test_r3_r4_a_chunk_that_does_not_fit_is_refused_and_changes_nothing(
    file: str, offset: int, data: bytes, crc32c: int | None, reason: str, field: str
) -> None:
    """The same stream could go on, and a later one does."""
    replica = Replica(MemoryStore())
    what = package()
    session = replica.begin(what)
    session.write("model.onnx", 0, b"weig", google_crc32c.value(b"weig"))
    with pytest.raises(InvalidInput) as caught:
        session.write(file, offset, data, crc32c)
    assert reason_of(caught) == (reason, field)
    session.leave()
    assert replica.publishing.upload(PUBLISHER, what.upload).files[0].received_bytes == 4
    replica.publish(what)


def _with(what: Package, declared: list[DeclaredFile]) -> Package:
    class Stated(Package):
        @property
        def declared(self) -> list[DeclaredFile]:
            return stated

    stated = declared
    return Stated(what.manifest, what.files)


SIZES = package().declared


@pytest.mark.parametrize(
    ("declared", "reason", "field"),
    [
        (SIZES[:2], "FIELD_REQUIRED", "begin.files"),
        ([*SIZES, SIZES[0]], "FIELD_INVALID", "begin.files[3]"),
        (
            [*SIZES, DeclaredFile(file="../x", size_bytes=1)],
            "FILE_UNKNOWN",
            "begin.files[3].file",
        ),
        ([DeclaredFile(file="model.onnx", size_bytes=-1)], "FIELD_INVALID", "begin.files[0]"),
        (
            [DeclaredFile(file="model.onnx", size_bytes=8), *SIZES[1:]],
            "FIELD_INVALID",
            "begin.files",
        ),
    ],
)
def test_sizes_are_stated_once_for_every_file(
    declared: list[DeclaredFile], reason: str, field: str
) -> None:
    """Missing, twice, negative, of no file, other than the manifest's: before a byte is taken."""
    store = MemoryStore()
    with pytest.raises(InvalidInput) as caught:
        Replica(store).begin(_with(package(), declared))
    assert reason_of(caught) == (reason, field)
    assert not keys(store)


def test_a_size_that_was_stated_wrongly_can_be_stated_anew() -> None:
    """An upload goes on with the sizes of its newest stream."""
    replica = Replica(MemoryStore(), limits=SMALL_PARTS)
    what = package(weights=bytes(30), sizes={})
    too_long = [DeclaredFile(file="model.onnx", size_bytes=50), *what.declared[1:]]
    session = replica.begin(_with(what, too_long))
    session.write("model.onnx", 0, bytes(40), None)
    session.leave()
    assert replica.publishing.upload(PUBLISHER, what.upload).files[0].received_bytes == 40
    replica.publish(what)


NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["../model.onnx", "/etc/passwd", "a/b", "..", "x\0", ".x"]),
    st.sampled_from(["manifest.json", "manifest.dsse.json"]),
)


@given(name=NAMES)
@settings(max_examples=60, deadline=None)
def test_r17_a_file_has_a_plain_name(name: str) -> None:
    """No name in a manifest reaches a path or a key unless it is plain."""
    files = dict(package().files) | {name: b"x"}
    store = MemoryStore()
    what = Package(
        package(files={file: digest_of(data) for file, data in files.items()}).manifest, files
    )
    try:
        Replica(store).publish(what)
    except InvalidInput as error:
        assert (error.reason, error.field) == (  # noqa: PT017 - Hypothesis draws both kinds
            "MANIFEST_INVALID",
            "begin.manifest.files",
        )
        assert not keys(store)
    else:
        assert name.isascii()
        assert "/" not in name
        assert not name.startswith(".")
        assert name not in {"manifest.json", "manifest.dsse.json"}


@pytest.mark.parametrize(
    ("manifest", "field", "match"),
    [
        (b"", "begin.manifest", "0 bytes"),
        (b" " * (MEGABYTE + 1), "begin.manifest", "1048576"),
        (b"{", "begin.manifest.manifest", "Invalid JSON"),
        (b"PK\x03\x04", "begin.manifest.manifest", "Invalid JSON"),
        (package(tracks=2).manifest.replace(b'"tracks": 2', b'"tracks": 99'), None, "99"),
        (package("2.0.0").manifest, "begin.manifest.version", "models/tones/versions/2.0.0"),
        (package(model="other").manifest, "begin.manifest.version", "models/other"),
        (
            package().manifest.replace(b'"version": "1.0.0"', b'"version": "1.0"'),
            "begin.manifest.version",
            "not valid SemVer",
        ),
        (
            package(files={"model.onnx": digest_of(b"")}).manifest,
            "begin.manifest.files",
            "golden.npz",
        ),
    ],
)
def test_a_manifest_that_breaks_its_schema_or_is_of_another_version_is_refused(
    manifest: bytes, field: str | None, match: str
) -> None:
    """The field at fault is named, and nothing is written."""
    store = MemoryStore()
    with pytest.raises(InvalidInput, match=match) as caught:
        Replica(store).publishing.begin(
            PUBLISHER,
            VersionName.parse("models/tones/versions/1.0.0"),
            manifest=manifest,
            signature=None,
            declared=[],
            request_id="",
            validate_only=False,
        )
    assert caught.value.reason == "MANIFEST_INVALID"
    assert field is None or caught.value.field == field
    assert not keys(store)


def publish_signed(replica: Replica, what: Package, content: bytes | None) -> Published:
    """Publishes a version with anything for a signature."""
    session = replica.publishing.begin(
        PUBLISHER,
        what.name,
        manifest=what.manifest,
        signature=None
        if content is None
        else Signature(media_type="application/x", content=content),
        declared=what.declared,
        request_id="",
        validate_only=False,
    )
    for file, data in what.files.items():
        send(session, file, data)
    return session.finish()


def test_a_signature_is_kept_and_bounded() -> None:
    """What the publisher signed with comes back in the full view; 64 KiB are the most."""
    replica, what = Replica(MemoryStore()), package()
    with pytest.raises(InvalidInput) as caught:
        publish_signed(replica, what, bytes(65537))
    assert reason_of(caught) == ("FIELD_INVALID", "begin.signature.content")
    publish_signed(replica, what, b"signed")
    signature = replica.versions.get(what.name, full=True).signature
    assert signature is not None
    assert signature.content == b"signed"


@pytest.mark.parametrize("kept", [b"signed", None])
def test_r18_another_signature_of_a_version_that_stands_is_refused(kept: bytes | None) -> None:
    """Nobody shall believe that it was taken: a version keeps what it was published with."""
    replica, what = Replica(MemoryStore()), package()
    first = publish_signed(replica, what, kept).version
    with pytest.raises(AlreadyExists, match="publish it under another number") as caught:
        publish_signed(replica, what, b"signed by another")
    assert reason_of(caught) == ("VERSION_EXISTS", "begin.signature")
    for again in (kept, None):
        assert publish_signed(replica, what, again).version == first


def test_a_version_larger_than_allowed_is_refused_at_once() -> None:
    """By one file or by all together, before a byte is sent."""
    for limits, match in (
        (PublishLimits(file_bytes=6), "model.onnx: 7 bytes; at most 6"),
        (PublishLimits(version_bytes=20), "all files: 22 bytes; at most 20"),
    ):
        with pytest.raises(TooLarge, match=match) as caught:
            Replica(MemoryStore(), limits=limits).begin(package())
        assert reason_of(caught) == ("SIZE_LIMIT", "begin.files")


def test_a_version_that_a_gate_refuses_is_not_made() -> None:
    """Each rule that is broken is a violation; no method shows the version."""
    store = MemoryStore()
    gates = ScriptedGates(
        failing={
            Gate.GRAPH: finding("graph.external-data"),
            Gate.CONTRACT: finding("contract.tensor-missing"),
        }
    )
    replica = Replica(store, gates=gates)
    with pytest.raises(NotAllowedNow) as caught:
        replica.publish(package())
    assert caught.value.reason == "GATES_NOT_PASSED"
    assert [(one.kind, one.subject) for one in caught.value.violations] == [
        ("graph.external-data", "model.onnx"),
        ("contract.tensor-missing", "model.onnx"),
    ]
    assert not keys(store, "versions/")
    assert not keys(store, "reports/")
    with pytest.raises(NotFound):
        replica.versions.get(package().name, full=False)
    gates.failing.clear()
    replica.publish(package())


def test_a_bump_that_is_too_small_has_a_reason_of_its_own() -> None:
    """Unless something else is wrong as well."""
    gates = ScriptedGates(failing={Gate.CONTRACT: finding("contract.bump-too-small")})
    replica = Replica(MemoryStore(), gates=gates)
    with pytest.raises(NotAllowedNow) as caught:
        replica.publish(package())
    assert caught.value.reason == "BUMP_TOO_SMALL"
    assert caught.value.violations[0].kind == "contract.bump-too-small"
    gates.failing[Gate.GRAPH] = finding("graph.nodes")
    with pytest.raises(NotAllowedNow) as caught:
        replica.publish(package())
    assert caught.value.reason == "GATES_NOT_PASSED"


def test_the_gates_see_the_earlier_versions_newest_first() -> None:
    """Neither later nor yanked ones nor those of other models."""
    gates = ScriptedGates()
    replica = Replica(MemoryStore(), gates=gates)
    for version in ("1.0.0", "1.1.0", "1.2.0", "2.0.0"):
        replica.publish(package(version))
    replica.publish(package("1.0.0", model="others"))
    replica.versions.yank(
        PUBLISHER, package("1.1.0").name, reason="bad", request_id="", validate_only=False
    )
    replica.publish(package("1.3.0"))
    assert gates.earlier == ("models/tones/versions/1.2.0", "models/tones/versions/1.0.0")


def test_validate_only_checks_everything_and_keeps_nothing() -> None:
    """It answers as if it had been done, without name and time of what was not."""
    store = MemoryStore()
    gates = ScriptedGates()
    replica = Replica(store, gates=gates)
    published = replica.publish(package(weights=bytes(3 * MEGABYTE)), validate_only=True)
    assert published.version.publish_time is None
    assert published.version.name == "models/tones/versions/1.0.0"
    assert published.report.passed
    assert not published.report.name
    assert not keys(store)
    assert gates.runs == 1
    with pytest.raises(NotFound):
        replica.versions.get_model(ModelName("tones"))

    gates.failing[Gate.GRAPH] = finding("graph.nodes")
    with pytest.raises(NotAllowedNow):
        replica.publish(package(), validate_only=True)
    session = replica.begin(package(), validate_only=True)
    send(session, "model.onnx", b"weights")
    with pytest.raises(InvalidInput, match=r"golden\.npz"):
        session.finish()
    session = replica.begin(package(), validate_only=True)
    with pytest.raises(InvalidInput) as caught:
        send(session, "model.onnx", b"weightX")
    assert caught.value.reason == "DIGEST_MISMATCH"
    session.leave()
    assert not keys(store)


def test_validate_only_of_what_exists_answers_it_and_writes_nothing() -> None:
    """Also where the version stands already, and where its files do."""
    store = MemoryStore()
    replica = Replica(store)
    first = replica.publish(package())
    before = [(info.key, info.generation) for info in store.list("")]
    again = replica.publish(package(), validate_only=True)
    assert again.already_published
    assert again.version == first.version
    assert replica.publish(package("1.0.1"), validate_only=True).version.publish_time is None
    assert [(info.key, info.generation) for info in store.list("")] == before


def test_no_more_versions_are_in_the_gates_than_allowed() -> None:
    """One more waits for its place; if none comes it is refused, and its files are kept."""
    store = MemoryStore()
    inside, leave = threading.Event(), threading.Event()

    def hold(_: Gate) -> None:
        inside.set()
        leave.wait(60)

    limits = PublishLimits(validating=1, wait_seconds=0.0)
    replica = Replica(store, gates=ScriptedGates(before=hold), limits=limits)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(replica.publish, package())
        assert inside.wait(60)
        with pytest.raises(Overloaded, match="what was sent is kept") as caught:
            replica.publish(package("1.1.0"))
        assert caught.value.reason == "OVERLOADED"
        assert caught.value.retry_after_seconds > 0
        leave.set()
        first.result()
    replica.begin(package("1.1.0")).finish()


def test_the_bytes_of_a_deleted_version_are_answered_and_not_taken_in_again() -> None:
    """Its name is used for ever, its files stay gone."""
    store = MemoryStore()
    replica = Replica(store)
    what = package()
    replica.publish(what)
    replica.versions.yank(PUBLISHER, what.name, reason="x", request_id="", validate_only=False)
    replica.versions.delete(
        PUBLISHER, what.name, request_id="", validate_only=False, in_use=lambda _: ()
    )
    Replica(store).collector.collect(
        PUBLISHER, validate_only=False, grace_seconds=None, maximum_objects=0
    )
    assert not keys(store, "blobs/")
    again = replica.publish(what)
    assert again.already_published
    assert again.version.state is VersionState.DELETED
    assert not keys(store, "blobs/")


def _large() -> Iterator[bytes]:
    """50 MB, made as they are asked for."""
    for number in range(50):
        yield number.to_bytes(4, "big") * (MEGABYTE // 4)


def test_fifty_megabytes_are_published_in_memory_that_does_not_grow_with_them(
    tmp_path: Path,
) -> None:
    """Less than three parts are ever held, from the first chunk to the answer."""
    hashing = hashlib.sha256()
    for chunk in _large():
        hashing.update(chunk)
    files = dict(package().files)
    digests = {file: digest_of(content) for file, content in files.items()}
    what = _with(
        package(files=digests | {"model.onnx": f"sha256:{hashing.hexdigest()}"}),
        [DeclaredFile(file="model.onnx", size_bytes=50 * MEGABYTE), *package().declared[1:]],
    )
    replica = Replica(FilesystemStore(tmp_path))
    tracemalloc.start()
    try:
        session = replica.begin(what)
        for number, chunk in enumerate(_large()):
            session.write("model.onnx", number * MEGABYTE, chunk, None)
        send(session, "golden.npz", files["golden.npz"])
        send(session, "README.md", files["README.md"])
        version = session.finish().version
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert version.files[0].size_bytes == 50 * MEGABYTE
    assert most < 3 * PublishLimits().part_bytes


@given(turns=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_files_may_come_by_turns_in_chunks_of_any_size(turns: list[tuple[int, int]]) -> None:
    """However they are cut, and wherever the stream is: memory is bounded, bytes are the same."""
    contents = {
        "model.onnx": bytes(range(100)),
        "golden.npz": b"g" * 60,
        "README.md": b"# A card\n",
    }
    what = package(weights=contents["model.onnx"], golden=contents["golden.npz"])
    store = MemoryStore()
    replica = Replica(store, limits=SMALL_PARTS)
    session = replica.begin(what)
    sent = dict.fromkeys(contents, 0)
    for number, size in turns:
        file = list(contents)[number]
        data = contents[file][sent[file] : sent[file] + size]
        if data:
            session.write(file, sent[file], data, None)
            sent[file] += len(data)
        assert sum(held.buffered_bytes for held in session._files.values()) < 8
    session.leave()
    upload = replica.publishing.upload(PUBLISHER, what.upload)
    assert {file.file: file.received_bytes for file in upload.files} == sent
    replica.publish(what)
    for file, content in contents.items():
        download = replica.versions.download(what.name, file, 0)
        assert b"".join(chunk for _, chunk in download.chunks) == content
