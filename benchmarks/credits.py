# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.credits``: how calls find places on many agents, by simulation.

The servers' dispatchers and the agents' places are the real ones; the network, the runs and the
clock are simulated, so that a thousand agents and 100,000 calls a second fit into one process.
What comes out is a matter of the scheme alone: how long calls wait for a place, how often an agent
has to refuse one, and how evenly agents are used.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import random
import selectors
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import process_time
from types import SimpleNamespace
from typing import Any

from benchmarks.figures import percentile
from genro_executor_plugin import NatsExecutor
from genro_executor_plugin.agent.places import Places
from genro_executor_plugin.agent.runs import NOT_BEGUN
from genro_executor_plugin.engines.call import Call
from genro_executor_plugin.engines.nats.dispatcher import Dispatcher
from genro_executor_plugin.engines.nats.job import RemoteJob
from genro_executor_plugin.options.call import CallOptions
from genro_executor_plugin.portable.calls import PackedCall
from genro_executor_plugin.remote.messages import Announcement, CallMessage, Kind
from genro_executor_plugin.remote.versions import CodeVersion
from genro_executor_plugin.worker.remote_call import RETURNED

__all__ = ["Figures", "Plan", "simulate"]

_ANSWER = RETURNED + pickle.dumps(None)
_HEARTBEAT_SECONDS = 0.5
_CODE = CodeVersion.here().as_dict()
_PACKED = PackedCall(b"", (), "simulated", False, 1, None)
_CALL = Call(print, (), {}, CallOptions())

_TRIP_SECONDS = 0.0001, 0.0005
"""How long a message is in the network, the time of whoever reads it included."""

_FIRST_SECONDS = 0.3
"""How long calls come before they are counted; agents fill up by then."""


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Attributes:
        agents: how many there are.
        places: how many calls each of them runs at a time.
        servers: how many send them calls.
        calls: how many calls come in a second, in all; they come at random.
        load: which part of all places is taken on average, by which their length is chosen.
        seconds: how long calls come, after a beginning that is not counted.
        seed: of all that is random.
    """

    agents: int = 1000
    places: int = 8
    servers: int = 50
    calls: int = 100_000
    load: float = 0.8
    seconds: float = 0.25
    seed: int = 1

    @property
    def length(self) -> float:
        """How long a call runs on average, in seconds."""
        return self.load * self.agents * self.places / self.calls


@dataclass
class Figures:
    """What came out.

    Attributes:
        waits: seconds from each call to its beginning.
        refused: how many calls an agent had no place for, so that they waited again.
        begun: how many calls have begun, refused ones not among them.
        unanswered: how many calls had no answer at the end.
        twice: how many calls have run more than once.
        by_agent: how many each agent has run.
        shares: the mean wait of each server's calls.
    """

    waits: list[float] = field(default_factory=list)
    refused: int = 0
    begun: int = 0
    unanswered: int = 0
    twice: int = 0
    by_agent: Counter[str] = field(default_factory=Counter)
    shares: list[float] = field(default_factory=list)

    def wait(self, percent: float) -> float:
        """The percentile of the waits, in milliseconds."""
        return percentile(sorted(self.waits), percent) * 1000


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only where nothing is to be done."""

    def __init__(self) -> None:
        super().__init__(_NoWait(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _NoWait(selectors.SelectSelector):
    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._owner = loop

    def select(self, timeout: float | None = None) -> Any:
        self._owner.now += timeout or 0.0
        return super().select(0)


class _Agent:
    """An agent with real places and simulated runs."""

    def __init__(self, world: _World, name: str) -> None:
        self.world, self.name = world, name
        self.places = Places(world.plan.places, self._grant, world.loop.time)

    def hears(self, server: _Server, kind: Kind, body: tuple[Any, ...]) -> None:
        if kind is Kind.WANT:
            self.places.want(server.name)
        elif kind is Kind.RETURN:
            self.places.give_back(server.name)

    def call(self, server: _Server, message: CallMessage) -> None:
        if not self.places.take(server.name):
            self.places.want(server.name)
            body = message.number, NOT_BEGUN, self.places.free, ""
            self.world.figures.refused += 1
            self.world.carry(lambda: server.dispatcher.not_begun(self.name, *body))
            return
        if message.wants_more:
            self.places.want(server.name)
        self.world.begins(self.name, server, message.number)
        length = self.world.chosen.expovariate(1 / self.world.plan.length)
        self.world.loop.call_later(length, self._end, server, message.number)

    def _end(self, server: _Server, number: int) -> None:
        self.places.leave()
        free = self.places.free
        self.world.carry(lambda: server.dispatcher.answered(self.name, number, free, _ANSWER))

    def _grant(self, name: str) -> None:
        server, free = self.world.by_name[name], self.places.free
        self.world.carry(lambda: server.dispatcher.granted(self.name, free))

    def announce(self) -> None:
        self.places.look()
        figures = self.world.plan.places, self.places.free
        said = Announcement("simulated", 1, *figures, True, _CODE, "", 0.0)
        for server in self.world.servers:
            self.world.carry(lambda s=server: s.dispatcher.announced(self.name, said, 0.0, 0.0))
        if not self.world.over:
            self.world.loop.call_later(_HEARTBEAT_SECONDS, self.announce)


class _Server:
    """A real dispatcher, whose messages go through the simulated network (it is its exchange)."""

    def __init__(self, world: _World, name: str) -> None:
        self.world, self.name = world, name
        pool: Any = NatsExecutor(name, url="nats://simulated:1", subject="simulated", insecure=True)
        options = pool.pool_options
        self.dispatcher = Dispatcher(pool, options, None, lambda *_: None, lambda *_: None)
        self.dispatcher.max_running = 10**9
        self.dispatcher.exchange = self  # type: ignore[assignment] # has what it uses
        self.connection = SimpleNamespace(connected=True, last_error="")
        self.post = SimpleNamespace(
            look=lambda: None, forget=lambda *_: None, is_leaving=lambda *_: False
        )
        self.waits: list[float] = []

    def tell(self, agent: str, kind: Kind, *body: Any, **_: Any) -> bool:
        self.world.carry(lambda: self.world.agents[agent].hears(self, kind, body))
        return True

    def call(self, agent: str, message: CallMessage) -> bool:
        self.world.carry(lambda: self.world.agents[agent].call(self, message))
        return True

    def ask(self) -> bool:
        return True

    async def close(self) -> None:
        return

    def arrives(self) -> None:
        loop = self.world.loop
        job = _Job(_PACKED, loop.create_future(), None, None, 0, False, None, _CALL)
        job.came_at = loop.now
        self.world.jobs.append(job)
        self.dispatcher.submit(job)


class _Job(RemoteJob):
    """A call, and what the simulation notes of it: when it came, and how often it has begun."""

    __slots__ = ("came_at", "runs")

    came_at: float

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.runs: int = 0


class _World:
    """All that is simulated."""

    def __init__(self, plan: Plan, loop: _Loop) -> None:
        self.plan, self.loop, self.figures = plan, loop, Figures()
        self.chosen = random.Random(plan.seed)
        self.over = False
        self.counts_from = _FIRST_SECONDS
        self.jobs: list[_Job] = []
        self.agents = {f"a{n}": _Agent(self, f"a{n}") for n in range(plan.agents)}
        self.servers = [_Server(self, f"s{n}") for n in range(plan.servers)]
        self.by_name = {server.name: server for server in self.servers}

    def carry(self, arrive: Callable[[], Any]) -> None:
        """Have a message arrive after its time in the network."""
        self.loop.call_later(self.chosen.uniform(*_TRIP_SECONDS), arrive)

    def begins(self, agent: str, server: _Server, number: int) -> None:
        job = server.dispatcher.job(number)
        assert isinstance(job, _Job)
        job.runs += 1
        self.figures.by_agent[agent] += 1
        if job.came_at >= self.counts_from:
            wait = self.loop.now - job.came_at
            self.figures.waits.append(wait)
            server.waits.append(wait)

    async def run(self) -> Figures:
        for agent in self.agents.values():
            self.loop.call_later(self.chosen.uniform(0, 0.001), agent.announce)
        await asyncio.sleep(0.01)
        for server in self.servers:
            server.dispatcher.begin()
        end = self.loop.now + _FIRST_SECONDS + self.plan.seconds
        self.counts_from += self.loop.now
        while self.loop.now < end:
            await asyncio.sleep(self.chosen.expovariate(self.plan.calls))
            self.chosen.choice(self.servers).arrives()
        await asyncio.gather(*(job.future for job in self.jobs))
        self.over = True
        for server in self.servers:
            await server.dispatcher.close()
        figures = self.figures
        figures.begun = sum(job.runs for job in self.jobs)
        figures.twice = sum(job.runs > 1 for job in self.jobs)
        figures.unanswered = sum(not job.future.done() for job in self.jobs)
        figures.shares = [sum(server.waits) / len(server.waits) for server in self.servers]
        return figures


def simulate(plan: Plan) -> Figures:
    """Run ``plan``; the same plan has the same figures."""
    random.seed(plan.seed)  # agents are sampled with it where there are many
    loop = _Loop()
    try:

        async def run() -> Figures:
            return await _World(plan, loop).run()

        return loop.run_until_complete(run())
    finally:
        loop.close()


def main() -> None:
    """Simulate, and print a line of a table for each load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.credits", description=__doc__)
    for name in ("agents", "places", "servers", "calls", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan, name))
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--load", type=float, action="append", help="0.8 for 80 %%; several times")
    given = vars(parser.parse_args())
    loads = given.pop("load") or [0.5, 0.8, 0.95]
    print("| load | calls | waits: p50 | p99 | longest | refused | busiest agent | servers |")
    print("|---|---|---|---|---|---|---|---|")
    for load in loads:
        began, plan = process_time(), Plan(load=load, **given)
        found = simulate(plan)
        busiest = max(found.by_agent.values()) * plan.agents / found.begun
        shares = max(found.shares) / min(found.shares)
        print(
            f"| {load:.0%} | {found.begun:,} | {found.wait(50):.2f} ms | {found.wait(99):.2f} ms "
            f"| {found.wait(100):.2f} ms | {found.refused / found.begun:.2%} | {busiest:.2f} "
            f"| {shares:.2f} |",
            flush=True,
        )
        print(f"{process_time() - began:.0f} s of CPU", file=sys.stderr)


if __name__ == "__main__":
    main()
