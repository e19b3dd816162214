"""Writes results to files, or to standard output where the path is `-`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from voiceflow.client import Timeline
from voiceflow.report import PageAudio, render_report

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go; None: not asked for."""

    rttm: str | None = None
    json: str | None = None
    html: str | None = None

    @property
    def take_stdout(self) -> bool:
        """Whether standard output belongs to a result."""
        return STDOUT in {self.rttm, self.json}

    def check(self) -> None:
        """Refuses before the work what could not be written after it."""
        if self.rttm == self.json == STDOUT:
            raise click.UsageError("only one of --rttm and --json can be -")
        for path in (self.rttm, self.json, self.html):
            if path not in {None, STDOUT} and not Path(str(path)).resolve().parent.is_dir():
                raise click.UsageError(f"{path}: there is no such folder")

    def write(self, timeline: Timeline, name: str, audio: PageAudio | None) -> list[str]:
        """Writes what was asked for.

        Args:
            timeline: Who spoke when.
            name: Of the recording.
            audio: Needed for the report.

        Returns:
            The files written.
        """
        results = [
            (self.rttm, timeline.to_rttm(Path(name).stem) if self.rttm else ""),
            (self.json, timeline.to_json(name) if self.json else ""),
            (self.html, render_report(timeline, name, audio) if audio else ""),
        ]
        written = []
        for path, text in results:
            if path == STDOUT:
                click.echo(text, nl=False)
            elif path is not None:
                Path(path).write_text(text, encoding="utf-8")
                written.append(path)
        return written
