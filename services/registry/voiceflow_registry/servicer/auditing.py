"""The audit of what callers do and are refused; it is written in the threads of acts.

What changes something is recorded before and after, by `act`, or by the act itself where it is a
stream; what is only tried out is not. What a caller who is known may not do is recorded once,
whichever method it was; a caller who goes on and on fills a log, not the store.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, TypeAlias, TypeVar

from google.protobuf.message import Message
from opentelemetry import trace

from voiceflow.errors import Forbidden, VoiceFlowError
from voiceflow.identity.caller import Caller
from voiceflow.rpc.access import caller_of
from voiceflow.telemetry.metrics import AUDIT_DROPPED
from voiceflow_registry.audit.allowance import Allowance
from voiceflow_registry.audit.changes import Change
from voiceflow_registry.audit.log import AuditLog, Deed
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.values import Context

Answer = TypeVar("Answer")
Method: TypeAlias = Callable[[Any, Context], Awaitable[Any]]

_LOG = logging.getLogger(__name__)
_RESOURCE: Final = re.compile(r"[a-zA-Z0-9./+-]{1,300}")

_recorded: Final[ContextVar[bool]] = ContextVar("recorded", default=False)
"""Whether the call that is being answered has an entry of its own: each is a task of its own."""
_about: Final[ContextVar[str]] = ContextVar("about", default="")
"""What it is about, if it said so."""


class Auditing:
    """Records what happens to calls.

    Args:
        log: Where.
        threads: Where it is written.
        allowance: How many refusals of one caller are.
    """

    def __init__(self, log: AuditLog, threads: Threads, allowance: Allowance | None = None) -> None:
        self.log: Final = log
        self._threads = threads
        self._allowance = allowance or Allowance()

    async def act(
        self, deed: Deed, act: Callable[[], Answer], tell: Callable[[Answer], Change]
    ) -> Answer:
        """Runs a short act between its intent and its outcome.

        The outcome is written where the act runs: a caller who leaves does not keep it from that.

        Args:
            deed: What it is.
            act: Does it.
            tell: What its answer has changed.

        Raises:
            Unavailable: AUDIT_UNAVAILABLE, and it was not done; besides what `Threads.call` raises.
        """
        return await self._threads.call(lambda: self.log.recorded(deed, act, tell))

    def deed(self, caller: Caller, method: str, resource: object, request: Any) -> Deed:
        """What a call is about to do.

        From now on, whatever refuses it is told by its own entry; a call that only tries out has
        none, and is recorded like any other if it is refused for lack of right.

        Args:
            caller: Who.
            method: `PromoteVersion`.
            resource: What it is about.
            request: May have a request id, and may be only for trying out.
        """
        validate_only = getattr(request, "validate_only", False)
        _recorded.set(not validate_only)
        self.about(resource)
        return Deed(
            caller,
            method,
            str(resource),
            request_id=getattr(request, "request_id", ""),
            validate_only=validate_only,
        )

    def about(self, resource: object) -> None:
        """What this call is about; else the field at fault has to tell."""
        _about.set(str(resource))
        trace.get_current_span().set_attribute("voiceflow.resource", str(resource))

    def observed(self, name: str, method: Method) -> Method:
        """The same method; what it refuses to its caller is recorded.

        Args:
            name: `GetUpload`.
            method: Answers it.
        """

        @wraps(method)
        async def observed(request: Any, context: Context) -> Any:
            try:
                return await method(request, context)
            except Forbidden as error:
                if not _recorded.get():
                    resource = _about.get() or _named(request, error)
                    await self.refused(caller_of(context), name, error, resource)
                raise

        return observed

    async def refused(
        self, caller: Caller, method: str, error: VoiceFlowError, resource: str = ""
    ) -> None:
        """Records what a caller who is known was refused, as far as the allowance goes.

        It is refused whether or not that could be recorded.

        Args:
            caller: Who.
            method: Its name, or its path.
            error: What is answered.
            resource: What it was about, as far as that is known.
        """
        if not self._allowance.take(caller.principal):
            AUDIT_DROPPED.add(1, {"why": "too many"})
            _LOG.warning("not recorded, one of many: %s for %s", error.reason, caller.principal)
            return
        deed = Deed(caller, method.rpartition("/")[2], resource)
        try:
            await self._threads.keep(
                self._threads.call(lambda: self.log.refused(deed, error.reason))
            )
        except Exception:  # noqa: BLE001 - what is answered is the refusal
            AUDIT_DROPPED.add(1, {"why": "failed"})
            _LOG.exception("not recorded: %s for %s", error.reason, caller.principal)


def _named(request: object, error: VoiceFlowError) -> str:
    """The resource that the field at fault names; empty where it names none."""
    found: object = request
    for part in (error.field or "").split("."):
        if not isinstance(found, Message) or part not in found.DESCRIPTOR.fields_by_name:
            return ""
        found = getattr(found, part)
    return found if isinstance(found, str) and _RESOURCE.fullmatch(found) else ""
