"""Pages of the documentation that tests follow: what stands on them, and how it is run."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fakes.processes import serving
from tests.integration.commands import done

DOCS = Path(__file__).parents[2] / "docs"


class Page:
    """One page.

    Args:
        name: Of its file.
    """

    def __init__(self, name: str) -> None:
        self.text = (DOCS / name).read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """Its code in a language."""
        return re.findall(rf"```{language}\n(.*?)```", self.text, re.DOTALL)

    def commands(self) -> Iterator[tuple[str, int]]:
        """Each command, with the exit code that a remark beside it says."""
        for block in self.blocks("console"):
            for line in block.splitlines():
                assert line.startswith("$ "), line
                command, _, remark = line[2:].partition(" #")
                said = re.search(r"exit code (\d+)", remark)
                yield command.strip(), int(said[1]) if said else 0

    def first_column(self, cell: str) -> set[str]:
        """What matches in the first column of its tables."""
        return set(re.findall(rf"^\| {cell} \| ", self.text, re.MULTILINE))

    def dead_links(self) -> list[str]:
        """Links to what is not there."""
        links: list[str] = re.findall(r"\]\(([^)#]+)", self.text)
        return [link for link in links if "://" not in link and not (DOCS / link).exists()]


async def run(command: str) -> tuple[int, str]:
    """A `voiceflow …` command to its end: its exit code, and all that it said."""
    line, _, target = command.partition(" > ")
    arguments = shlex.split(line)[1:]
    # It handles signals, which a process's main thread alone may; all others start faster here.
    if arguments[0] == "diarize":
        code, out, err = await python("-c", "from voiceflow.cli import main; main()", *arguments)
    else:
        code, out, err = await done(*arguments)
    if target:
        await asyncio.to_thread(Path(target).write_text, out)
    return code, out + err


async def python(*arguments: str) -> tuple[int, str, str]:
    """A Python process to its end: its exit code, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def service(*arguments: str) -> AsyncIterator[str]:
    """A service that a page starts with Python, on a free port; yields its address."""
    async with serving(*arguments) as (_, address):
        yield address
