# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Tells agents how far their records and progress are handled here; they send no more than that.

``agent/outbound.py`` is the other side, and says how many records it has dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from ...remote.messages import Kind
from ..process.arrivals import Arrivals
from .agents import Agent

__all__ = ["Intake"]

_logger = logging.getLogger("genro_executor_plugin")

_TELL_EVERY = 64
"""After so many an agent is told, or else when it is looked at."""

_QUIET_SECONDS = 10.0
"""How long nothing more is logged of an agent that drops records."""


class Intake:
    """Follows what the agents of one pool send."""

    def __init__(self, pool: str, arrivals: Arrivals, tell: Callable[..., bool]) -> None:
        self._pool, self._arrivals, self._tell = pool, arrivals, tell

    def took(self, agent: Agent, number: int, dropped: int = 0) -> None:
        """Take in that ``number`` has come, and that ``dropped`` records never will."""
        agent.heard = max(agent.heard, number)
        agent.dropped += dropped
        agent.untold += dropped
        if agent.heard >= agent.asked + _TELL_EVERY:
            self._ask(agent)

    def look(self, agent: Agent, now: float) -> None:
        """Tell ``agent`` what may not have been told, and the log what it has dropped."""
        if agent.heard > agent.asked:
            self._ask(agent)
        elif agent.heard and agent.running:
            self._tell(agent.name, Kind.HANDLED, agent.handled, agent.heard)  # it may be lost
        if agent.untold and now - agent.told_at > _QUIET_SECONDS:
            _logger.warning(
                "pool %r: %s has dropped %d log records of its calls, %d in all: more are made "
                "there than are handled here. Log less there, or use faster handlers here",
                *(self._pool, agent, agent.untold, agent.dropped),
            )
            agent.untold, agent.told_at = 0, now

    def _ask(self, agent: Agent) -> None:
        agent.asked = agent.heard
        self._arrivals.records.behind(partial(self._handled, agent, agent.heard))

    def _handled(self, agent: Agent, number: int) -> None:
        agent.handled = max(agent.handled, number)
        self._tell(agent.name, Kind.HANDLED, agent.handled, agent.heard)
