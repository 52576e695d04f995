# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The dispatcher of the process pool under simulated workers, with a virtual clock and a seed.

``python -m tests.simulation [--seeds N] [--first SEED] [--processes N] [--without NAME]``

The pool, its queue, calls sent ahead, claims (real pipes), timeouts, recycling, the supervisor and
what becomes of ended workers are the real ones. Simulated is what is outside of the server's
process: the worker's process, its socket, and the template (``_Link``, ``_Launchers``), with what
is read of the system for them. Admission, keys, streams, coroutines and threads are not in it.

Each seed makes one schedule: calls, their lengths, crashes, cancellations, restarts, resizes,
delays of the socket. A schedule that breaks an invariant is told with the command that repeats it.
``--without NAME`` takes a fix out of a copy of the source, and ends with 0 if that is found.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import pickle
import pkgutil
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genro_executor_plugin import ExecutorClosedError, ExecutorTimeoutError, WorkerCrashedError
from genro_executor_plugin.engines import process
from genro_executor_plugin.engines.process import life, supervisor, wire
from genro_executor_plugin.engines.process import worker as worker_module
from genro_executor_plugin.engines.process.claims import Claims, WorkerClaims
from genro_executor_plugin.engines.process.exit_report import ExitReport
from genro_executor_plugin.engines.process.job import Job
from genro_executor_plugin.engines.process.marks import Marks
from genro_executor_plugin.engines.process.pool import WorkerPool
from genro_executor_plugin.options.pool import PoolOptions
from genro_executor_plugin.portable.calls import PackedCall

__all__ = ["WITHOUT", "broken_by"]

_SLACK_SECONDS = 0.03
"""Delays of the simulated socket, and the question where a call is, before it is ended."""

_OVERTAKEN_SECONDS = 0.3
"""No call begins so much later than one that was submitted so much after it."""

_CHUNK = 200
"""How many schedules a process is given at a time."""

_FLOODED_EVERY, _FLOODED = 200, 159
"""One of so many schedules, the one of that number, has more short calls than its workers can run,
and a long one."""

WITHOUT: dict[str, tuple[tuple[str, str, str], ...]] = {
    "looking-for-answers-before-a-kill": (("ended.py", "        worker.catch_up()\n", ""),),
    "nothing-ahead-before-refusals": (("ahead.py", "if worker.taken_back:", "if False:"),),
    "limits-of-calls-sent-ahead": (
        ("ahead.py", "                self._watch(job.timeout)\n", ""),
        ("calls.py", "            self._run_begins(job)\n", ""),
    ),
    "looking-for-calls-behind-a-long-one": (
        ("ahead.py", "                if self._looking is None:\n", "                if False:\n"),
    ),
}
"""Fixes of races: which text of which file is replaced to take them out."""


class _Loop(asyncio.BaseEventLoop):
    """An event loop whose time passes when there is nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._selector = self

    def time(self) -> float:
        return self.now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing will ever happen any more: somebody waits in vain")
        self.now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        return

    def _write_to_self(self) -> None:
        return


class _Ordered(dict[Any, None]):
    """A set in a fixed order, without which a seed would repeat nothing."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


@dataclass
class _Call:
    number: int
    seconds: float
    timeout: float | None
    crashes: bool
    submitted: float
    task: asyncio.Task[Any] | None = None
    began: list[float] = field(default_factory=list)
    pid: int = 0
    ended: float = 0.0
    cancelled: bool = False


class _World:
    def __init__(self, seed: int, loop: _Loop) -> None:
        self.is_flooded = seed % _FLOODED_EVERY == _FLOODED
        self.random = random.Random(seed)
        self.loop = loop
        self.calls: list[_Call] = []
        self.processes: list[_Process] = []
        self.killed_by_hand: set[int] = set()
        self.links: list[_Link] = []

    def delay(self) -> float:
        if self.is_flooded:
            return 0.00001
        return self.random.choice((0.00001, 0.0001, 0.001, 0.004))


_world: _World


class _Words:
    """In the place of what leads to a worker's file: only its marks are simulated."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    def begin_words(self) -> None:
        return None

    def last_words(self) -> tuple[str, Marks | None]:
        return "", Marks(struct.pack("<5Q", self._link.process.read, 0, 0, 0, 0))


class _Link:
    """In the place of ``Link``: what is written arrives later, in its order."""

    def __init__(self, start: Callable[[list[Any]], None]) -> None:
        self.claims = Claims()
        self.handover = _Words(self)
        self.open = True
        self.inbox: deque[tuple[int, int, int, bytes]] = deque()
        self.is_gone = False
        self._looks = False
        self._readable: Callable[[], None] = lambda: None
        self.process: _Process
        _world.links.append(self)
        start([self])

    def watch(self, readable: Callable[[], None], broken: Callable[[str], None]) -> None:
        self._readable = readable

    def arrived(self) -> None:
        if not self._looks:
            self._looks = True
            _world.loop.call_later(_world.delay(), self._look)

    def _look(self) -> None:
        self._looks = False
        if self.open:
            self._readable()

    def read(self) -> list[tuple[int, int, int, bytes]]:
        if self.inbox:
            frames = list(self.inbox)
            self.inbox.clear()
            if self.is_gone:
                self.arrived()
            return frames
        if self.is_gone:
            raise EOFError
        raise BlockingIOError

    @property
    def reads_left(self) -> int:
        return int(bool(self.inbox))

    def encode(self, kind: int, number: int, job: Job) -> bytes:
        return wire.frame(kind, number, job.packed.payload)

    def write(self, data: bytes) -> bool:
        if not self.open or self.is_gone:
            return False
        self.process.is_sent(data)
        return True

    def close(self) -> None:
        if self.open:
            self.open = False
            self.claims.close()

    abandon = close


class _Process:
    """A worker process: it takes its frames one after the other, as ``child`` does."""

    def __init__(self, key: int, link: _Link, on_exit: Callable[[ExitReport], None]) -> None:
        self.pid = 10_000 + len(_world.processes)
        self.key, self.link, self.on_exit = key, link, on_exit
        self.read, self.alive, self.busy, self.died = 0, True, True, False
        self._frames: deque[tuple[int, int, bytes]] = deque()
        self._arrives = _world.loop.time()
        self._fd = os.dup(link.claims.worker_fd)
        os.set_blocking(self._fd, False)
        self._claims = WorkerClaims(self._fd)
        link.process = self
        _world.processes.append(self)
        _world.loop.call_later(_world.random.choice((0.005, 0.05)), self._is_up)

    def is_sent(self, data: bytes) -> None:
        loop = _world.loop
        self._arrives = max(self._arrives + 1e-6, loop.time() + _world.delay())
        loop.call_at(self._arrives, self._arrived, data)

    def _arrived(self, data: bytes) -> None:
        while data:
            length, number, _, last = wire.HEADER.unpack_from(data)
            end = wire.HEADER.size + length
            self._frames.append((last - wire.MARK, number, data[wire.HEADER.size : end]))
            data = data[end:]
        if not self.busy:
            self._serve()

    def _is_up(self) -> None:
        if self.alive:
            self._tell(wire.READY, self.pid)
            self._serve()

    def _tell(self, kind: int, number: int, payload: bytes = b"", detail: int = 0) -> None:
        if not self.link.is_gone and self.link.open:
            self.link.inbox.append((kind, number, detail, payload))
            self.link.arrived()

    def _serve(self) -> None:
        self.busy = False
        while self.alive and self._frames:
            kind, number, payload = self._frames.popleft()
            if kind == wire.STOP:
                self.die(0)
            elif kind == wire.CALL or (kind == wire.CALL_AHEAD and self._claims.claim(number)):
                self._begin(number, _world.calls[int(payload)])
                return
            elif kind == wire.CALL_AHEAD:
                self._tell(wire.UNCLAIMED, number)

    def _begin(self, number: int, call: _Call) -> None:
        self.busy, self.read = True, number
        call.began.append(_world.loop.time())
        call.pid = self.pid
        _world.loop.call_later(call.seconds, self._end, number, call)

    def _end(self, number: int, call: _Call) -> None:
        if not self.alive:
            return
        if call.crashes:
            self.die(-11)
            return
        micros = int(call.seconds * 1e6) + 1
        self._tell(wire.RESULT, number, pickle.dumps(call.number, 5), micros)
        self._serve()

    def die(self, code: int) -> None:
        if self.alive:
            self.alive = False
            self.died = code != 0
            os.close(self._fd)
            self.link.is_gone = True
            self.link.arrived()
            _world.loop.call_later(_world.delay(), self.on_exit, ExitReport(code))


class _Launchers:
    """In the place of the template processes."""

    has_workers = True

    def __init__(self, *_: Any) -> None:
        self._processes: dict[int, _Process] = {}

    def next(self) -> _Launchers:
        return self

    def start_worker(self, links: list[Any], on_exit: Callable[[ExitReport], None]) -> int:
        key = len(self._processes) + 1
        self._processes[key] = _Process(key, links[0], on_exit)
        return key

    def kill(self, key: int) -> None:
        _world.loop.call_later(_world.delay(), self._processes[key].die, -9)

    def signal(self, key: int, number: int) -> bool:
        return False

    def forget(self, key: int) -> None:
        return

    give_up = kill
    renew = look = lambda self: None

    async def close(self) -> None:
        for one in self._processes.values():
            one.die(-9)


class _Nothing:
    """What a worker is told at its start, which the simulated ones do not read."""

    @staticmethod
    def here(*_: Any) -> None:
        return None

    @staticmethod
    def of(*_: Any) -> None:
        return None


def _simulate_what_is_outside() -> None:
    for found in pkgutil.iter_modules(process.__path__):
        module = importlib.import_module(f"{process.__name__}.{found.name}")
        if hasattr(module, "perf_counter"):
            vars(module)["perf_counter"] = lambda: _world.loop.time()
    vars(life).update(Link=_Link, oom_kills=lambda: None)
    vars(worker_module).update(is_ending=lambda pid: True)
    vars(supervisor).update(Launchers=_Launchers, environment_of=lambda options: {})
    for name in ("ModuleSources", "ProcessSettings", "ProcessStart", "WorkerBoot"):
        vars(supervisor)[name] = _Nothing


async def _caller(pool: WorkerPool, call: _Call) -> Any:
    """What ``ProcessEngine.run`` does with a call."""
    packed = PackedCall(str(call.number).encode(), (), f"call {call.number}", False, 1, None)
    job = Job(packed, _world.loop.create_future(), call.timeout)
    try:
        pool.submit(job)
        return await job.future
    except BaseException:
        if not job.future.done() or job.future.cancelled():
            pool.cancel(job)
        raise
    finally:
        call.ended = _world.loop.time()


def _submit(
    pool: WorkerPool, seconds: float, timeout: float | None = None, *, crashes: bool = False
) -> None:
    call = _Call(len(_world.calls), seconds, timeout, crashes, _world.loop.time())
    _world.calls.append(call)
    call.task = asyncio.create_task(_caller(pool, call))


async def _flood(pool: WorkerPool, workers: int) -> None:
    """Short calls, so many that no worker is ever free, and a long one between them.

    A call that waits behind the long one has to be found by somebody who looks for it.
    """
    dice = _world.random
    long_at = dice.randint(20, 60)
    for step in range(400):
        for _ in range(2 * workers):
            _submit(pool, dice.choice((0.0004, 0.0005, 0.0006)))
        if step == long_at:
            _submit(pool, 1.0)
        await asyncio.sleep(0.001)


async def _play() -> None:
    dice = _world.random
    workers = dice.randint(1, 3)
    options = PoolOptions(
        max_workers=workers,
        max_pending=1000,
        max_tasks_per_child=dice.choice((None, None, None, 3)),
        idle_timeout=dice.choice((None, 0.2)),
    )
    hooks: Any = None
    pool = WorkerPool("simulated", options, hooks, lambda *_: None, lambda *_: None)
    pool._supervisor.workers = _Ordered()  # type: ignore[assignment]  # with a fixed order
    pool._supervisor.written_off = _Ordered()  # type: ignore[assignment]  # the same
    restarts: list[asyncio.Task[None]] = []
    if _world.is_flooded:
        await _flood(pool, workers)
    has_long = dice.random() < 0.5
    for step in range(dice.randint(10, 40)):
        roll = dice.random()
        if roll < 0.05:
            open_calls = [call for call in _world.calls if call.task and not call.task.done()]
            if open_calls:
                victim = dice.choice(open_calls)
                victim.cancelled = bool(victim.task and victim.task.cancel())
        elif roll < 0.07:
            restarts.append(asyncio.create_task(pool.restart()))
        elif roll < 0.09:
            pool.resize(dice.randint(1, 3))
        elif roll < 0.11:
            pids = [worker.pid for worker in pool._supervisor.workers if worker.pid]
            if pids and pool.kill_worker(pid := dice.choice(pids)):
                _world.killed_by_hand.add(pid)
        for _ in range(dice.choice((1, 1, 2, 6))):
            seconds = dice.choice((0.0001, 0.0005, 0.001, 0.0019))
            timeout = dice.choice((None, None, 0.1, 0.15))
            if step > 4 and has_long and dice.random() < 0.15:
                seconds = dice.choice((0.0999, 0.1, 0.1001, 0.149, 0.15, 0.4, 1.0))
            _submit(pool, seconds, timeout, crashes=dice.random() < 0.01)
        await asyncio.sleep(dice.choice((0.0, 0.0002, 0.002, 0.02)))
    async with asyncio.timeout(300):
        if dice.random() < 0.8:
            await asyncio.wait([call.task for call in _world.calls if call.task])
        await pool.close()
        await asyncio.wait([call.task for call in _world.calls if call.task])
        await asyncio.gather(*restarts, return_exceptions=True)
    assert not pool._supervisor.workers, "workers are left"
    assert not any(link.open for link in _world.links), "claims of workers are left open"


def _check(call: _Call) -> str:
    """Check how ``call`` ended, and return that as a word."""
    assert call.task is not None
    assert call.task.done(), f"{call} has not ended"
    assert len(call.began) <= 1, f"{call} was run twice"
    if call.task.cancelled():
        assert call.cancelled, f"{call} was cancelled by nobody"
        return "cancelled"
    error = call.task.exception()
    began = call.began[0] if call.began else None
    if call.timeout is not None and began is not None:
        late = call.ended - began - call.timeout
        assert late < _SLACK_SECONDS, f"{call} ended {late:g} s after its limit"
    if error is None:
        assert call.task.result() == call.number, f"{call} has the result of another one"
        assert call.began, f"{call} has a result, and never began"
        return "result"
    if isinstance(error, ExecutorTimeoutError):
        assert began is not None, f"{call} timed out, and never began"
        assert call.timeout is not None
        over = call.seconds + _SLACK_SECONDS - call.timeout
        assert over > 0, f"{call} timed out, and is short"
        return "timeout"
    if isinstance(error, WorkerCrashedError):
        # One that was on its way to a worker that somebody killed counts as begun.
        on_its_way = not call.began and str(error).partition("\n")[0].endswith("on request")
        own = call.crashes or call.pid in _world.killed_by_hand or on_its_way
        assert own, f"{call} was killed for another one: {error}"
        return "crash"
    assert isinstance(error, ExecutorClosedError), f"{call}: {error!r}"
    return "closed"


def _check_turns() -> None:
    """Nobody is overtaken by far: first come, first served, but for a moment.

    What comes back from a worker that died may be sent ahead behind younger calls, which turn out
    to be long. So it is looked for in schedules in which no worker died.
    """
    if any(process.died for process in _world.processes):
        return
    begun = [call for call in _world.calls if call.began]
    for call in begun:
        for later in begun[call.number + 1 :]:
            if later.submitted > call.submitted + 0.05:
                late = call.began[0] - later.began[0]
                assert late < _OVERTAKEN_SECONDS, f"{later} began {late:g} s before {call}"


def play(seed: int) -> Counter[str]:
    """Play the schedule of ``seed`` and return how its calls ended.

    Raises:
        AssertionError: an invariant was broken.
    """
    global _world
    random.seed(seed)
    loop = _Loop()
    _world = _World(seed, loop)
    try:
        loop.run_until_complete(_play())
        _check_turns()
        return Counter(map(_check, _world.calls))
    finally:
        loop.close()


def broken_by(name: str, seeds: int, first: int = 0) -> str:
    """What is found in ``seeds`` schedules without the fix ``name``; empty for nothing."""
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(root / "genro_executor_plugin", Path(folder, "genro_executor_plugin"))
        Path(folder, "tests").mkdir()
        shutil.copy(__file__, Path(folder, "tests"))
        for file, text, instead in WITHOUT[name]:
            path = Path(folder, "genro_executor_plugin/engines/process", file)
            source = path.read_text()
            assert source.count(text) == 1, f"the fix {name} is not in {file} any more"
            path.write_text(source.replace(text, instead))
        chosen = ("--seeds", str(seeds), "--first", str(first))
        command = [sys.executable, "-m", "tests.simulation", *chosen]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.stdout if ended.returncode == 1 and "breaks" in ended.stdout else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=1, help="how many play them")
    parser.add_argument("--without", choices=list(WITHOUT), help="a fix that is taken out")
    chosen = parser.parse_args()
    if chosen.without:
        found = broken_by(chosen.without, chosen.seeds, chosen.first)
        print(found or f"nothing was found without {chosen.without}")
        return 0 if found else 1
    chunks = [
        (first, min(_CHUNK, chosen.first + chosen.seeds - first))
        for first in range(chosen.first, chosen.first + chosen.seeds, _CHUNK)
    ]
    ends: Counter[str] = Counter()
    with ProcessPoolExecutor(chosen.processes, initializer=_simulate_what_is_outside) as pool:
        for played, broken in pool.map(_play_chunk, *zip(*chunks, strict=True)):
            ends += played
            if broken:
                print(broken)
                pool.shutdown(cancel_futures=True)
                return 1
    print(f"{chosen.seeds} schedules, {ends.total()} calls: {dict(sorted(ends.items()))}")
    return 0


def _play_chunk(first: int, seeds: int) -> tuple[Counter[str], str]:
    """How the calls of some schedules ended; and which schedule was broken, if one was."""
    logging.disable()
    ends: Counter[str] = Counter()
    for seed in range(first, first + seeds):
        try:
            ends += play(seed)
        except (AssertionError, TimeoutError) as error:
            again = f"again: python -m tests.simulation --seeds 1 --first {seed}"
            return ends, f"seed {seed} breaks an invariant: {error!r}\n{again}"
    return ends, ""


if __name__ == "__main__":
    sys.exit(main())
