"""The group, and the order in which its commands are listed."""

from __future__ import annotations

import click

from voiceflow.cli.trust.development import dev
from voiceflow.cli.trust.editing import (
    add_promoter,
    add_publisher,
    init,
    retire,
    revoke,
    rotate_root,
    set_expiry,
)
from voiceflow.cli.trust.keys import keygen
from voiceflow.cli.trust.showing import check, show
from voiceflow.cli.trust.signing import sign


class _Trust(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were added."""
        del ctx
        return list(self.commands)


@click.group(cls=_Trust)
def trust() -> None:
    """Say whose signatures count: keys, the trust root, signatures. No service is needed.

    A change of the trust root is a draft: a file that holds the version in force and the next one.
    It goes from one holder of a root key to the other; each looks at it (show) and signs it (sign).
    When enough have signed it takes the place of the trust root.
    """


for _command in (
    *(keygen, init, add_publisher, add_promoter, retire, revoke, rotate_root, set_expiry),
    *(sign, show, check, dev),
):
    trust.add_command(_command)
