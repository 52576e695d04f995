# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers that start processes, which then must not outlive the handler's worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worker_functions import hold

STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "open(sys.argv[1], 'w').close(); time.sleep(600)"
)


def start_program(folder: str) -> int:
    """A program, as a converter of documents would be."""
    return subprocess.Popen(["sleep", "600"]).pid


def start_shell(folder: str) -> int:
    """A program that starts another one."""
    return subprocess.Popen(["sh", "-c", f"sleep 600 & echo $! > {folder}/inner; wait"]).pid


def start_session(folder: str) -> int:
    """A program that is taken out of the worker's process group."""
    return subprocess.Popen(["sleep", "600"], start_new_session=True).pid


def start_stubborn(folder: str) -> int:
    """A program that ignores being asked to end."""
    ready = Path(folder, "ready")
    process = subprocess.Popen([sys.executable, "-S", "-c", STUBBORN, str(ready)])
    while not ready.exists():
        time.sleep(0.005)
    return process.pid


def start_daemon(folder: str) -> int:
    """A daemon: its parent has ended, and it leads no session and has no terminal."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            os.close(write)
            signal.pause()
        os.write(write, b"%d" % daemon)
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(read, 20))
    os.close(read)
    os.close(write)
    return pid


KINDS = (start_program, start_shell, start_session, start_daemon)


def start_each(folder: str, more: tuple[Callable[[str], int], ...] = ()) -> list[int]:
    """Start one process of each kind, and ``more``; the pids of all."""
    pids = [start(folder) for start in (*KINDS, *more)]
    inner = Path(folder, "inner")
    while not (inner.exists() and inner.read_text().endswith("\n")):
        time.sleep(0.005)
    pids.append(int(inner.read_text()))
    Path(folder, "pids").write_text(" ".join(map(str, pids)))
    return pids


def start_each_and_hold(folder: str, gate: str) -> None:
    start_each(folder)
    hold(gate)


def start_stubborn_and_hold(folder: str, gate: str) -> None:
    start_each(folder, (start_stubborn,))
    hold(gate)


def start_each_and_crash(folder: str) -> None:
    start_each(folder)
    os.kill(os.getpid(), signal.SIGSEGV)


async def start_each_in_a_coroutine(folder: str, gate: str) -> None:
    start_each_and_hold(folder, gate)


def group() -> tuple[int, int]:
    return os.getpid(), os.getpgrp()


def signal_my_group() -> None:
    os.kill(0, signal.SIGKILL)


def descriptors_of_a_program() -> list[str]:
    """What a program that is started with all descriptors of the worker has open."""
    code = (
        "import os\n"
        "for fd in os.listdir('/proc/self/fd'):\n"
        "    try: print(os.readlink(f'/proc/self/fd/{fd}'))\n"
        "    except OSError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], close_fds=False, capture_output=True, text=True
    )
    return done.stdout.split()


def descriptors_of_a_program_with(large: bytes) -> list[str]:
    return descriptors_of_a_program()


def blocked_signals() -> list[int]:
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def end_a_program() -> int:
    """The exit code of a program that was asked to end."""
    process = subprocess.Popen(["sleep", "600"])
    process.terminate()
    return process.wait()
