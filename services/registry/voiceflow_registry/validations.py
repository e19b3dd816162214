"""Runs versions through the gates, keeps what they saw, and tells what of it counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol, TypeVar

from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.gates import Gate, GateResult, Outcome, ValidationReport
from voiceflow.catalog.names import ChannelName, ValidationName, VersionName
from voiceflow.catalog.values import Page
from voiceflow.errors import NotFound, Overloaded
from voiceflow.identity.caller import Caller
from voiceflow.validation.values import (
    Baseline,
    Budgets,
    Candidate,
    Earlier,
    GateStarted,
    Validation,
)
from voiceflow_registry.paging import page_of
from voiceflow_registry.records import ReportRecord, Request, VersionRecord
from voiceflow_registry.reports import Reports, new_run, placed, report_key
from voiceflow_registry.requests import RequestIndex, request_of, same_request
from voiceflow_registry.storage.object_store import ObjectStore
from voiceflow_registry.versions.reader import described
from voiceflow_registry.versions.versions import Versions

MEASURED_GATES: Final = frozenset({Gate.COST, Gate.ACCURACY})
"""Gates whose outcome depends on a channel's budgets and on what it serves."""

_RETRY_AFTER_SECONDS: Final = 10.0

Event = TypeVar("Event")


class GateRunner(Protocol):
    """What `voiceflow.validation.Validator` does."""

    def run(
        self,
        candidate: Candidate,
        *,
        gates: Sequence[Gate],
        budgets: Budgets,
        earlier: Sequence[Earlier] = (),
        baseline: Baseline | None = None,
    ) -> Iterator[GateStarted | GateResult | Validation]:
        """Runs gates; the last item is the Validation. Closing the iterator ends the run."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a run saw.

    Attributes:
        record: The report, as it would be stored.
        validation: The same as the gates tell it, with the tensors that they found.
    """

    record: ReportRecord
    validation: Validation


class Validations:
    """Every run of the gates in this registry.

    Args:
        store: Holds the reports.
        versions: The versions that are run.
        gates: Runs them, in the sandbox.
        clock: Tells the time of runs, for people and for policies that let reports grow old.
        software_version: Of the registry, for reports.
        has_evaluation_set: Whether accuracy can be scored.
        maximum_running: Runs of `run` at once in this process.
    """

    def __init__(
        self,
        store: ObjectStore,
        versions: Versions,
        gates: GateRunner,
        clock: Callable[[], datetime],
        *,
        software_version: str,
        has_evaluation_set: bool,
        maximum_running: int = 2,
    ) -> None:
        self._reports = Reports(store)
        self._requests = RequestIndex(store)
        self._versions = versions
        self._gates = gates
        self._clock = clock
        self._software_version = software_version
        self._has_evaluation_set = has_evaluation_set
        self._maximum_running = maximum_running
        self._running = threading.BoundedSemaphore(maximum_running)

    def run(
        self,
        caller: Caller,
        name: VersionName,
        *,
        gates: Sequence[Gate],
        policy: ChannelPolicy,
        channel: ChannelName | None,
        baseline: VersionName | None,
        request_id: str,
    ) -> Iterator[Gate | GateResult | ValidationReport]:
        """Runs a version through the gates and stores what they saw.

        Nothing is done before the first item is asked for. A caller that closes the iterator ends
        the run, and nothing is stored.

        Args:
            caller: Who.
            name: The version.
            gates: To run; empty: those that the channel's policy demands. Without a channel, or if
                it demands none: all, accuracy only where there is an evaluation set.
            policy: The channel's, or the registry's default.
            channel: Whose policy it is; None: nobody's.
            baseline: What cost and accuracy are compared with; None: nothing.
            request_id: Of a run that ended: its report is answered at once.

        Yields:
            A gate when it starts, its result, and at last the report.

        Raises:
            NotFound: VERSION_NOT_FOUND.
            NotAllowedNow: VERSION_DELETED, SANDBOX_TOO_WEAK, EVALUATION_SET_MISSING.
            Overloaded: OVERLOADED.
            InvalidInput: FIELD_INVALID, REQUEST_ID_REUSED.
        """
        payload = {
            "name": str(name),
            "gates": [gate for gate in Gate if gate in gates],
            "channel": str(channel or ""),
        }
        request = request_of(caller, "ValidateVersion", request_id, payload)
        version = self._versions.record(name)
        answered = self._answered(version, request)
        if answered is not None:
            yield answered.report
            return
        with self._place(), self._versions.folder(name) as folder:
            examining = self.examine(
                request,
                name,
                Candidate(version.manifest, folder),
                gates=gates or self._demanded(policy, channel),
                policy=policy,
                channel=channel,
                baseline=baseline,
            )
            with _closing(examining):
                for event in examining:
                    if isinstance(event, Examined):
                        examined = event
                    else:
                        yield event
            report = self._keep(examined.record)
        yield report

    def examine(
        self,
        request: Request,
        name: VersionName,
        candidate: Candidate,
        *,
        gates: Sequence[Gate],
        policy: ChannelPolicy | None = None,
        channel: ChannelName | None = None,
        baseline: VersionName | None = None,
    ) -> Generator[Gate | GateResult | Examined, None, None]:
        """Runs anything through the gates and stores nothing; the last item is the Examined.

        Args:
            request: Who asked for it.
            name: The version that the candidate is, or is to be.
            candidate: What is run.
            gates: To run.
            policy: Sets what is allowed; None: everything is.
            channel: Whose policy it is.
            baseline: What cost and accuracy are compared with, unless it is this very version.
        """
        start_time = self._clock()
        asked = tuple(gate for gate in Gate if gate in gates)
        compared = baseline if baseline != name and MEASURED_GATES & set(asked) else None
        budgets = Budgets(policy.cost_budget, policy.accuracy_budget) if policy else Budgets()
        with ExitStack() as stack:
            earlier = [self._earlier(stack, version) for version in self._versions.earlier(name)]
            running = self._gates.run(
                candidate,
                gates=asked,
                budgets=budgets,
                earlier=earlier,
                baseline=self._baseline(stack, compared) if compared else None,
            )
            stack.enter_context(_closing(running))
            for event in running:
                if isinstance(event, GateStarted):
                    yield event.gate
                elif isinstance(event, GateResult):
                    yield event
                else:
                    validation = event
        report = ValidationReport(
            name=str(ValidationName(name, new_run(start_time, request))),
            manifest_digest=digest_of(candidate.manifest),
            passed=validation.passed,
            gates=validation.gates,
            channel=str(channel or ""),
            baseline_version=str(compared or ""),
            policy_sequence=policy.sequence if policy else 0,
            sandbox=validation.sandbox,
            principal=request.principal,
            start_time=start_time,
            end_time=self._clock(),
            software_version=self._software_version,
            runtime_version=validation.runtime_version,
            evaluation_set_digest=validation.evaluation_set_digest,
        )
        record = ReportRecord(
            report=report,
            cost_budget=budgets.cost,
            accuracy_budget=budgets.accuracy,
            request=request,
        )
        yield Examined(record, validation)

    def get(self, name: ValidationName) -> ValidationReport:
        """The report of one run.

        Raises:
            NotFound: VERSION_NOT_FOUND, VALIDATION_NOT_FOUND.
        """
        version = self._versions.record(name.version)
        record = self._reports.find(version.manifest_digest, name.validation)
        if record is None:
            raise NotFound(
                f"{name} is no run of the gates", reason="VALIDATION_NOT_FOUND", field="name"
            )
        return record.report

    def list(
        self, parent: VersionName, *, channel: ChannelName | None, page_size: int, page_token: str
    ) -> Page[ValidationReport]:
        """What the gates saw of a version, newest run first.

        Args:
            parent: The version.
            channel: Only runs under this channel's policy; None: all.
            page_size: As `page_of` has it.
            page_token: Likewise.

        Raises:
            NotFound: VERSION_NOT_FOUND.
            InvalidInput: FIELD_INVALID, PAGE_TOKEN_INVALID.
        """
        version = self._versions.record(parent)

        def after(key: str) -> Iterator[tuple[str, ValidationReport]]:
            for run, record in self._reports.of(version.manifest_digest, after=key):
                if channel is None or record.report.channel == str(channel):
                    yield run, record.report

        return page_of(
            after,
            query={"list": "validations", "parent": str(parent), "channel": str(channel or "")},
            page_size=page_size,
            page_token=page_token,
        )

    def passed(
        self, record: VersionRecord, *, policy: ChannelPolicy, channel: ChannelName
    ) -> set[Gate]:
        """The gates that a version has passed and that count for a promotion to a channel.

        A gate counts if it passed in any stored run of the version's very manifest that is not
        older than the policy lets it be. What manifest, graph, contract and behaviour find depends
        on no budget, so any run does. Cost and accuracy must have been run for this channel, and
        under the budgets that its policy states now: a change of the budgets asks for a new run,
        a change of anything else in the policy does not.
        """
        oldest = None
        if policy.validation_valid_for_seconds is not None:
            oldest = self._clock() - timedelta(seconds=policy.validation_valid_for_seconds)
        passed: set[Gate] = set()
        for _, stored in self._reports.of(record.manifest_digest):
            report = stored.report
            if report.manifest_digest != record.manifest_digest:
                continue
            if oldest is not None and report.end_time < oldest:
                continue
            here = report.channel == str(channel)
            budgets = (stored.cost_budget, stored.accuracy_budget)
            measured = here and budgets == (policy.cost_budget, policy.accuracy_budget)
            passed |= {
                result.gate
                for result in report.gates
                if result.outcome is Outcome.PASSED
                and (measured or result.gate not in MEASURED_GATES)
            }
        return passed

    def _answered(self, version: VersionRecord, request: Request) -> ReportRecord | None:
        """The report that this very request has made before."""
        key = self._requests.find(request)
        record = self._reports.at(key) if key else None
        if record is None:  # the index may be lost
            record = self._reports.made_by(version.manifest_digest, request)
        if record is None or not same_request(request, record.request):
            return None
        self._requests.note(request, report_key(record))
        return record

    def _keep(self, record: ReportRecord) -> ValidationReport:
        """Stores a report; two runs for one request have one place, and answer what is there."""
        place = self._requests.note(record.request, report_key(record))
        return self._reports.add(placed(record, place)).report

    def _demanded(self, policy: ChannelPolicy, channel: ChannelName | None) -> tuple[Gate, ...]:
        if channel is not None and policy.demanded_gates:
            return policy.demanded_gates
        return tuple(gate for gate in Gate if gate is not Gate.ACCURACY or self._has_evaluation_set)

    def _earlier(self, stack: ExitStack, version: VersionRecord) -> Earlier:
        found = described(version)
        folders: list[Path] = []

        def fetch() -> Path:
            if not folders:
                folders.append(stack.enter_context(self._versions.folder(found.name)))
            return folders[0]

        return Earlier(found, fetch)

    def _baseline(self, stack: ExitStack, name: VersionName) -> Baseline:
        folder = stack.enter_context(self._versions.folder(name))
        return Baseline(str(name), self._versions.record(name).manifest, folder)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._running.acquire(blocking=False):
            raise Overloaded(
                f"{self._maximum_running} validations are running here, and no more may",
                reason="OVERLOADED",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        try:
            yield
        finally:
            self._running.release()


@contextmanager
def _closing(running: Iterator[Event]) -> Iterator[None]:
    """Ends a run whose caller has left."""
    try:
        yield
    finally:
        if isinstance(running, Generator):
            running.close()
