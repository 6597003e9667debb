"""Tasks: what runs after the answer, on the lab's clock, under a UPID."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.lab import clock, faults
from app.lab.locks import LockTimeout
from app.lab.state import TaskRecord, World

_KEPT = 20_000
"""Finished tasks that the cluster remembers; older ones are forgotten."""


class TaskFailed(Exception):
    """The end of a task that failed; the message is its exitstatus."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


Work = Callable[["Task"], Awaitable[None]]


@dataclass(eq=False)
class Task:
    """A task at work. `about` is the id of the guest that it makes or changes."""

    world: World
    record: TaskRecord
    about: int | None = None
    stopped: bool = False
    failing: faults.TaskFault | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    job: "asyncio.Task[None] | None" = None

    def log(self, line: str) -> None:
        """Add a line to the log; lines that begin with `WARN:` make the task end with `WARNINGS: n`."""
        self.record.log.append(line)

    async def sleep(self, seconds: float) -> None:
        """Work for PVE seconds. Raises TaskFailed where someone stops the task, or a fault ends it here."""
        fault, self.failing = self.failing, None
        part = fault.share if fault else 1.0
        await clock.sleep(self.world, seconds * part, over=lambda: self.stopped)
        if self.stopped:
            raise TaskFailed("received interrupt")
        if fault:
            raise TaskFailed(fault.text)

    async def ended(self, seconds: float) -> None:
        """Wait for the end, at most so many PVE seconds and at least one real one."""
        with contextlib.suppress(TimeoutError):
            await clock.within(self.world, seconds, 1, self.done.wait())

    def stop(self) -> None:
        """Ask the task to end; it does so where it next sleeps."""
        self.stopped = True
        clock.stir(self.world)


def start(world: World, node: str, kind: str, about_id: str, who: str, work: Work, about: int | None = None) -> str:
    """Start a task; returns its UPID: nine fields, the last one empty. `who` is `user@realm` or `user@realm!token`."""
    record = _record(world, node, kind, about_id, who)
    task = Task(world, record, about)
    world.tasks[record.upid] = record
    world.running[record.upid] = task
    job = asyncio.get_running_loop().create_task(_run(task, work))
    task.job = job
    world.background.add(job)
    job.add_done_callback(world.background.discard)
    return record.upid


def _record(world: World, node: str, kind: str, about_id: str, who: str) -> TaskRecord:
    moment = clock.wall(world, node)
    world.next_pid = world.next_pid % 4_000_000 + 1
    booted = world.nodes[node].booted_at if node in world.nodes else 0
    pstart = int((clock.now(world) - booted) * 100) & 0xFFFFFFFF
    upid = f"UPID:{node}:{world.next_pid:08X}:{pstart:08X}:{int(moment):08X}:{kind}:{about_id}:{who}:"
    user, _, token = who.partition("!")
    return TaskRecord(
        upid=upid,
        node=node,
        pid=world.next_pid,
        pstart=pstart,
        starttime=int(moment),
        type=kind,
        id=about_id,
        user=user,
        tokenid=token or None,
    )


async def _run(task: Task, work: Work) -> None:
    faults.within_task.set(True)
    world, kind, about = task.world, task.record.type, task.record.id
    who = f"{task.record.user}!{task.record.tokenid}" if task.record.tokenid else task.record.user
    fault = faults.of_task(world, kind, about, who)
    try:
        if fault and fault.share == 0:
            raise TaskFailed(fault.text)
        if slowness := faults.slowness_of_task(world, kind, about, who):
            await task.sleep(slowness)
        task.failing = fault if fault and fault.share < 1 else None
        await work(task)
        if fault and (fault.share >= 1 or task.failing):
            raise TaskFailed(fault.text)
        faults.after_task(world, kind, task.about, who)
        _finish(task, _good_end(task))
    except (TaskFailed, LockTimeout) as failure:
        _finish(task, str(failure))
    except Exception as error:
        _finish(task, f"internal error of the lab: {type(error).__name__}: {error}")
        raise


def _good_end(task: Task) -> str:
    warnings = sum(line.startswith("WARN:") for line in task.record.log)
    return f"WARNINGS: {warnings}" if warnings else "OK"


def is_good(exitstatus: str | None) -> bool:
    """OK, or finished with warnings."""
    return exitstatus == "OK" or str(exitstatus).startswith("WARNINGS")


def _finish(task: Task, exitstatus: str) -> None:
    record = task.record
    record.status, record.endtime = "stopped", int(clock.wall(task.world, record.node))
    record.exitstatus = exitstatus.strip().split("\n")[0]
    record.log.append(f"TASK {exitstatus}" if is_good(exitstatus) else f"TASK ERROR: {exitstatus.strip()}")
    task.world.running.pop(record.upid, None)
    task.done.set()
    _forget_old(task.world)


def _forget_old(world: World) -> None:
    if len(world.tasks) > _KEPT:
        for upid in [upid for upid, record in world.tasks.items() if record.status == "stopped"][: _KEPT // 10]:
            world.tasks.pop(upid)


def lost(world: World) -> None:
    """After a load: tasks that ran when the lab ended have no worker any more."""
    for record in world.tasks.values():
        if record.status == "running":
            _lose(record)


def lose(world: World, node: str) -> None:
    """The workers of a node end where they are, and clean nothing up."""
    for task in [task for task in world.running.values() if task.record.node == node]:
        if task.job:
            task.job.cancel()
        world.running.pop(task.record.upid)
        _lose(task.record)
        task.done.set()


def _lose(record: TaskRecord) -> None:
    record.status, record.exitstatus, record.endtime = "stopped", "unexpected status", record.starttime
