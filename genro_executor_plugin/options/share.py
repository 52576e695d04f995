# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How many CPUs this process counts with, where several processes of one server share them.

The number stands in an environment variable, also where it was given in code or in a recipe: the
processes that a server starts find it there, and a process has one budget, as it has one machine.
"""

from __future__ import annotations

import os
import re

from ..errors import ExecutorConfigError
from .granted import granted_cpus
from .numbers import MAX_WORKERS, shown

__all__ = ["CPUS_VARIABLE", "cpu_share", "set_budget"]

CPUS_VARIABLE = "GENRO_EXECUTOR_CPUS"
"""The environment variable: ``8/4`` are eight CPUs for four processes, ``/4`` the granted ones."""

_BUDGET = re.compile(r"(\d{0,5})(?:/(\d{1,5}))?", re.ASCII)


def cpu_share() -> int:
    """How many CPUs this process counts with, at least 1.

    Raises:
        ExecutorConfigError: the environment variable says something else than a budget.
    """
    text = os.environ.get(CPUS_VARIABLE, "").strip()
    if not text:
        return granted_cpus()
    cpus, processes = _read(CPUS_VARIABLE, text)
    return max(1, (cpus or granted_cpus()) // processes)


def set_budget(budget: int | str | None) -> None:
    """Have this process, and those that it starts, count with ``budget``.

    What stands in the environment already is left there: it is the word of who runs the server.

    Raises:
        ExecutorConfigError: it is no budget.
    """
    if budget is None:
        return
    text = budget.strip() if isinstance(budget, str) else repr(budget)
    _read("executor_cpus", text)
    if not os.environ.get(CPUS_VARIABLE, "").strip():
        os.environ[CPUS_VARIABLE] = text


def _read(name: str, text: str) -> tuple[int | None, int]:
    """The CPUs and the processes that ``text`` says; ``None`` for the CPUs that are granted."""
    found = _BUDGET.fullmatch(text)
    cpus, processes = (found[1], found[2]) if found is not None else ("", None)
    numbers = [int(number) for number in (cpus, processes) if number]
    if not numbers or not all(1 <= number <= MAX_WORKERS for number in numbers):
        raise ExecutorConfigError(
            f"{name}={shown(text)} is not a number of CPUs such as '8', a number of CPUs for a "
            "number of processes such as '8/4', or '/4' for a quarter of the CPUs that are granted"
        )
    return int(cpus) if cpus else None, int(processes) if processes else 1
