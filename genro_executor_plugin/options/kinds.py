# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A kind of pool, as far as options are concerned: what it can do, and what it takes.

The kinds themselves are in ``executors/``; the options of a pool are checked against a ``Kind``
without starting, or even importing, anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .capabilities import Capability

__all__ = ["EngineOption", "Kind"]

REQUIRED: Any = object()
"""The default of an option that has to be given."""


@dataclass(frozen=True, slots=True)
class EngineOption:
    """An option that one kind of pool has beside those of every pool.

    Attributes:
        check: returns a given value in its normal form, or raises ``ValueError`` with a text
            that says what to give, such as ``"give a host name"``.
        default: the value when the option is not given; without one it has to be given.
    """

    check: Callable[[Any], Any]
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        """Whether the option has to be given."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pool: its name, what it can do, and what it takes.

    Attributes:
        name: as in messages, such as ``"thread"``.
        capabilities: what it can do.
        default_workers: returns ``max_workers`` where none is given.
        own_options: the options that only this kind has, by name.
    """

    name: str
    capabilities: frozenset[Capability]
    default_workers: Callable[[], int]
    own_options: Mapping[str, EngineOption] = field(default_factory=dict)

    def why_not(self, option: str) -> str | None:
        """Return why this kind cannot keep ``option``, ``None`` if it can."""
        needed = _NEEDS.get(option)
        return None if needed is None or needed in self.capabilities else _LACKS[needed]

    def why_no_timeout(self, abandons: bool) -> str | None:
        """Return why this kind cannot keep a ``timeout``, ``None`` if it can.

        Args:
            abandons: whether the pool leaves alone a run that is over its timeout.
        """
        if Capability.KILLS in self.capabilities or abandons:
            return None
        if Capability.ABANDONS in self.capabilities:
            return (
                "a thread cannot be killed. Use a process pool, or declare the pool with "
                "abandon_on_timeout=True: the caller then gets its error in time, and the slot "
                "stays taken until the thread is done"
            )
        return "what it runs cannot be ended. Use a process pool"


_NEEDS: Mapping[str, Capability] = {
    "abandon_on_timeout": Capability.ABANDONS,
    "context": Capability.CONTEXT,
    "cpu_affinity": Capability.PROCESSES,
    "env": Capability.PROCESSES,
    "finalizer": Capability.INITIALIZES,
    "gpus": Capability.PROCESSES,
    "idle": Capability.STREAMS,
    "send_timeout": Capability.STREAMS,
    "idle_timeout": Capability.WORKERS,
    "initargs": Capability.INITIALIZES,
    "initializer": Capability.INITIALIZES,
    "key": Capability.KEYS,
    "key_serial": Capability.KEYS,
    "max_lifetime": Capability.RECYCLES,
    "max_memory_per_child": Capability.RECYCLES,
    "max_tasks_per_child": Capability.RECYCLES,
    "memory_limit": Capability.PROCESSES,
    "min_workers": Capability.WORKERS,
    "nice": Capability.PROCESSES,
    "on_cancel": Capability.KILLS,
    "oom_score_adj": Capability.PROCESSES,
    "preload": Capability.PRELOADS,
    "retries": Capability.ISOLATES,
    "soft_timeout": Capability.INTERRUPTS,
    "start_method": Capability.PROCESSES,
    "start_timeout": Capability.WORKERS,
    "threads_per_worker": Capability.PROCESSES,
    "user": Capability.PROCESSES,
    "warm": Capability.WORKERS,
}
"""What a kind must be able to do so that it can keep an option."""

_LACKS: Mapping[Capability, str] = {
    Capability.ABANDONS: "a run that is over its timeout is not left alone",
    Capability.CONTEXT: "context variables do not travel with its calls",
    Capability.INITIALIZES: "its workers run no code of the pool's own",
    Capability.INTERRUPTS: "what it runs cannot be interrupted",
    Capability.ISOLATES: "a call in it does not crash alone",
    Capability.KEYS: "its calls do not choose who runs them. Use a process pool",
    Capability.KILLS: "what it runs cannot be ended",
    Capability.STREAMS: "its calls answer at once, and not in chunks",
    Capability.PRELOADS: "its workers import nothing ahead of their calls",
    Capability.PROCESSES: "it has no worker processes on this machine",
    Capability.RECYCLES: "it does not replace its workers",
    Capability.WORKERS: "it has no worker processes of its own",
}
"""Why a kind without a capability cannot keep the options that need it."""
