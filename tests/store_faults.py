# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The store of long jobs while single system calls fail, or the process is killed at one of them.

``python -m tests.store_faults [--sample N]``; ``tox run -e store-faults`` tries every call, the
test suite a few. It needs ``strace``, and the right to trace.

A process opens a store and takes a fixed row of steps; before and after each one it tells what it
asks for and what came. One run counts the system calls that change files. Then, for each of them,
there is one run for each fault: it fails once with EIO, with ENOSPC or with EINTR, or the process
is killed there. Afterwards another process opens the store and looks: what was told is there, what
was refused is not, no job could begin twice, and the store takes new jobs.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genro_executor_plugin import TaskState, TaskStatus
from genro_executor_plugin.tasks.status import Progress, TaskFailure
from genro_executor_plugin.tasks.store import TaskStore
from genro_executor_plugin.tasks.store.attempts import Ran

__all__ = ["lacking"]

CALLS = (
    *("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate"),
    *("openat", "unlink", "rename", "mkdir", "chmod", "fchmod", "flock"),
)
"""The system calls that fail; those of SQLite, and those of the store's other files."""

FAULTS = ("error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL")

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one process has told of its steps.

    Attributes:
        fault: the system call that failed, which one of its kind and how.
        told: what was told last of each step: ``asked``, ``told``, ``not taken`` or ``refused``.
        status: how the process ended, as ``os.waitstatus_to_exitcode`` has it.
        calls: how many system calls of each kind there were; in the run that counts.
    """

    fault: str
    told: dict[str, str]
    status: int
    calls: Counter[str]


@dataclass(frozen=True, slots=True)
class _Call:
    """What is stored of a new job."""

    content: bytes
    client: str = ""
    fingerprint: str = ""
    arguments: str = "keep"


# -- the process that takes the steps -------------------------------------------------------------


def _job(name: str, **changes: Any) -> TaskStatus:
    job = TaskStatus(name, TaskState.QUEUED, "job", "pool", submitted_at=1.0, keep=1e6)
    return replace(job, **changes)


def _steps(store: TaskStore) -> dict[str, Callable[[], Future[Any]]]:
    """The steps by their names, which say what is there when they were taken."""
    done = _job("one", state=TaskState.SUCCEEDED, ended_at=3.0)
    failed = _job(
        "two", state=TaskState.FAILED, ended_at=4.0, failure=TaskFailure("ValueError", "no", "")
    )
    small, large = _Call(b"call"), _Call(b"c" * 9_000)
    return {
        "add one": lambda: store.add(_job("one"), large, 2.0),
        "add two": lambda: store.add(_job("two"), small, 2.0),
        "add three": lambda: store.add(_job("three"), small, 2.0),
        "claim one": lambda: store.claim("one", 2.5),
        "progress one": lambda: store.note_progress(
            _job("one", progress=Progress(0.5, "half", {}, 2.6))
        ),
        "claim two": lambda: store.claim("two", 2.7),
        "end one": lambda: store.end(done, "result", b"r" * 9_000),
        "put back two": lambda: store.put_back("two", None, None, Ran("failed")),
        "cancel three": lambda: store.cancel_queued("three", 3.0),
        "claim two again": lambda: store.claim("two", 3.5),
        "end two": lambda: store.end(failed, "exception", b"error"),
        "mark two": lambda: store.mark_seen("two", "ann", 4.5),
        "forget one": lambda: store.remove("one"),
        "add four": lambda: store.add(_job("four"), large, 5.0),
        "claim four": lambda: store.claim("four", 5.5),
        "add five": lambda: store.add(_job("five", repeatable=True), small, 6.0),
        "claim five": lambda: store.claim("five", 6.5),
        "add six": lambda: store.add(_job("six"), small, 7.0),
    }


def _take_steps(folder: Path, line: socket.socket) -> None:
    """Take every step, and tell of each over ``line``, which no fault can strike."""

    def tell(step: str, how: str) -> None:
        line.send(f"{step}:{how}\n".encode())

    store = TaskStore(folder / "store", folder / "key")
    tell("open", "asked")
    try:
        store.open().result(PATIENCE_SECONDS)
    except Exception as error:
        tell("open", f"refused {type(error).__name__}: {error}".replace("\n", " "))
        return
    tell("open", "told")
    for name, step in _steps(store).items():
        tell(name, "asked")
        try:
            result = step().result(PATIENCE_SECONDS)
        except Exception as error:
            tell(name, f"refused {type(error).__name__}: {error}".replace("\n", " "))
            continue
        taken = name.startswith("progress") or result not in (None, False)
        tell(name, "told" if taken else "not taken")
    store.close()
    tell("close", "told")


# -- the run under a fault ------------------------------------------------------------------------


def lacking() -> str:
    """Why a process cannot be traced here; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with subprocess.Popen(["sleep", "60"]) as traced:
        tracer = subprocess.Popen(
            ["strace", "-o", "/dev/null", "-p", str(traced.pid)], stderr=subprocess.PIPE, text=True
        )
        with tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline().strip()
            traced.kill()
    return "" if "attached" in said else said


def _run(folder: Path, fault: str, options: list[str]) -> Run:
    """One run; ``strace`` with ``options`` looks at it from its first step on."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ours.close()
            theirs.recv(1)
            _take_steps(folder, theirs)
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    log = folder / "strace"
    with subprocess.Popen(
        ["strace", "-f", "-o", str(log), *options, "-p", str(pid)],
        stderr=subprocess.PIPE,
        text=True,
    ) as tracer:
        assert tracer.stderr is not None
        try:
            line = tracer.stderr.readline()
            if "attached" not in line:
                raise RuntimeError(f"strace cannot look at a process: {line}")
            ours.send(b".")
            text = b""
            while piece := ours.recv(65536):
                text += piece
        finally:
            ours.close()
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            tracer.wait(PATIENCE_SECONDS)
    told: dict[str, str] = {}
    for row in text.decode().splitlines():
        step, how = row.split(":", 1)
        told[step] = how
    calls = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE))
    return Run(fault, told, os.waitstatus_to_exitcode(status), calls)


def counted(folder: Path) -> Counter[str]:
    """How often the steps make each of ``CALLS``, in a run in which none fails."""
    run = _run(folder, "", ["-e", f"trace={','.join(CALLS)}"])
    wrong = [f"{step}: {how}" for step, how in run.told.items() if how != "told"]
    if wrong or run.status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the steps fail without a fault: {wrong}, exit status {run.status}")
    return run.calls


def faulty_run(folder: Path, call: str, number: int, how: str) -> Run:
    """A run in which the ``number``-th ``call`` of a thread fails as ``how`` says, and no other."""
    inject = f"inject={call}:{how}:when={number}"
    return _run(folder, f"{call} {number} {how}", ["-e", f"trace={call}", "-e", inject])


# -- what has to be true afterwards ---------------------------------------------------------------


def problems(folder: Path, run: Run) -> list[str]:
    """What is wrong in the store after ``run``; looked at by a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            found = _problems(folder, run.told)
        except BaseException as error:
            found = [f"the store does not open: {type(error).__name__}: {error}"]
        os.write(writing, "\n".join(found).encode())
        os._exit(0)
    os.close(writing)
    text = b""
    while piece := os.read(reading, 65536):
        text += piece
    os.close(reading)
    os.waitpid(pid, 0)
    return [f"{run.fault}: {line}" for line in text.decode().splitlines()]


def _problems(folder: Path, told: dict[str, str]) -> list[str]:
    store = TaskStore(folder / "store", folder / "key")
    recovered = store.open().result(PATIENCE_SECONDS)
    found = [f"damage: {text}" for text in recovered.damage]
    waiting = {status.task_id for status in recovered.waiting}
    for name in ("one", "two", "three", "four", "five", "six"):
        job = store.status(name).result(PATIENCE_SECONDS)
        kept = len(store.attempts(name).result(PATIENCE_SECONDS))
        found += _wrong(name, job, kept, told, waiting)
        if job is not None and job.state is TaskState.SUCCEEDED:
            outcome = store.outcome(name).result(PATIENCE_SECONDS)
            if outcome is None or outcome[1] != b"r" * 9_000:
                found.append(f"{name} has succeeded, and its result is not what it was")
        if job is not None and job.state is TaskState.QUEUED:
            claim = store.claim(name, 9.0).result(PATIENCE_SECONDS)
            if claim is None or claim.call is None:
                found.append(f"{name} waits and cannot be run: {claim and claim.damage}")
    new = store.add(_job("new"), _Call(b"call"), 9.0).result(PATIENCE_SECONDS)
    if new != (None, None):
        found.append(f"a new job is not taken: {new}")
    store.close()
    return found


def _wrong(
    name: str, job: TaskStatus | None, kept: int, told: dict[str, str], waiting: set[str]
) -> list[str]:
    """What is wrong with the job ``name``, of which ``kept`` attempts are in the store."""

    def was(step: str) -> bool:
        return told.get(step) == "told"

    def perhaps(step: str) -> bool:
        """Whether the process ended before it knew."""
        return told.get(step) in ("told", "asked")

    if job is None:
        lost = was(f"add {name}") and not (name == "one" and perhaps("forget one"))
        return [f"{name} was accepted and is gone"] if lost else []
    wrong = []
    if not perhaps(f"add {name}"):
        wrong.append(f"{name} was refused or never asked for, and is there: {job.state}")
    if name == "one" and was("forget one"):
        wrong.append("one was forgotten and is there")
    ended = {"one": "end one", "two": "end two", "three": "cancel three"}.get(name, "")
    final = {
        "one": TaskState.SUCCEEDED, "two": TaskState.FAILED, "three": TaskState.CANCELLED,
    }.get(name)  # fmt: skip
    if was(ended) and job.state is not final:
        wrong.append(f"{name} was told to be {final} and is {job.state}")
    if job.state is final and not perhaps(ended):
        wrong.append(f"{name} is {final}, and that was refused")
    begun = was(f"claim {name}") or was("claim two again" if name == "two" else "-")
    put_back = name == "two" and perhaps("put back two") and not was("claim two again")
    may_run = not begun or name == "five" or put_back
    if job.state is TaskState.QUEUED and not may_run:
        wrong.append(f"{name} has begun, and would begin once more")
    if begun and job.attempts < 1:
        wrong.append(f"{name} has begun, and no attempt is counted")
    if job.state is not TaskState.QUEUED and kept != job.attempts:
        wrong.append(f"{name} has had {job.attempts} attempts, and {kept} are kept")
    if (job.state is TaskState.QUEUED) != (name in waiting):
        wrong.append(
            f"{name} is {job.state}, and was found {'' if name in waiting else 'not '}waiting"
        )
    return wrong


# -- all of them ----------------------------------------------------------------------------------


def main() -> int:
    """Strike the system calls that were chosen; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.store_faults", description=__doc__)
    parser.add_argument("--sample", type=int, help="strike so many of them, chosen by chance")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = parser.parse_args()
    if reason := lacking():
        print(f"nothing was tried: {reason}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="store-faults-") as folder:
        calls = counted(Path(folder))
    places = [
        (call, number, how)
        for call in CALLS
        for number in range(1, calls[call] + 1)
        for how in FAULTS
    ]
    if chosen.sample is not None:
        places = random.Random(chosen.seed).sample(places, chosen.sample)
    began, refused, cut_off = time.monotonic(), 0, 0
    wrong: list[str] = []
    for call, number, how in places:
        with tempfile.TemporaryDirectory(prefix="store-faults-") as folder:
            run = faulty_run(Path(folder), call, number, how)
            wrong += problems(Path(folder), run)
        refused += any(how.startswith("refused") for how in run.told.values())
        cut_off += run.told.get("close") != "told"
    print(
        f"{len(places)} runs (seed {chosen.seed}), one fault in each: a step was refused in "
        f"{refused}, {cut_off} did not come to their end, {time.monotonic() - began:.0f} s. "
        f"{len(wrong)} problems"
    )
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
