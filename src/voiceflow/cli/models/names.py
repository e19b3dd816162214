"""Names as people type them: short, or in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from voiceflow.catalog.names import ChannelName, ModelName, VersionName
from voiceflow.errors import InvalidInput

Name = ModelName | VersionName | ChannelName


def model_name(text: str) -> ModelName:
    """Reads `diarizer` or `models/diarizer`.

    Raises:
        InvalidInput: NAME_INVALID; so all readers here do.
    """
    return ModelName.parse(text if "/" in text else f"models/{text}", field="model")


def version_name(text: str) -> VersionName:
    """Reads `diarizer@1.2.0` or `models/diarizer/versions/1.2.0`."""
    model, at, version = text.partition("@")
    full = f"models/{model}/versions/{version}" if at else text
    return VersionName.parse(full, field="version")


def channel_name(text: str, model: str = "") -> ChannelName:
    """Reads `diarizer/stable`, `models/diarizer/channels/stable`, or `stable` of a known model."""
    parts = text.split("/")
    if len(parts) == 1 and model:
        parts = [model, text]
    full = f"models/{parts[0]}/channels/{parts[1]}" if len(parts) == 2 else text
    return ChannelName.parse(full, field="channel")


def any_name(text: str) -> Name:
    """Reads a version, a channel or a model, whichever the text has the form of."""
    if "@" in text or "/versions/" in text:
        return version_name(text)
    if "/channels/" in text or (text.count("/") == 1 and not text.startswith("models/")):
        return channel_name(text)
    return model_name(text)


def short(name: str) -> str:
    """A full name as people type it."""
    parts = name.split("/")
    if len(parts) >= 4 and parts[0] == "models":
        joint = "@" if parts[2] == "versions" else "/"
        return f"{parts[1]}{joint}{parts[3]}"
    return name.removeprefix("models/").removeprefix("pods/")


def version_of(name: str) -> str:
    """`1.2.0` of `models/diarizer/versions/1.2.0`."""
    return name.rpartition("/")[2]


_Name = TypeVar("_Name")


def _argument(read: Callable[[str], _Name], example: str) -> Callable[[Any], _Name]:
    """Reads an argument that is a name; wrong ones are wrong usage."""

    def convert(value: Any) -> _Name:
        try:
            return read(str(value))
        except InvalidInput as error:
            raise click.BadParameter(f"{error.message}; such as {example}") from error

    return convert


MODEL = _argument(model_name, "diarizer")
VERSION = _argument(version_name, "diarizer@1.2.0")
CHANNEL = _argument(channel_name, "diarizer/stable")
ANY = _argument(any_name, "diarizer, diarizer@1.2.0 or diarizer/stable")
