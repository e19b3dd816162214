"""`voiceflow trust keygen`, and how every command comes by a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from securesystemslib.signer import SSlibKey

from voiceflow.cli.trust.files import FILE
from voiceflow.errors import AlreadyExists, InvalidInput
from voiceflow.trust.signing import SigningKey, read_public_key, write_public_key

_MAXIMUM_PASSWORD_BYTES: Final = 1024
_PUBLIC_SUFFIX: Final = ".pub"

password_option = click.option(
    "--password-file",
    type=FILE,
    help="Holds the key's password; else it is asked for where the key has one.",
)


def signing_key(path: Path, password_file: Path | None = None) -> SigningKey:
    """Reads the private half of a key; asks for its password where it has one and none is given.

    Raises:
        InvalidInput: KEY_INVALID.
    """
    if password_file is not None:
        return SigningKey.read(path, read_password(password_file))
    try:
        return SigningKey.read(path)
    except InvalidInput as error:
        if error.reason != "KEY_PASSWORD_MISSING":
            raise
    password = click.prompt(f"Password of {path}", hide_input=True, err=True)
    return SigningKey.read(path, str(password).encode())


def read_password(path: Path) -> bytes:
    """The first line of a file.

    Raises:
        InvalidInput: KEY_INVALID: it cannot be read, is empty, or far too long.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAXIMUM_PASSWORD_BYTES + 1)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    password = content.splitlines()[0] if content.strip() else b""
    if not password or len(content) > _MAXIMUM_PASSWORD_BYTES:
        raise _unusable(path, f"holds no password of 1 to {_MAXIMUM_PASSWORD_BYTES} bytes")
    return password


def public_key(value: Any) -> SSlibKey:
    """Reads the public half of a key, for an option."""
    return read_public_key(Path(str(value)))


@click.command()
@click.option("--out", type=FILE, required=True, metavar="KEY.pem", help="Where the key goes.")
@click.option("--password-file", type=FILE, help="Holds its password; else it is asked for.")
@click.option("--no-password", is_flag=True, help="Whoever reads the file can sign.")
def keygen(out: Path, password_file: Path | None, no_password: bool) -> None:
    """Make a key: KEY.pem, which signs, and KEY.pub, which everybody may know.

    KEY.pem belongs to one person, or to one server, and does not leave its machine.
    """
    public = out.with_suffix(_PUBLIC_SUFFIX)
    if out.suffix == _PUBLIC_SUFFIX:
        raise click.UsageError(f"--out {out}: names the private half; such as {out.stem}.pem")
    if no_password and password_file is not None:
        raise click.UsageError("--no-password and --password-file exclude each other")
    for path in (out, public):
        if path.exists():
            raise AlreadyExists(
                f"{path}: is there already, and a key is never replaced",
                reason="FILES_EXIST",
                field="out",
            )
    password = None if no_password else _new_password(password_file)
    key = SigningKey.generate()
    key.write(out, password)
    write_public_key(key.public, public)
    click.echo(f"{key.key_id}  {public}")


def _new_password(file: Path | None) -> bytes:
    if file is not None:
        return read_password(file)
    password = click.prompt(
        "Password of the new key", hide_input=True, confirmation_prompt=True, err=True
    )
    return str(password).encode()


def _unusable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{path}: {why}", reason="KEY_INVALID", field=str(path))
