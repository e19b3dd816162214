"""The parent of workers, with small processes in their place."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes import worker_process
from tests.fakes.service import in_process
from voiceflow_inference.workers import group as group_module
from voiceflow_inference.workers import worker as worker_module
from voiceflow_inference.workers.group import Group
from voiceflow_inference.workers.orders import Assignment, Ready
from voiceflow_inference.workers.worker import Worker, WorkerEnded

LIMIT_SECONDS = 60.0


class Watched(Worker):
    """A worker that tells the test what is asked of it."""

    def __init__(self, number: int, process: Process, stage: Stage) -> None:
        super().__init__(number, process)
        self.process = process
        self._stage = stage

    async def loaded(self) -> None:
        """When the test lets it."""
        try:
            await super().loaded()
        except WorkerEnded:
            self._stage.tell(f"{self.number} has failed")
            raise
        self._stage.tell(f"{self.number} loaded")
        if self.number == 1:
            await self._stage.let.wait()

    async def serves(self) -> Ready:
        """Told before and after."""
        self._stage.tell(f"{self.number} is to serve")
        ready = await super().serves()
        self._stage.tell(f"{self.number} serves")
        return ready


class Stage:
    """Starts workers, and knows them.

    Args:
        does: What each worker does, those that are started later included.

    Attributes:
        told: What has happened.
        let: Whether the second worker may be seen as loaded.
        started: Every worker that was.
    """

    def __init__(self, does: Sequence[str]) -> None:
        self.told: list[str] = []
        self.let = asyncio.Event()
        self.let.set()
        self.started: list[Watched] = []
        self._does = list(does)
        self._happened = asyncio.Event()

    async def start(self, assignment: Assignment) -> Worker:
        """The next one."""
        does = self._does.pop(0)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-E", str(Path(worker_process.__file__))),
            stdin=PIPE,
            stdout=PIPE,
        )
        assert process.stdin is not None
        line = assignment.model_copy(update={"settings": {"does": does}}).line()
        process.stdin.write(line)
        worker = Watched(assignment.number, process, self)
        self.started.append(worker)
        self.tell(f"{worker.number} is started")
        return worker

    def newest(self, number: int) -> Watched:
        """The worker of that number that was started last."""
        return [worker for worker in self.started if worker.number == number][-1]

    def tell(self, what: str) -> None:
        """It has happened."""
        self.told.append(what)
        self._happened.set()

    async def hears(self, what: str, times: int = 1) -> None:
        """Waits until it has happened so often."""
        while self.told.count(what) < times:
            self._happened.clear()
            await self._happened.wait()

    def say_ready(self, address: str, model: str) -> None:
        """The group is."""
        assert (address, model) == ("127.0.0.1:5", "models/m/versions/1.0.0")
        self.tell("ready")


@asynccontextmanager
async def running(
    *does: str, grace_seconds: float = LIMIT_SECONDS
) -> AsyncIterator[tuple[Group, Stage, asyncio.Task[int]]]:
    """A group of two that do so; it is to end in the block."""
    settings = in_process(workers=2, grace_seconds=grace_seconds)
    stage = Stage(does)
    assignments = [
        Assignment(settings={}, number=number, port=5, health_port=None, keys="")
        for number in range(2)
    ]
    group = Group(assignments, settings, stage.say_ready, stage.start)
    async with asyncio.timeout(LIMIT_SECONDS):
        task = asyncio.create_task(group.run())
        try:
            yield group, stage, task
        finally:
            for worker in stage.started:
                worker.kill()
            await asyncio.gather(task, return_exceptions=True)


async def test_ctrl_c_is_for_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal's signals reach no worker: the parent tells each what to do."""
    monkeypatch.setattr(worker_module, "_CHILD", worker_process.__name__)
    settings = {"does": "serve"}
    worker = await Worker.start(
        Assignment(settings=settings, number=3, port=5, health_port=None, keys="")
    )
    pid = int(str(worker).removeprefix("worker 3 (process ").removesuffix(")"))
    async with asyncio.timeout(LIMIT_SECONDS):
        await worker.loaded()
        assert os.getpgid(pid) == pid
        assert (await worker.serves()).address == "127.0.0.1:5"
        worker.end()
        assert await worker.ended() == 0


async def test_nobody_is_answered_before_all_are_warm() -> None:
    """Then all serve, then the group is ready, and then it drains with status 0."""
    async with running("serve", "serve") as (group, stage, task):
        stage.let.clear()
        await stage.hears("0 loaded")
        await stage.hears("1 loaded")
        stage.tell("let")
        stage.let.set()
        await stage.hears("ready")
        after = stage.told[stage.told.index("let") + 1 :]
        assert sorted(after[:2]) == ["0 is to serve", "1 is to serve"]
        assert sorted(after[2:4]) == ["0 serves", "1 serves"]
        assert after[4:] == ["ready"]
        group.end()
        assert await task == 0


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("fail", "cannot serve: there is no model\n"),
        ("crash", "cannot serve: worker 1 (process {pid}) has ended with SIGKILL\n"),
    ],
)
async def test_one_that_cannot_begin_ends_all(
    does: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """With what it said, once, and status 1; nothing was ever ready."""
    async with running("serve", does) as (_, stage, task):
        assert await task == 1
        assert "ready" not in stage.told
        pid = stage.newest(1).process.pid
        assert capfd.readouterr().err == said.format(pid=pid)
        assert all(worker.process.returncode is not None for worker in stage.started)


async def test_one_that_ends_is_replaced_while_the_others_go_on() -> None:
    """By one that begins as it did."""
    async with running("serve", "serve", "serve") as (group, stage, task):
        await stage.hears("ready")
        stage.newest(0).kill()
        await stage.hears("0 serves", times=2)
        assert stage.told.count("1 is started") == 1
        assert stage.newest(1).process.returncode is None
        group.end()
        assert await task == 0


async def test_one_that_cannot_be_replaced_now_is_no_cause_to_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is tried again; an end that comes before is as good as any."""
    async with running("serve", "serve", "fail") as (group, stage, task):
        await stage.hears("ready")
        stage.newest(0).kill()
        await stage.hears("0 has failed")
        assert not task.done()
        group.end()
        assert await task == 0
    assert "has ended with SIGKILL; the others go on" in caplog.text
    assert "has ended with exit code 1: cannot serve: there is no model" in caplog.text


async def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace period and some; that is no good end."""
    monkeypatch.setattr(group_module, "OVERTIME_SECONDS", 0.0)
    async with running("stay", "serve", grace_seconds=1e-3) as (group, stage, task):
        await stage.hears("ready")
        group.end()
        assert await task == 1
        assert stage.newest(0).process.returncode == -signal.SIGKILL


async def test_a_second_signal_ends_all_at_once() -> None:
    """Whatever they are at."""
    async with running("stay", "stay") as (group, stage, task):
        await stage.hears("ready")
        group.end()
        while not group.draining:  # noqa: ASYNC110 a task of its own begins it
            await asyncio.sleep(0)
        group.end()
        assert await task == 1


async def test_an_end_while_they_load_ends_them() -> None:
    """With status 0: that was asked for."""
    async with running("serve", "serve") as (group, stage, task):
        stage.let.clear()
        await stage.hears("0 loaded")
        await stage.hears("1 loaded")
        group.end()
        assert await task == 0
        assert "ready" not in stage.told
