"""The last steps of publishing: the gates, the commit, and that nothing of it was collected.

    gates ─▶ report ─▶ version (the commit) ─▶ everything it refers to still there ─▶ done

A crash before the commit leaves what came, for a retry or for collection. A crash after it leaves a
version that a retry of its publisher finds, secures, and is answered with.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from voiceflow.catalog.gates import ValidationReport
from voiceflow.catalog.names import ValidationName
from voiceflow.catalog.versions import VersionFile
from voiceflow.errors import (
    AlreadyExists,
    Conflict,
    ContentCorrupt,
    NotAllowedNow,
    Overloaded,
    Violation,
)
from voiceflow.validation.values import Candidate
from voiceflow_registry.files.blobs import BlobMissing, Blobs
from voiceflow_registry.files.condemned import Condemned
from voiceflow_registry.publishing.submission import PublishLimits, Submission
from voiceflow_registry.records import (
    ReportRecord,
    Request,
    TensorRecord,
    VersionRecord,
    blob_key,
    encode,
    version_key,
)
from voiceflow_registry.reports import Reports, report_key
from voiceflow_registry.requests import RequestIndex
from voiceflow_registry.storage.object_store import ObjectStore, PreconditionFailed, create_once
from voiceflow_registry.validations import Examined, Validations
from voiceflow_registry.versions.versions import Versions

_COPY_BYTES: Final = 1 << 20
_BUMP_TOO_SMALL: Final = ".bump-too-small"
_RETRY_AFTER_SECONDS: Final = 5.0


class PublisherLeft(Exception):
    """The publisher has left before the commit: nobody is there to be told."""


class Committing:
    """Commits versions whose files are all there.

    Args:
        store: Holds them.
        versions: What was published so far.
        validations: Runs the gates.
        clock: Tells the time, for people.
        limits: Which gates, and how many versions in them at once.
    """

    def __init__(
        self,
        store: ObjectStore,
        versions: Versions,
        validations: Validations,
        clock: Callable[[], datetime],
        limits: PublishLimits,
    ) -> None:
        self._store = store
        self._versions = versions
        self._validations = validations
        self._clock = clock
        self._limits = limits
        self._blobs = Blobs(store)
        self._reports = Reports(store)
        self._requests = RequestIndex(store)
        self._condemned = Condemned(store)
        self._places = threading.BoundedSemaphore(limits.validating)

    def standing(self, submission: Submission) -> VersionRecord | None:
        """The version, if it was published before with the same bytes.

        Raises:
            AlreadyExists: VERSION_EXISTS, if it was with others, or with another signature than
                the one that comes now.
        """
        record = self._versions.find(submission.name)
        if record is not None and record.manifest != submission.manifest:
            raise AlreadyExists(
                f"{submission.name} was published before with manifest {record.manifest_digest}, "
                f"this one is {submission.manifest_digest}; a version never changes: publish "
                "another number",
                reason="VERSION_EXISTS",
                field="begin.version",
            )
        if record is not None and submission.signature not in {None, record.signature}:
            raise AlreadyExists(
                f"{submission.name} keeps the signature that it was published with, which is "
                "another one; to have it signed otherwise, publish it under another number",
                reason="VERSION_EXISTS",
                field="begin.signature",
            )
        return record

    def fetch(self, files: Sequence[VersionFile], folder: Path) -> None:
        """Writes stored files into a folder, verified.

        Raises:
            Conflict: UPLOAD_SUPERSEDED, if one was collected before anything referred to it.
        """
        for file in files:
            try:
                self._blobs.write_files([file], folder)
            except BlobMissing:
                raise _collected(file.file) from None

    def examine(
        self,
        submission: Submission,
        request: Request,
        folder: Path,
        still_wanted: Callable[[], bool],
    ) -> Examined:
        """Runs the gates of publishing over the files in a folder.

        Raises:
            PublisherLeft: The version is not wanted any more.
            NotAllowedNow: BUMP_TOO_SMALL, GATES_NOT_PASSED, SANDBOX_TOO_WEAK.
            Overloaded: OVERLOADED, if none before it is done in time.
        """
        if not self._places.acquire(timeout=self._limits.wait_seconds):
            raise Overloaded(
                f"{self._limits.validating} versions are in the gates here, and none was done in "
                f"{self._limits.wait_seconds} seconds; what was sent is kept",
                reason="OVERLOADED",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        try:
            last: object = None
            with closing(
                self._validations.examine(
                    request,
                    submission.name,
                    Candidate(submission.manifest, folder),
                    gates=self._limits.gates,
                )
            ) as run:
                for event in run:
                    if not still_wanted():
                        raise PublisherLeft
                    last = event
        finally:
            self._places.release()
        if not isinstance(last, Examined):
            raise TypeError(f"a run of the gates ended with {last!r}")
        if not last.validation.passed:
            raise _not_passed(submission, last.record.report)
        return last

    def record(self, submission: Submission, request: Request, examined: Examined) -> VersionRecord:
        """The version's record, as it would be committed."""
        return VersionRecord(
            name=str(submission.name),
            manifest=submission.manifest,
            signature=submission.signature,
            files=submission.files,
            inputs=tuple(map(TensorRecord.of, examined.validation.inputs)),
            outputs=tuple(map(TensorRecord.of, examined.validation.outputs)),
            report=examined.record.report.name,
            request=request,
            publish_time=self._clock(),
        )

    def commit(
        self, submission: Submission, record: VersionRecord, examined: Examined, folder: Path
    ) -> VersionRecord:
        """Makes the version, unless somebody else just has.

        Returns:
            What stands: with the same bytes, though perhaps not by this request.

        Raises:
            AlreadyExists: VERSION_EXISTS.
            InvalidInput: REQUEST_ID_REUSED.
        """
        key = version_key(submission.name)
        self._requests.note(record.request, key)
        self._reports.add(examined.record)
        create_once(self._store, key, encode(record))
        standing = self.standing(submission)
        if standing is None:
            raise ContentCorrupt(f"{submission.name} is gone", reason="CONTENT_CORRUPT")
        self.secure(standing, folder, examined.record)
        return standing

    def secure(
        self,
        record: VersionRecord,
        folder: Path | None = None,
        report: ReportRecord | None = None,
    ) -> None:
        """Sees to it that no collection takes what a committed version refers to.

        Nobody may be told of the version before this. It can be done again at any time.

        Args:
            record: The version.
            folder: Has its files; None: they are read from the store where they are needed.
            report: That let it in; None: likewise.
        """
        report = report if report and report.report.name == record.report else self._report(record)
        files = {blob_key(file.digest): file for file in record.files}
        reported = report_key(report)
        for key, generation in self._condemned.escape([*files, reported]).items():
            with self._copied(files.get(key), folder) as source:
                with suppress(PreconditionFailed):  # somebody else has written it anew
                    self._store.delete(key, if_generation=generation)
                if source is None:
                    self._reports.add(report)
                else:
                    self._blobs.add(files[key], _read(source))
        for file in files.values():
            if self._blobs.info(file.digest) is None:
                if folder is None:
                    raise _collected(file.file)
                self._blobs.add(file, _read(folder / file.file))
        self._reports.add(report)

    def report(self, record: VersionRecord) -> ValidationReport:
        """What the gates saw of a version when it was published."""
        return self._report(record).report

    def _report(self, record: VersionRecord) -> ReportRecord:
        run = ValidationName.parse(record.report).validation
        report = self._reports.find(record.manifest_digest, run)
        if report is None:
            raise ContentCorrupt(
                f"{record.report}, which let {record.name} in, is gone", reason="CONTENT_CORRUPT"
            )
        return report

    @contextmanager
    def _copied(self, file: VersionFile | None, folder: Path | None) -> Iterator[Path | None]:
        """A copy of a file outside of the store; None for no file."""
        if file is None or folder is not None:
            yield None if file is None or folder is None else folder / file.file
            return
        with tempfile.TemporaryDirectory(prefix="voiceflow-copy-") as temporary:
            self.fetch([file], Path(temporary))
            yield Path(temporary) / file.file


def _collected(file: str) -> Conflict:
    return Conflict(
        f"{file} was held when this stream began, and was collected since; begin again, ask how "
        "far the upload came, and send it",
        reason="UPLOAD_SUPERSEDED",
    )


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(_COPY_BYTES):
            yield chunk


def _not_passed(submission: Submission, report: ValidationReport) -> NotAllowedNow:
    findings = [finding for gate in report.gates for finding in gate.findings]
    rules = {finding.rule_id for finding in findings}
    bump = bool(rules) and all(rule.endswith(_BUMP_TOO_SMALL) for rule in rules)
    return NotAllowedNow(
        f"{submission.name} is refused: {'; '.join(map(str, findings))}",
        reason="BUMP_TOO_SMALL" if bump else "GATES_NOT_PASSED",
        violations=[
            Violation(
                finding.rule_id,
                finding.subject,
                f"{finding.message} (seen: {finding.seen}; allowed: {finding.allowed})",
            )
            for finding in findings
        ],
    )
