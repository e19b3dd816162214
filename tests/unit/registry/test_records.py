"""Records: read back as they were written, or found out; keys that every store takes."""

from __future__ import annotations

from datetime import UTC

import pytest
import semver
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.publishing import START, TENSORS, package
from voiceflow.artifact import digest_of
from voiceflow.catalog.names import ChannelName, UploadName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import DeclaredFile, VersionFile
from voiceflow.errors import ContentCorrupt
from voiceflow_registry.records import (
    CondemnedObject,
    CondemnedRecord,
    DeletionRecord,
    Request,
    TensorRecord,
    UploadRecord,
    VersionRecord,
    YankRecord,
    blob_key,
    channel_key,
    condemned_key,
    decode,
    deletion_key,
    encode,
    history_key,
    policy_key,
    report_prefix,
    upload_prefix,
    version_key,
    version_of_key,
    yank_key,
)
from voiceflow_registry.storage.keys import check_key, check_prefix

REQUESTS = st.builds(Request, principal=st.text(max_size=20), request_id=st.text(max_size=40))
TIMES = st.datetimes(timezones=st.just(UTC))
DIGESTS = st.binary(max_size=8).map(digest_of)
SIGNATURES = st.none() | st.builds(Signature, media_type=st.text(), content=st.binary())
TENSOR_RECORDS = st.builds(
    TensorRecord,
    name=st.text(),
    dtype=st.text(),
    dims=st.lists(st.none() | st.integers(0, 2**40), max_size=3).map(tuple),
)
RECORDS = st.one_of(
    st.builds(
        VersionRecord,
        name=st.just("models/tones/versions/1.0.0"),
        manifest=st.binary(max_size=200),
        signature=SIGNATURES,
        files=st.lists(
            st.builds(VersionFile, file=st.text(), size_bytes=st.integers(0), digest=DIGESTS),
            max_size=3,
        ).map(tuple),
        inputs=st.lists(TENSOR_RECORDS, max_size=2).map(tuple),
        outputs=st.lists(TENSOR_RECORDS, max_size=2).map(tuple),
        report=st.text(),
        request=REQUESTS,
        publish_time=TIMES,
    ),
    st.builds(YankRecord, reason=st.text(), request=REQUESTS, yank_time=TIMES),
    st.builds(DeletionRecord, request=REQUESTS, delete_time=TIMES),
    st.builds(
        UploadRecord,
        name=st.text(),
        manifest=st.binary(),
        signature=SIGNATURES,
        declared=st.lists(
            st.builds(DeclaredFile, file=st.text(), size_bytes=st.integers(0)), max_size=3
        ).map(tuple),
        principal=st.text(),
        begin_time=TIMES,
    ),
    st.builds(
        CondemnedRecord,
        decided=st.booleans(),
        objects=st.lists(
            st.builds(
                CondemnedObject,
                key=st.text(),
                generation=st.integers(1),
                size_bytes=st.integers(0),
                create_time=TIMES,
            ),
            max_size=3,
        ).map(tuple),
    ),
)


@given(RECORDS)
@settings(deadline=None)
def test_a_record_is_read_back_as_it_was_written(
    record: VersionRecord | YankRecord | DeletionRecord | UploadRecord | CondemnedRecord,
) -> None:
    """Bytes, signatures, times and shapes included."""
    assert decode(type(record), encode(record), "key") == record


YANK = YankRecord(reason="NaN auf Lärm", request=Request(principal="p"), yank_time=START)


@given(place=st.integers(0), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=300)
def test_r27_a_flipped_bit_is_found_out_or_changes_nothing(place: int, bit: int) -> None:
    """There is no flip that makes another record of it."""
    content = bytearray(encode(YANK))
    content[place % len(content)] ^= 1 << bit
    try:
        assert decode(YankRecord, bytes(content), "key") == YANK
    except ContentCorrupt as error:
        assert error.reason == "CONTENT_CORRUPT"  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{}", b'{"digest": "", "record": {}}', b"\xff\xfe", b"[" * 100_000],
)
def test_what_is_no_record_is_corrupt(content: bytes) -> None:
    """Whatever stands there, one error tells of it."""
    with pytest.raises(ContentCorrupt, match="yanks/x is not as it was stored"):
        decode(YankRecord, content, "yanks/x")


def test_a_record_of_another_kind_is_corrupt() -> None:
    """A yank under the key of a deletion is no deletion."""
    with pytest.raises(ContentCorrupt):
        decode(DeletionRecord, encode(YANK), "key")


def test_two_writers_of_the_same_record_can_be_told_apart() -> None:
    """Or a writer would take another's for its own."""
    assert encode(YANK) != encode(
        YankRecord(reason=YANK.reason, request=YANK.request, yank_time=YANK.yank_time)
    )


def test_the_longest_names_make_keys_that_every_store_takes() -> None:
    """A model and a channel of 63 characters, a version of 64."""
    version = VersionName("m" * 63, semver.Version.parse("1.0.0-" + "a" * 58))
    channel = ChannelName("m" * 63, "c" * 63)
    upload = UploadName(version, "0" * 64)
    for key in (
        version_key(version),
        yank_key(version),
        deletion_key(version),
        history_key(channel, 2**63 - 1),
        policy_key(channel, 2**63 - 1),
        channel_key(channel),
        blob_key(digest_of(b"")),
        condemned_key("0" * 32),
        upload_prefix(upload, "p" * 1000) + "99/" + "0" * 20,
    ):
        check_key(key)
    check_prefix(report_prefix(digest_of(b"")))
    assert version_of_key(version_key(version)) == version.version


def test_histories_sort_by_sequence() -> None:
    """As text, for stores list by text."""
    channel = ChannelName("m", "c")
    numbers = [1, 9, 10, 99, 10**10, 2**63 - 1]
    listed = [history_key(channel, number) for number in numbers]
    assert listed == sorted(listed)


def test_a_tensor_is_the_same_in_a_record() -> None:
    """Signature to record and back."""
    for tensor in TENSORS:
        assert TensorRecord.of(tensor).signature() == tensor


def test_a_versions_record_has_the_digest_of_its_very_bytes() -> None:
    """Not of what was parsed from them."""
    what = package()
    record = VersionRecord(
        name=str(what.name),
        manifest=what.manifest + b" ",
        files=(),
        inputs=(),
        outputs=(),
        report="",
        request=Request(principal="p"),
        publish_time=START,
    )
    assert record.manifest_digest == digest_of(what.manifest + b" ")
    assert record.parsed().resource_name == str(what.name)
