"""What all commands print with: text of others that acts on no terminal, and JSON."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document to standard output."
)
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print a line of JSON for everything that happens."
)


def plain(text: str) -> str:
    r"""A text whose every character is seen: others are written as JSON does, `\u001b`.

    A reason, a name or an error comes from whoever wrote it; it must not move the cursor, turn the
    direction of writing, or begin a line of its own.
    """
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


class PlainConsole(Console):
    """Prints strings, also those in tables, as they are: `plain`, and nothing in them is markup."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Makes every string that is printed into what is shown."""
        return super().render_str(plain(text), **options | {"emoji": False, "markup": False})


def out() -> Console:
    """For results: standard output, without cutting words where it is no terminal."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=160)


def err() -> Console:
    """For progress and remarks."""
    return PlainConsole(stderr=True)


def tell(line: str, *, err: bool = False) -> None:
    """Prints one line, `plain`."""
    click.echo(plain(line), err=err)


def as_data(value: BaseModel) -> Any:
    """A value as what JSON can hold."""
    return value.model_dump(mode="json")


def print_json(data: Any) -> None:
    """One document."""
    for line in json.dumps(data, indent=2, ensure_ascii=False).split("\n"):
        tell(line)


def print_json_line(data: Any) -> None:
    """One line."""
    tell(json.dumps(data, ensure_ascii=False))
