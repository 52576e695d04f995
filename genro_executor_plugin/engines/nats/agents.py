# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The agents of one pool, as a server knows them, and which of them a call goes to."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ...remote.messages import Announcement
from ...remote.versions import CodeVersion
from .job import RemoteJob

__all__ = ["Agent", "AgentTable"]

ABSENT_SECONDS = 1.5
"""How long NATS may say that an agent does not listen before it is given up: when a server of NATS
has been started anew, agents come back one after the other."""

_FEW = 3
"""Of many agents, so many are looked at for a call. What is known of an agent is old where many
servers share it: with more, all of them would choose those that were free a moment ago
(``python -m benchmarks.credits``)."""

_MANY = 16
"""Up to so many agents, all of them are looked at."""


@dataclass(eq=False)
class Agent:
    """One agent.

    Attributes:
        name: identifies it.
        said: what it has said of itself last.
        code: what code it has.
        difference: how its code differs from this server's, ``""`` if it does not, ``None`` before
            it was compared.
        heard_at: when something came from it last, by the event loop's clock.
        absent_at: since when NATS says that it does not listen, ``None`` while it does.
        free: how many calls it would begin now, as far as is known.
        granted: how many places it keeps for this server.
        wanted: whether it knows that this server waits for a place.
        running: the calls that were sent to it and are not answered, by their numbers.
        left: numbers of calls that go on there, and whose callers have gone.
        since: the first number that it may answer: what had lower ones was given up before.
        highest: the highest number that was sent to it.
        unsettled: whether it may keep answers that have arrived here.
        round_trip: seconds to it and back, ``None`` before that was measured.
        clock: seconds by which its clock is ahead of this one's, ``None`` before.
        calls: how many calls it was sent.
        heard: the number of the last record or progress that has come from it.
        asked: up to which of these numbers it is being found out when they are handled.
        handled: up to which of these numbers they are handled.
        dropped: how many records it has dropped.
        untold: of how many of these nothing was logged yet.
        told_at: when something was.
    """

    name: str
    said: Announcement
    code: CodeVersion
    heard_at: float
    since: int = 1
    difference: str | None = None
    absent_at: float | None = None
    free: int = 0
    granted: int = 0
    wanted: bool = False
    running: dict[int, RemoteJob] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    highest: int = 0
    unsettled: bool = False
    round_trip: float | None = None
    clock: float | None = None
    calls: int = 0
    heard: int = 0
    asked: int = 0
    handled: int = 0
    dropped: int = 0
    untold: int = 0
    told_at: float = float("-inf")

    def __str__(self) -> str:
        return f"{self.said.host} (agent {self.name}, pid {self.said.pid})"

    @property
    def usable(self) -> bool:
        """Whether it may be sent calls."""
        return self.said.serves and self.absent_at is None and self.difference == ""

    @property
    def load(self) -> float:
        """Which part of its places is taken."""
        return 1.0 - self.free / max(1, self.said.places)


class AgentTable:
    """The agents that have been heard of lately."""

    def __init__(self, code: CodeVersion, lost_after: float) -> None:
        self._code = code
        self._lost_after = lost_after
        self._agents: dict[str, Agent] = {}
        self._names: list[str] = []
        self.digests: dict[str, str | None] = {}

    def all(self) -> list[Agent]:
        """Every agent that is known now."""
        return list(self._agents.values())

    def __len__(self) -> int:
        return len(self._agents)

    def get(self, name: str) -> Agent | None:
        """The agent ``name``, ``None`` if it is not known."""
        return self._agents.get(name)

    def announced(self, name: str, said: Announcement, now: float, since: int) -> Agent:
        """Take in what agent ``name`` says of itself; calls from number ``since`` on may follow."""
        agent = self._agents.get(name)
        if agent is None or agent.code.as_dict() != said.code:
            code = CodeVersion.from_dict(said.code)
            agent = self._agents[name] = Agent(name, said, code, now, since)
            # It may have been given up and still run calls, or keep answers, of that time.
            agent.highest, agent.unsettled = since - 1, True
            self._names = list(self._agents)
        agent.said, agent.free = said, said.free
        agent.heard_at, agent.absent_at = now, None
        self.compare(agent)
        return agent

    def compare(self, agent: Agent) -> None:
        """Note how the code of ``agent`` differs, once the digests of its modules are known."""
        if agent.difference is None and agent.code.modules.keys() <= self.digests.keys():
            agent.difference = self._code.difference(agent.code, self.digests)

    def unknown_modules(self) -> set[str]:
        """The modules that agents name, and whose digests are not known here."""
        named = {module for agent in self._agents.values() for module in agent.code.modules}
        return named - self.digests.keys()

    def remove(self, agent: Agent) -> None:
        """Forget ``agent``, which is gone."""
        self._agents.pop(agent.name, None)
        self._names = list(self._agents)

    def choose(self, module: str) -> Agent | None:
        """The agent with a place for a function of ``module`` that has least to do; or ``None``."""
        if len(self._names) > _MANY:
            some = [self._agents[name] for name in random.sample(self._names, _FEW)]
            chosen = self._best(some, module)
            if chosen is not None:
                return chosen
        return self._best(self._agents.values(), module)

    @staticmethod
    def _best(agents: Iterable[Agent], module: str) -> Agent | None:
        best: Agent | None = None
        key: tuple[float, int] | None = None
        for agent in agents:
            if not agent.usable or agent.free + agent.granted <= 0:
                continue
            if not agent.code.serves(module):
                continue
            its = agent.load, agent.calls
            if key is None or its < key:
                best, key = agent, its
        return best

    def may_serve(self, module: str) -> bool:
        """Whether an agent would run a function of ``module`` when it has a place, or returns."""
        return any(
            agent.said.serves and not agent.difference and agent.code.serves(module)
            for agent in self._agents.values()
        )

    def gone(self, now: float) -> Iterator[tuple[Agent, str]]:
        """The agents that have to be given up, and why."""
        for agent in list(self._agents.values()):
            silent = now - agent.heard_at
            if agent.absent_at is not None and now - agent.absent_at > ABSENT_SECONDS:
                yield agent, "it has left NATS"
            elif not agent.said.serves and not agent.running and silent > ABSENT_SECONDS:
                yield agent, "it has ended, as it said that it would"
            elif silent > self._lost_after:
                yield agent, f"nothing was heard of it for {silent:.1f} s"

    def why_none(self, module: str) -> str:
        """Why no agent runs a function of ``module``; ``""`` if there is none at all."""
        reasons = []
        for agent in self._agents.values():
            if agent.difference:
                reasons.append(f"the code on {agent} differs: {agent.difference}")
            elif not agent.code.serves(module):
                served = ", ".join(agent.code.modules)
                reasons.append(f"{agent} does not serve the module {module!r}, but {served}")
            elif not agent.said.serves:
                reasons.append(f"{agent} is about to end")
        return "; ".join(reasons)
