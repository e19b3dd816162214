"""Shows a run of the gates as it goes on, in lines for people or of JSON."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console

from voiceflow.catalog.gates import Gate, GateResult
from voiceflow.cli.models.tables import figures_table, finding_lines, gate_line
from voiceflow.cli.printing import as_data, print_json_line


class GatesView:
    """Tells each gate's result when it comes, and at the end what was found and measured.

    Args:
        console: For people.
        progress: Of standard error, where what runs now is shown on a terminal.
        as_json: Lines of JSON instead.
    """

    def __init__(self, console: Console, progress: Console, *, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json
        self._status = progress.status("") if progress.is_terminal else None
        self._results: list[GateResult] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def started(self, gate: Gate) -> None:
        """A gate has begun."""
        if self._as_json:
            print_json_line({"gate_started": gate.value})
        if self._status is not None:
            self._status.update(f"gate {gate.value} …")
            self._status.start()

    def ended(self, result: GateResult) -> None:
        """A gate has ended."""
        self._results.append(result)
        if self._status is not None:
            self._status.stop()  # a line beside it would tear it
        if self._as_json:
            print_json_line({"gate_result": as_data(result)})
        else:
            self._console.print(gate_line(result))

    def summary(self) -> None:
        """What was found and measured; JSON has told it already."""
        if self._as_json:
            return
        figures = figures_table(self._results)
        if figures.row_count:
            self._console.print()
            self._console.print(figures)
        for result in self._results:
            for finding in result.findings:
                self._console.print()
                for line in finding_lines(finding):
                    self._console.print(line, highlight=False, markup=False, soft_wrap=True)
