"""Whether a caller may act on the very resource that its request names.

`voiceflow.rpc.access` has decided before that its roles open the method at all.
"""

from __future__ import annotations

from voiceflow.catalog.names import VersionName
from voiceflow.errors import Forbidden
from voiceflow.identity.caller import Caller, CallerRole


def check_model(
    caller: Caller, version: VersionName, *others: CallerRole, field: str = "name"
) -> None:
    """Whether a version's model is one of the caller's own.

    Nothing of the model is looked at: a stranger does not learn whether it exists.

    Args:
        caller: Who.
        version: Of the model.
        others: Roles that may do the same to any model.
        field: Of the request, that names it.

    Raises:
        Forbidden: ROLE_MISSING.
    """
    if caller.owns_model(version.model) or not caller.roles.isdisjoint(others):
        return
    own = ", ".join(caller.models) or "none"
    instead = f", or the role {' or '.join(others)}" if others else ""
    raise Forbidden(
        f"{field}: the model of {version} is none of {caller.principal}'s own, which are: {own}; "
        f"needed is the role publisher for this model{instead}",
        reason="ROLE_MISSING",
        field=field,
    )
