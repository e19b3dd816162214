"""Options that several commands share, and readers of what people type."""

from __future__ import annotations

import math
from typing import Any, Final

import click

DEFAULT_SERVER = "127.0.0.1:50051"

MAXIMUM_INT32: Final = 2**31 - 1
MAXIMUM_INT64: Final = 2**63 - 1


def text(value: Any) -> str:
    """Reads text that can be sent: UTF-8.

    Raises:
        click.BadParameter: It holds bytes that are none.
    """
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise click.BadParameter(f"{value!r} is no UTF-8 text") from None
    return str(value)


def address(value: Any) -> str:
    """Reads where a server is.

    Raises:
        click.BadParameter: Nothing is named.
    """
    if not text(value).strip():
        raise click.BadParameter("names no server; such as 127.0.0.1:50061")
    return str(value)


class Number(click.FloatRange):
    """A number within bounds; NaN is within none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Reads it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


server_option = click.option(
    "--server",
    type=address,
    default=DEFAULT_SERVER,
    show_default=True,
    envvar="VOICEFLOW_SERVER",
    metavar="HOST:PORT",
    help="The inference service; also from VOICEFLOW_SERVER.",
)
