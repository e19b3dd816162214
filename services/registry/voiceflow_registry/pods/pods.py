"""What pods report: what they serve, what they have left, how their versions fare.

A report replaces the one before it. A revert is kept for good, and where a channel's policy says so
a quorum of them commits a rollback, once: it is the next promotion, which can be created once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from voiceflow.catalog.channels import PromotionKind, Role
from voiceflow.catalog.names import ChannelName, PodName, VersionName
from voiceflow.catalog.pods import OutcomeComparison, Pod, Revert, VersionOutcomes
from voiceflow.catalog.queries import PodFilter
from voiceflow.catalog.values import Page
from voiceflow.errors import Conflict, NotAllowedNow, NotFound, Untrusted
from voiceflow.identity.caller import Caller
from voiceflow_registry.audit.changes import promoted
from voiceflow_registry.audit.log import AuditLog, Deed
from voiceflow_registry.channels.channels import REGISTRY_PRINCIPAL, Channels
from voiceflow_registry.channels.listing import Listing
from voiceflow_registry.paging import page_of
from voiceflow_registry.pods.fleet import quorum
from voiceflow_registry.pods.outcomes import added_up, comparisons
from voiceflow_registry.pods.reports import (
    check_outcomes,
    check_pod,
    check_reporter,
    check_reverts,
    check_same_reporter,
    invalid,
)
from voiceflow_registry.records import (
    PodRecord,
    RevertRecord,
    decode,
    encode,
    pod_key,
    revert_prefix,
)
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
    create_once,
)

_PODS: Final = "pods/"
_LOST_AFTER_INTERVALS: Final = 3
_TRIES: Final = 16

_log = logging.getLogger(__name__)


class Pods:
    """The pods of all channels; safe to use from many threads, and many processes on one store.

    Args:
        store: Holds their reports.
        channels: That they follow.
        audit: Where rollbacks of the registry itself are recorded.
        clock: Tells when reports came; what was reported long ago does not count.
        report_again_seconds: How often a pod is asked to report.
    """

    def __init__(
        self,
        store: ObjectStore,
        channels: Channels,
        audit: AuditLog,
        clock: Callable[[], datetime],
        report_again_seconds: float,
    ) -> None:
        self._store = store
        self._channels = channels
        self._audit = audit
        self._clock = clock
        self._report_again_seconds = report_again_seconds
        self._pods = Listing(store, PodRecord)
        self._reverts = Listing(store, RevertRecord)
        self._deciding = threading.Lock()

    def report(
        self,
        caller: Caller,
        pod: Pod,
        *,
        report_number: int,
        reverts: Sequence[Revert],
        outcomes: Sequence[VersionOutcomes],
    ) -> float:
        """Takes a pod's report in place of the one before it.

        A report is later than another of the same run if its number is greater, and than one of
        another run if the pod started later; but a pod that was lost may come back with a clock
        that was set back. The report that is known may come again.

        Args:
            caller: Who sent it; kept with it. As long as a pod is not lost, nobody else may.
            pod: As it says itself.
            report_number: 1, 2, 3, … since the pod's start.
            reverts: That were not acknowledged yet.
            outcomes: One for each generation.

        Returns:
            When to report again, in seconds from now.

        Raises:
            InvalidInput: NAME_INVALID, FIELD_INVALID.
            Forbidden: POD_NOT_CALLER.
            Conflict: REPORT_OUTDATED.
        """
        name = PodName.parse(pod.name, field="pod.name")
        channel = ChannelName.parse(pod.channel, field="pod.channel")
        check_reporter(caller, name, channel)
        check_pod(pod, report_number)
        if reverts:
            newest = self._channels.newest(channel)
            check_reverts(pod, channel, reverts, newest.sequence if newest else 0)
        check_outcomes(outcomes)
        record = PodRecord(
            principal=caller.principal,
            pod=pod.model_copy(update={"report_time": None, "lost": False}),
            report_number=report_number,
            outcomes=tuple(outcomes),
        )
        self._check_current(record, self._read(name)[0])
        for revert in reverts:
            identifier = revert.name.rpartition("/")[2]
            kept = RevertRecord(
                principal=caller.principal, revert=revert, report_time=self._clock()
            )
            create_once(self._store, f"{revert_prefix(channel)}{identifier}.json", encode(kept))
        self._replace(name, record)
        if reverts:
            self._go_back_on_quorum(channel, reverts)
        return self._report_again_seconds

    def get(self, name: PodName) -> Pod:
        """A pod as it last reported.

        Raises:
            NotFound: POD_NOT_FOUND.
        """
        record, _ = self._read(name)
        if record is None:
            raise NotFound(f"{name} has never reported", reason="POD_NOT_FOUND", field="name")
        return self._seen(record)

    def reporting(self) -> Iterator[Pod]:
        """Pods that are not lost."""
        return (pod for pod in self._all() if not pod.lost)

    def list(self, *, where: PodFilter, page_size: int, page_token: str) -> Page[Pod]:
        """Pods by name.

        Raises:
            InvalidInput: NAME_INVALID, FIELD_INVALID, PAGE_TOKEN_INVALID.
        """
        if where.channel:
            ChannelName.parse(where.channel, field="filter.channel")
        if where.version:
            VersionName.parse(where.version, field="filter.version")

        def after(key: str) -> Iterator[tuple[str, Pod]]:
            newest: dict[str, int] = {}
            # By name, which is not the order of the keys.
            for pod in sorted(self._all(), key=lambda pod: pod.name):
                if pod.name > key and self._is_wanted(pod, where, newest):
                    yield pod.name, pod

        query = {"list": "pods", "where": where.model_dump(mode="json")}
        return page_of(after, query=query, page_size=page_size, page_token=page_token)

    def reverts(
        self,
        parent: ChannelName,
        *,
        page_size: int,
        page_token: str,
        version: str = "",
        sequence: int = 0,
    ) -> Page[Revert]:
        """Reverts that pods of a channel have reported, newest first.

        Args:
            parent: The channel.
            page_size: As `page_of` has it.
            page_token: Likewise.
            version: Only reverts from it; empty: all.
            sequence: Only reverts under this promotion; 0: all.

        Raises:
            NotFound: CHANNEL_NOT_FOUND.
            InvalidInput: NAME_INVALID, FIELD_INVALID, PAGE_TOKEN_INVALID.
        """
        wanted = str(VersionName.parse(version, field="version")) if version else ""
        self._channels.get(parent)

        def after(key: str) -> Iterator[tuple[str, Revert]]:
            found = self._reverts.read(revert_prefix(parent))
            found.sort(key=lambda item: (item[0].create_time, item[0].key), reverse=True)
            keys = [info.key for info, _ in found]
            start = keys.index(key) + 1 if key in keys else 0
            for info, record in found[start if not key or key in keys else len(found) :]:
                revert = record.revert
                if wanted not in {"", revert.from_version.version}:
                    continue
                if sequence in {0, revert.sequence}:
                    yield info.key, revert

        query = {
            "list": "reverts",
            "parent": str(parent),
            "version": wanted,
            "sequence": sequence,
        }
        return page_of(after, query=query, page_size=page_size, page_token=page_token)

    def compare(
        self, channel: ChannelName, base: VersionName, target: VersionName
    ) -> OutcomeComparison:
        """Two versions on one channel beside each other, over all pods that last told of them.

        Raises:
            NotFound: CHANNEL_NOT_FOUND.
            InvalidInput: FIELD_INVALID, if they are one version, or of another model.
        """
        for field, version in (("base", base), ("target", target)):
            if version.model != channel.model:
                raise invalid(field, f"{version} is of another model than {channel}")
        if base == target:
            raise invalid("target", f"{target} is the base as well; allowed is another version")
        self._channels.get(channel)
        records = [
            record for _, record in self._pods.read(_PODS) if record.pod.channel == str(channel)
        ]
        (base_pods, base_sum), (target_pods, target_sum) = (
            _in_pods(records, version) for version in (base, target)
        )
        return OutcomeComparison(
            base=base_sum,
            target=target_sum,
            base_pods=len(base_pods),
            target_pods=len(target_pods),
            comparisons=comparisons(base_pods, target_pods),
        )

    def _read(self, name: PodName) -> tuple[PodRecord | None, int]:
        key = pod_key(name)
        try:
            stored = self._store.get(key)
        except ObjectMissing:
            return None, ABSENT
        return decode(PodRecord, stored.content, key), stored.generation

    def _check_current(self, record: PodRecord, known: PodRecord | None) -> None:
        """Raises POD_NOT_CALLER for another's pod, REPORT_OUTDATED if a later report is known."""
        if known is None:
            return
        lost = self._is_lost(known.pod)
        if not lost:
            check_same_reporter(record.principal, known.principal, record.pod.name)
        if _same_report(record, known):
            return
        start, known_start = record.pod.start_time, known.pod.start_time
        if start == known_start:
            current = record.report_number > known.report_number
        else:
            current = start > known_start or lost
        if not current:
            raise Conflict(
                f"{record.pod.name}: report {record.report_number} of the run that began at "
                f"{start.isoformat()}; known is report {known.report_number} of the run that began "
                f"at {known_start.isoformat()}",
                reason="REPORT_OUTDATED",
                field="report_number",
            )

    def _replace(self, name: PodName, record: PodRecord) -> None:
        for _ in range(_TRIES):
            known, generation = self._read(name)
            self._check_current(record, known)
            seen = record.pod.model_copy(update={"report_time": self._clock()})
            content = encode(record.model_copy(update={"pod": seen}))
            try:
                self._store.put(pod_key(name), content, if_generation=generation)
            except PreconditionFailed:
                continue
            return
        raise Conflict(
            f"{name}: its reports overtake one another; one process reports for a pod",
            reason="REPORT_OUTDATED",
        )

    def _all(self) -> Iterator[Pod]:
        return (self._seen(record) for _, record in self._pods.read(_PODS))

    def _seen(self, record: PodRecord) -> Pod:
        return record.pod.model_copy(update={"lost": self._is_lost(record.pod)})

    def _is_lost(self, pod: Pod) -> bool:
        silence = timedelta(seconds=_LOST_AFTER_INTERVALS * self._report_again_seconds)
        return pod.report_time is None or self._clock() - pod.report_time > silence

    def _is_wanted(self, pod: Pod, where: PodFilter, newest: dict[str, int]) -> bool:
        if pod.lost and not where.include_lost:
            return False
        if where.channel not in {"", pod.channel}:
            return False
        served = {generation.version.version for generation in pod.generations}
        if where.version and where.version not in served:
            return False
        if any(pod.labels.get(label) != value for label, value in where.labels.items()):
            return False
        if not where.not_converged:
            return True
        if pod.channel not in newest:
            promotion = self._channels.newest(ChannelName.parse(pod.channel))
            newest[pod.channel] = promotion.sequence if promotion else 0
        return pod.serving_sequence != newest[pod.channel]

    def _go_back_on_quorum(self, channel: ChannelName, reported: Sequence[Revert]) -> None:
        rule = self._channels.policy(channel).fleet_rollback
        if not rule.enabled:
            return
        with self._deciding:  # so that a whole fleet that reverts at once is not read by each
            newest = self._channels.newest(channel)
            if newest is None or all(revert.sequence != newest.sequence for revert in reported):
                return
            pods = [record.pod for _, record in self._pods.read(_PODS)]
            found = quorum(
                newest,
                rule,
                [pod for pod in pods if pod.channel == str(channel)],
                [record.revert for _, record in self._reverts.read(revert_prefix(channel))],
                self._clock(),
            )
            if found is None:
                return
            # A canary or shadow is ended; a primary gives way to the one before it.
            to_sequence = 0 if found.role is Role.PRIMARY else newest.sequence
            registry = Caller(REGISTRY_PRINCIPAL)
            try:
                self._audit.recorded(
                    Deed(registry, "RollbackChannel", str(channel)),
                    lambda: self._channels.rollback(
                        registry,
                        channel,
                        to_sequence=to_sequence,
                        etag=newest.etag,
                        reason=found.reason,
                        kind=PromotionKind.AUTOMATIC_ROLLBACK,
                    ),
                    lambda done: promoted(newest, done[1]),
                )
            except Conflict:
                _log.info("%s was promoted to before its rollback", channel)
            except NotAllowedNow as error:
                _log.error("%s cannot go back, although %s: %s", channel, found.reason, error)
            except Untrusted as error:  # pods would not follow it: a promoter has to
                _log.warning("%s is not rolled back, although %s: %s", channel, found.reason, error)
            else:
                _log.warning("%s was rolled back: %s", channel, found.reason)


def _same_report(record: PodRecord, known: PodRecord) -> bool:
    pod = known.pod.model_copy(update={"report_time": None, "lost": False})
    return record == known.model_copy(update={"pod": pod, "principal": record.principal})


def _in_pods(
    records: Sequence[PodRecord], version: VersionName
) -> tuple[list[VersionOutcomes], VersionOutcomes]:
    """What each pod tells of a version, its generations added up, and the sum of all."""
    pods = [
        added_up(parts)
        for record in records
        if (parts := [part for part in record.outcomes if part.version == str(version)])
    ]
    nothing = VersionOutcomes(version=str(version), role=Role.PRIMARY)
    return pods, added_up(pods) if pods else nothing
