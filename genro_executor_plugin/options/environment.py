# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The environment variables of a pool's workers: those that are given, and the usual limits.

Values may be secrets: they go to the workers and are never shown. What is shown are the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["INDEX", "NO_VARIABLES", "THREAD_VARIABLES", "WorkerEnvironment", "thread_limits"]

INDEX = "{index}"
"""In a value: the index of the worker, from 0 on."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What numerical libraries read to learn how many threads of their own they may start. Where
nothing is said, each starts one for every CPU of the machine: in every worker."""


@dataclass(frozen=True, slots=True, repr=False)
class WorkerEnvironment:
    """Environment variables by name, in the order in which they were given.

    Attributes:
        pairs: names and values; a value may contain ``{index}``.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, str]) -> WorkerEnvironment:
        """The variables in ``given``."""
        return cls(tuple(given.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the variables."""
        return tuple(name for name, _ in self.pairs)

    @property
    def is_indexed(self) -> bool:
        """Whether a value differs from worker to worker."""
        return any(INDEX in value for _, value in self.pairs)

    def of_all(self) -> dict[str, str]:
        """The variables that are the same in every worker."""
        return {name: value for name, value in self.pairs if INDEX not in value}

    def of_one(self, index: int) -> dict[str, str]:
        """The variables of worker ``index`` that are its own."""
        return {
            name: value.replace(INDEX, str(index)) for name, value in self.pairs if INDEX in value
        }

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: ...' for name in self.names)}}}"


NO_VARIABLES = WorkerEnvironment()
"""For a pool that gives its workers no variables of their own."""


def thread_limits(cpus: int, workers: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """What ``THREAD_VARIABLES`` are set to, so that all workers together use ``cpus`` CPUs.

    Nothing that is set in ``inherited`` is changed. ``OMP_NUM_THREADS`` counts for all of them
    there: the libraries fall back to it, so the others would override it.
    """
    if THREAD_VARIABLES[0] in inherited:
        return {}
    threads = str(max(1, cpus // workers))
    return {name: threads for name in THREAD_VARIABLES if name not in inherited}
