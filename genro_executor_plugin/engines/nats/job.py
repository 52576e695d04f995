# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A call on its way to another machine."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any

from ..process.job import Job

__all__ = ["RemoteJob"]


class RemoteJob(Job):
    """A job for an agent.

    Attributes:
        module: the module of its function.
        number: the number under which it was sent last, 0 before.
        agent: the name of the agent that it was sent to, ``""`` before.
    """

    __slots__ = ("agent", "module", "number")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.module: str = _module_of(self.owner.func)
        self.number: int = 0
        self.agent: str = ""

    @property
    def ran_by(self) -> tuple[int | None, str]:
        """The agent that has run it last; the agent knows in which of its processes."""
        return None, self.agent

    def sent_to(self, agent: str, number: int) -> None:
        """Note where it was sent."""
        self.agent, self.number = agent, number
        self.begins()


def _module_of(func: Any) -> str:
    """The name of the module that ``func`` is from."""
    while type(func) is partial:
        func = func.func
    if type(func) is MethodType:
        func = func.__func__
    module = getattr(func, "__module__", None) or type(func).__module__
    return module if isinstance(module, str) else ""
