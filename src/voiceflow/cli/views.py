"""How a conversation is shown: a live picture on a terminal, lines elsewhere, a bar for files."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from voiceflow.cli.lanes import Cell, LiveLanes
from voiceflow.cli.printing import plain, tell
from voiceflow.client import UNKNOWN, Begin, Event, Moved, Resumed, Timeline, Turn, Update, seconds
from voiceflow.report.page import clock

COLOURS = (
    *("#2f9e8f", "#e2725b", "#6f87e6", "#d99a2b", "#c56fae"),
    *("#3f97c6", "#8aa844", "#9b7bd2", "#cf6580", "#6f9c88"),
)
UNKNOWN_COLOUR = "#8b9098"

_CELLS = {Cell.SILENT: "·", Cell.PROVISIONAL: "░", Cell.FINAL: "█"}
_WINDOW_SECONDS = 30.0
_NAME_WIDTH = 10
_TALK_WIDTH = 17
_SHOWN_TURNS = 5


class LiveView:
    """A picture of the newest half minute that moves with the audio.

    Args:
        console: A terminal.
        title: Name of the recording.
        duration_seconds: None: not known.
    """

    def __init__(self, console: Console, title: str, duration_seconds: float | None) -> None:
        self._console = console
        self._title = title
        self._duration_seconds = duration_seconds
        self._lanes = LiveLanes(_WINDOW_SECONDS)
        self._timeline = Timeline()
        self._turns: list[Turn] = []
        self._model_version = ""
        self._moves = self._resumptions = 0
        self._colours: dict[str, str] = {UNKNOWN: UNKNOWN_COLOUR}
        self._live = Live(
            console=console,
            get_renderable=self.__rich__,
            refresh_per_second=10,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def sent(self, total_seconds: float) -> None:
        """So much audio has been given to the service."""
        self._lanes.sent(total_seconds)

    def event(self, event: Event, timeline: Timeline) -> None:
        """An event came."""
        self._timeline = timeline
        self._lanes.event(event)
        match event:
            case Update():
                self._turns += [turn for turn in event.turns if turn.final]
                del self._turns[:-_SHOWN_TURNS]
            case Begin():
                self._model_version = event.model_version
            case Moved():
                self._model_version, self._moves = event.model_version, self._moves + 1
            case Resumed():
                self._model_version = event.begin.model_version
                self._resumptions += 1
            case _:
                pass

    def done(self, timeline: Timeline) -> None:
        """The last picture stays."""

    def __rich__(self) -> RenderableType:
        width = self._console.width - 4
        lanes = self._lanes.lanes(self._timeline)
        count = max(10, width - _NAME_WIDTH - _TALK_WIDTH)
        total = sum(lane.talk_seconds for lane in lanes) or 1.0
        now = Text()
        for lane in lanes:  # colours in the order of the lanes, whoever speaks first
            self._colour(lane.speaker)
        for lane in lanes:
            if lane.speaking:
                now.append(f" ● {lane.speaker} ", f"bold {self._colour(lane.speaker)}")
        if not now:
            now.append(" nobody speaks", "dim")
        rows: list[RenderableType] = [_sides(now, self._clock(), width), Text()]
        for lane in lanes:
            colour = self._colour(lane.speaker)
            row = Text(no_wrap=True)
            row.append(f"{lane.speaker[: _NAME_WIDTH - 2]:<{_NAME_WIDTH}}", f"bold {colour}")
            for cell in self._lanes.cells(self._timeline, lane.speaker, count):
                row.append(_CELLS[cell], "bright_black" if cell is Cell.SILENT else colour)
            share = 100.0 * lane.talk_seconds / total
            row.append(f"{clock(lane.talk_seconds):>9} {share:4.0f} %", colour)
            rows.append(row)
        rows += [self._axis(count), Text()]
        for turn in self._turns:
            speaker = self._timeline.name_of(turn.speaker)
            line = Text()
            line.append(f" {clock(seconds(turn.start_samples)):>8}  ", "dim")
            line.append(f"{speaker[: _NAME_WIDTH - 2]:<{_NAME_WIDTH}}", self._colour(speaker))
            line.append(f"{seconds(turn.end_samples - turn.start_samples):5.1f} s", "dim")
            rows.append(line)
        return Panel(
            Group(*rows), title=self._title, subtitle=self._facts(), border_style="bright_black"
        )

    def _clock(self) -> str:
        now = clock(self._lanes.covered_seconds)
        return f"{now} / {clock(self._duration_seconds)}" if self._duration_seconds else now

    def _axis(self, count: int) -> Text:
        axis = [" "] * count
        step = 5.0
        mark = -(-self._lanes.start_seconds // step) * step
        while mark <= self._lanes.start_seconds + _WINDOW_SECONDS:
            at = round((mark - self._lanes.start_seconds) / _WINDOW_SECONDS * count)
            label = clock(mark, 0)
            if at + len(label) <= count:
                axis[at : at + len(label)] = label
            mark += step
        return Text(" " * _NAME_WIDTH + "".join(axis), "bright_black")

    def _facts(self) -> Text:
        facts = Text(" █ final  ░ may still change", "dim")
        facts.append(f"  ·  lag {self._lanes.lag_seconds:.2f} s of audio", "dim")
        if self._model_version:
            facts.append(f"  ·  {plain(_short(self._model_version))} ", "dim")
        for what, count in (("moved", self._moves), ("resumed", self._resumptions)):
            if count:
                facts.append(f" ·  {what} {count}x ", "dim")
        return facts

    def _colour(self, speaker: str) -> str:
        if speaker not in self._colours:
            self._colours[speaker] = COLOURS[(len(self._colours) - 1) % len(COLOURS)]
        return self._colours[speaker]


class LineView:
    """One line for each turn, when it is final and complete; for pipes and logs.

    When the stream goes on by another model or in another stream, a line on standard error says so.

    Args:
        to_stderr: Whether standard output is taken by a result.
    """

    def __init__(self, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr
        self._live = False

    def sent(self, total_seconds: float) -> None:
        """Says nothing."""

    def event(self, event: Event, timeline: Timeline) -> None:
        """Prints what became final."""
        self._live = True
        match event:
            case Update():
                for turn in event.turns:
                    if turn.final:
                        self._print(turn, timeline)
            case Moved():
                at = f"{seconds(event.at_samples):.3f} s"
                tell(f"{at}: {event.how} to {event.model_version}", err=True)
            case Resumed():
                at = f"{seconds(event.at_samples):.3f} s"
                tell(f"{at}: resumed with {event.begin.model_version}", err=True)
            case _:
                pass

    def done(self, timeline: Timeline) -> None:
        """Prints the turns of a recording, which come at its end."""
        if not self._live:
            for turn in timeline.turns():
                self._print(turn, timeline)

    def _print(self, turn: Turn, timeline: Timeline) -> None:
        """Start, end (seconds), speaker, confidence, with tabs between them."""
        start, end = seconds(turn.start_samples), seconds(turn.end_samples)
        line = f"{start:.3f}\t{end:.3f}\t{timeline.name_of(turn.speaker)}\t"
        click.echo(f"{line}{turn.confidence:.2f}", err=self._to_stderr)


class FileView:
    """A bar that shows how much of a recording the service has taken.

    Args:
        console: A terminal.
        title: Name of the recording.
        duration_seconds: None: not known.
    """

    def __init__(self, console: Console, title: str, duration_seconds: float | None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(title, total=duration_seconds, speed="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def sent(self, total_seconds: float) -> None:
        """So much audio has been taken."""
        task = self._progress.tasks[self._task]
        speed = f"{task.speed:.0f} x real time" if task.speed else ""
        self._progress.update(self._task, completed=total_seconds, speed=speed)

    def event(self, event: Event, timeline: Timeline) -> None:
        """A file has no events."""

    def done(self, timeline: Timeline) -> None:
        """The bar goes by itself."""


def talk_table(timeline: Timeline) -> Table:
    """Who spoke how long, for the end."""
    table = Table("Speaker", box=None, pad_edge=False)
    for heading in ("Talk time", "Share", "Turns"):
        table.add_column(heading, justify="right")
    talk = timeline.talk_samples()
    total = sum(talk.values()) or 1
    turns = timeline.turns()
    for speaker, samples in talk.items():
        own = sum(turn.speaker == speaker for turn in turns)
        table.add_row(
            Text(speaker), clock(seconds(samples)), f"{100 * samples / total:.0f} %", str(own)
        )
    return table


def _sides(left: Text, right: str, width: int) -> Text:
    row = left.copy()
    row.append(" " * max(1, width - left.cell_len - len(right)))
    row.append(right, "bold")
    return row


def _short(model_version: str) -> str:
    return model_version.removeprefix("models/").replace("/versions/", " ")
