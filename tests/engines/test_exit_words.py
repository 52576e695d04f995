# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is said of a worker that has ended: signal, exit code, and whether memory ran out."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import worker_functions as wf

from genro_executor_plugin import ProcessExecutor, WorkerCrashedError
from genro_executor_plugin.engines.process.exit_report import BROKEN_LOOP, ExitReport
from genro_executor_plugin.engines.process.oom import oom_kills, why_sigkill

MEMORY_TOTAL = 1000 * 2**20


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The root folder of a machine whose kernel has ended 3 processes for lack of memory."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: {MEMORY_TOTAL // 1024} kB\n")
    (tmp_path / "proc" / "vmstat").write_text("pgfault 7\noom_kill 3\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("")
    (tmp_path / "proc" / "self" / "mountinfo").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("before", "peak", "words"),
    [
        (2, 0, "memory ran out: the kernel has ended a process for it since this one was started"),
        (1, 0, "memory ran out: the kernel has ended 2 processes for it"),
        (3, MEMORY_TOTAL * 0.9, "perhaps memory ran out: it held 900 MB of the 1000 MB"),
        (3, 2**20, "something outside of this pool ended it, such as kill -9; memory did not"),
        (None, 0, "something outside of this pool ended it, such as kill -9; memory did not"),
    ],
)
def test_memory_is_named_where_something_points_at_it(
    machine: Path, before: int | None, peak: float, words: str
) -> None:
    assert oom_kills(machine) == 3
    assert why_sigkill(before, int(peak), machine).startswith(words)


def test_without_a_counter_both_are_possible(machine: Path) -> None:
    (machine / "proc" / "vmstat").unlink()
    assert oom_kills(machine) is None
    assert why_sigkill(None, 0, machine).endswith("or the system because memory ran out")


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (ExitReport(3), "exit code 3"),
        (ExitReport(0), "exit code 0 (it ended by itself; did the call use os._exit?)"),
        (ExitReport(BROKEN_LOOP), "exit code 71 (a coroutine closed the worker's event loop"),
        (ExitReport(-signal.SIGSEGV), "signal SIGSEGV (native code touched memory"),
        (ExitReport(-signal.SIGBUS), "signal SIGBUS (native code touched memory that is not"),
        (ExitReport(-signal.SIGTERM), "signal SIGTERM (another process asked it to end)"),
        (ExitReport(-63), "signal 63"),
        (ExitReport(None), "how is not known"),
        (ExitReport(None, reason="no room"), "no room"),
        (ExitReport(-9, cut_off=True), "its connection to the server had ended"),
        (ExitReport(1, 50 * 2**20), "exit code 1; its peak memory was 50 MB"),
    ],
)
def test_how_a_worker_ended_in_words(report: ExitReport, words: str) -> None:
    assert words in report.in_words()


async def test_a_killed_worker_is_not_said_to_lack_memory() -> None:
    """The error has the signal, the exit code, the peak, and nothing that is a guess."""
    pool = ProcessExecutor("pool", max_workers=1)
    try:
        with pytest.raises(WorkerCrashedError) as caught:
            await pool.submit(wf.raise_signal, int(signal.SIGKILL))
        error = caught.value
        assert error.exit_code == -signal.SIGKILL
        assert error.pid not in (None, os.getpid())
        assert error.peak_memory
        assert "signal SIGKILL (something outside of this pool ended it, such as kill -9" in str(
            error
        )
        assert "its peak memory was" in str(error)
    finally:
        await pool.shutdown()
