"""Options that several commands share, and readers of what people type."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from voiceflow.artifact import LatencyMode
from voiceflow.client.identity import ClientIdentity, check_plain_text

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


def as_moment(value: Any) -> datetime:
    """Reads a time: ISO 8601, in this machine's zone if it names none; or `30d`, `12h` from now on.

    Raises:
        click.BadParameter: It is neither.
    """
    return _moment(str(value), direction=1)


def as_past_moment(value: Any) -> datetime:
    """As `as_moment`, but `30d` and `12h` are so long ago."""
    return _moment(str(value), direction=-1)


def as_seconds(value: Any) -> float:
    """Reads a span: `30s`, `5m`, `1.5h`, `2d`; a bare number is seconds.

    Raises:
        click.BadParameter: It is none.
    """
    span = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)", str(value))
    if span is None:
        raise click.BadParameter(f"{value!r} is no span of time such as 30s, 5m or 1h")
    return float(span[1]) * _UNIT_SECONDS[span[2] or "s"]


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


@dataclass(frozen=True, slots=True)
class Target:
    """A server that a command may dial, and how.

    Attributes:
        address: `host:port`, or any target that gRPC knows.
        identity: Who dials, and whom it trusts; None: plain text.
        insecure: Plain text was asked for.
    """

    address: str
    identity: ClientIdentity | None = None
    insecure: bool = False

    def check(self) -> None:
        """To be asked before it is dialled.

        Raises:
            InvalidInput: INSECURE_ADDRESS: plain text to another machine, not asked for.
        """
        check_plain_text(self.address, self.identity, insecure=self.insecure)


Command = Callable[..., Any]


def target_option(name: str, default: str, what: str) -> Callable[[Command], Command]:
    """The option that says where a server is, and those that say who dials it.

    Args:
        name: Of the option and of the command's argument, which is a `Target`.
        default: An address.
        what: Server, for the help.
    """
    variable = f"VOICEFLOW_{name.upper()}"
    where = click.option(
        f"--{name}",
        type=address,
        default=default,
        show_default=True,
        envvar=variable,
        metavar="HOST:PORT",
        help=f"{what}; also from {variable}.",
    )
    return _dialling(name, where)


def optional_target_option(name: str, what: str) -> Callable[[Command], Command]:
    """As `target_option`, but none is named by default: then the argument is None.

    What the environment says of who dials is for a server that is named, and left aside without.
    """
    variable = f"VOICEFLOW_{name.upper()}"
    where = click.option(
        f"--{name}",
        type=address,
        envvar=variable,
        metavar="HOST:PORT",
        help=f"{what}; also from {variable}.",
    )

    def made(options: dict[str, Any], identity: ClientIdentity | None, insecure: bool) -> None:
        if options[name] is not None:
            options[name] = Target(options[name], identity, insecure)
            return
        source = click.get_current_context().get_parameter_source
        if insecure or any(source(field) is ParameterSource.COMMANDLINE for field in _IDENTITY):
            raise click.UsageError(f"--ca, --cert, --token-file, --insecure: only with --{name}")

    return lambda command: where(_identified(command, made))


def target_argument(name: str) -> Callable[[Command], Command]:
    """The argument that says where a server is, and the options that say who dials it.

    For what is done to one server and never to another by default.
    """
    return _dialling(name, click.argument(name, type=address, metavar="HOST:PORT"))


def identity_options(command: Command) -> Command:
    """The options that say who dials, where the command finds out itself what: its `identity`."""

    def made(options: dict[str, Any], identity: ClientIdentity | None, insecure: bool) -> None:
        del insecure
        options["identity"] = identity

    return _identified(command, made)


def _dialling(name: str, where: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def made(options: dict[str, Any], identity: ClientIdentity | None, insecure: bool) -> None:
        options[name] = Target(options[name], identity, insecure)

    return lambda command: where(_identified(command, made))


def _identified(
    command: Command, made: Callable[[dict[str, Any], ClientIdentity | None, bool], None]
) -> Command:
    @functools.wraps(command)
    def with_identity(*arguments: Any, **options: Any) -> Any:
        own = {parameter: options.pop(parameter) for parameter in _IDENTITY}
        insecure = options.pop("insecure")
        made(options, _identity(own, insecure=insecure), insecure)
        return command(*arguments, **options)

    decorated: Command = with_identity
    for option in (_insecure_option, *reversed(_identity_options)):
        decorated = option(decorated)
    return decorated


_PATH: Final = click.Path(path_type=Path)

_UNIT_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_IDENTITY: Final = {
    "ca": "CA",
    "certificate": "CERT",
    "key": "KEY",
    "token_file": "TOKEN_FILE",
    "server_name": "SERVER_NAME",
}
"""Fields of a `ClientIdentity`, and what they are called among options and variables."""


def _identity_option(field: str, help_: str, **more: Any) -> Callable[[Command], Command]:
    word = _IDENTITY[field]
    return click.option(
        f"--{word.lower().replace('_', '-')}",
        field,
        envvar=f"VOICEFLOW_{word}",
        help=f"{help_}; also from VOICEFLOW_{word}.",
        **more,
    )


_identity_options: Final = (
    _identity_option(
        "ca", "PEM: who signs the server's certificate, if no public CA does", type=_PATH
    ),
    _identity_option("certificate", "PEM: your own certificate, to be known by", type=_PATH),
    _identity_option("key", "PEM: its private key", type=_PATH),
    _identity_option("token_file", "A file with a token, to be known by", type=_PATH),
    _identity_option(
        "server_name", "That the server's certificate must have [the one dialled]", type=text
    ),
)
_insecure_option: Final[Callable[[Command], Command]] = click.option(
    "--insecure",
    is_flag=True,
    help="Dial in plain text and as nobody, also to another machine.",
)


def _identity(own: dict[str, Any], *, insecure: bool) -> ClientIdentity | None:
    """What the options say; the environment's are left aside where plain text is asked for."""
    given = {field: value for field, value in own.items() if value}
    if insecure:
        source = click.get_current_context().get_parameter_source
        for field in given:
            if source(field) is ParameterSource.COMMANDLINE:
                option = _IDENTITY[field].lower().replace("_", "-")
                raise click.UsageError(f"give either --insecure or --{option}")
        return None
    if not given:
        return None
    if given.keys() == {"server_name"}:
        raise click.UsageError("--server-name: only with --ca, --cert or --token-file")
    return ClientIdentity(**given)


server_option = target_option("server", DEFAULT_SERVER, "The inference service")

mode_option = click.option(
    "--mode",
    type=click.Choice([mode.value for mode in LatencyMode]),
    default=LatencyMode.DENSITY.value,
    show_default=True,
    help="Hops of 480 ms (density) or 80 ms (agent), where audio is live.",
)


def _moment(text: str, *, direction: int) -> datetime:
    if span := re.fullmatch(r"([0-9]{1,4})([dh])", text):
        amount = direction * int(span[1])
        distance = timedelta(days=amount) if span[2] == "d" else timedelta(hours=amount)
        return datetime.now(UTC) + distance
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        raise click.BadParameter(
            f"{text!r} is no time such as 2026-05-01T12:00:00Z or 30d"
        ) from None
