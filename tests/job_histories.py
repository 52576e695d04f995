# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Histories of long jobs, checked against a model of one.

``python -m tests.job_histories [--seconds N] [--seed N] [--servers N] [--without NAME]``

Several clients submit jobs, ask for them, cancel, retry and forget them, while workers and servers
are killed, and stopped, and started again. What each asked, when, and what was answered, and each
run of a job's code with its times is written down. ``job_model`` then says whether all of that can
have been. ``tox run -e histories`` does it for minutes, the test suite for seconds.

``--without NAME`` breaks a copy of the store, and ends with 0 if that is found.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parent))
from job_model import Event, Promises, contradiction
from programs import TESTS, RunningProgram
from waiting import until

CLIENTS = 4

PROMISES = {
    "once": Promises(),
    "repeatable": Promises(repeatable=True),
    "retried": Promises(retried=True),
    "failing": Promises(),
}

_TROUBLES = {"worker": 3, "kill": 1, "stop": 1}
"""What happens meanwhile, and how often: a worker is killed, a server is killed, or stopped."""

_ASKED = {"status": 4, "result": 2, "wait": 3, "cancel": 1, "retry": 2, "forget": 1, "list": 2}
"""What clients ask for, and how often."""

WITHOUT: dict[str, tuple[str, str, str]] = {
    "lost-jobs-do-not-run-again": (
        "store/recovery.py",
        "was.state is TaskState.QUEUED or (was.repeatable",
        "was.state is TaskState.QUEUED or (True",
    ),
    "cancels-are-stored": (
        "store/__init__.py",
        "schema.end_job(connection, task_id, TaskState.CANCELLED, now, None)\n"
        "            return schema.read_job(connection, task_id)",
        "import dataclasses\n            return dataclasses.replace(schema.read_job(connection, "
        "task_id), state=TaskState.CANCELLED, ended_at=now)",
    ),
    "jobs-are-stored-before-that-is-told": (
        "status.py",
        "self._accepted = accepted if durable",
        "accepted = None if durable",
    ),
    "a-key-is-one-job": (
        "stored_call.py",
        "if key is None:",
        "if True:",
    ),
}
"""What can be taken out of a copy of the package: a file of ``tasks``, a text, and another one."""


class Histories:
    """One run: its clients, what kills, and what was recorded."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        servers: int = 1,
        troubles: Sequence[str] = tuple(_TROUBLES),
        kinds: Sequence[str] = tuple(PROMISES),
    ) -> None:
        self._folder = folder
        self._chosen = list(troubles)
        self._chosen_kinds = list(kinds)
        self._dice = random.Random(seed)
        self._servers: list[RunningProgram | None] = [None] * servers
        self._urls = [""] * servers
        self._over = False
        self._kinds: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self.troubles: list[str] = []
        self.events: dict[str, list[Event]] = defaultdict(list)
        self._of_all: list[Event] = []
        self._lists: list[tuple[float, float, dict[str, str], str]] = []

    async def run(self, seconds: float) -> None:
        """Let clients and killers go on for ``seconds``."""
        try:
            for number in range(len(self._servers)):
                await self._start(number)
            await self._scene()
            clients = [asyncio.create_task(self._client(f"c{n}")) for n in range(CLIENTS)]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await asyncio.sleep(self._dice.uniform(0.05, 0.4))
                await self._trouble()
            self._over = True
            await asyncio.gather(*clients)
            await self._ask_all()
        finally:
            for program in self._servers:
                if program is not None:
                    await asyncio.to_thread(program.end)

    async def _scene(self) -> None:
        """What chance may leave out: each promise is put to the test once."""
        async with httpx.AsyncClient(auth=("ann", "secret"), timeout=60.0, trust_env=False) as http:

            async def ask(name: str, what: str, path: str = "", **more: Any) -> None:
                parameters = {"task_id": self._ids[name], **more}
                await self._ask(http, "scene", name, what, path or what, parameters)

            async def submit(name: str, seconds: float) -> None:
                self._kinds[name] = name.partition("-")[0]
                parameters = {"kind": self._kinds[name], "name": name, "seconds": seconds}
                told = [await self._ask(http, "scene", name, "submit", "submit", parameters)
                        for _ in range(2)]  # fmt: skip
                assert told[0] is not None, "a server that is up has not answered"
                assert told[0] == told[1], f"{name} was accepted as {told[0]} and as {told[1]}"
                self._ids[name] = told[0]

            for name, seconds in (("once-0", 60.0), ("repeatable-1", 1.0)):
                await submit(name, seconds)
                await self._until_written(f"run {name}")
            await submit("once-2", 0)
            await ask("once-2", "ask", "cancel")
            await ask("once-2", "status")
            await self._strike_server("kill", 0)
            await submit("once-3", 10.0)
            await self._until_written("run once-3")
            for name in ("once-3", "once-0"):
                await ask(name, "ask", "cancel")
            await submit("failing-4", 0)
            for _ in range(2):
                await ask("failing-4", "result", wait=20)
                await ask("failing-4", "retry")
            for name in self._ids:
                await ask(name, "result", wait=20)
                await ask(name, "forget")

    async def _until_written(self, words: str) -> None:
        await until(lambda: any(line.startswith(f"{words} ") for line in self._lines()))

    # -- servers ------------------------------------------------------------------------------

    async def _start(self, number: int) -> None:
        program = RunningProgram(
            TESTS / "apps" / "recorded.py",
            str(self._folder / "store"),
            str(self._folder),
            cwd=self._folder,
            imported=True,
        )
        self._servers[number] = program
        await asyncio.to_thread(program.until_it_serves)
        self._urls[number] = program.url

    async def _trouble(self) -> None:
        """Kill a worker, or kill or stop a server and start it again."""
        what = self._dice.choices(self._chosen, [_TROUBLES[one] for one in self._chosen])[0]
        self.troubles.append(what)
        if self._dice.random() < 0.7:
            await self._until_a_job_runs()
        if what == "worker":
            begin = time.monotonic()
            pids = {int(line.split()[4]) for line in self._lines()[-4:]}
            below = [one for up in self._servers if up is not None for one in up.descendants()]
            if struck := [one for one in below if one.pid in pids]:
                with suppress(psutil.NoSuchProcess):
                    self._dice.choice(struck).kill()
                self._of_all.append(Event("strike", begin, time.monotonic()))
            return
        await self._strike_server(what, self._dice.randrange(len(self._servers)))

    async def _strike_server(self, what: str, number: int) -> None:
        begin = time.monotonic()
        program = self._servers[number]
        assert program is not None
        self._urls[number] = ""
        if what == "kill":
            program.signal_all(signal.SIGKILL)
        else:
            program.signal(signal.SIGTERM)
            await asyncio.to_thread(program.wait)
        self._servers[number] = None
        await asyncio.to_thread(program.end)
        # The others see to its jobs, or the next one does, from now on or within that time.
        self._of_all.append(Event("end", begin, time.monotonic(), by=what))
        await self._start(number)

    async def _until_a_job_runs(self) -> None:
        """Wait until one has just begun, for some seconds at most."""
        seen = len(self._lines())
        end = time.monotonic() + 3
        while not any(line.startswith("run") for line in self._lines()[seen:]):
            if time.monotonic() > end:
                return
            await asyncio.sleep(0.005)

    def _lines(self) -> list[str]:
        runs = self._folder / "runs"
        return runs.read_text().splitlines() if runs.exists() else []

    # -- clients ------------------------------------------------------------------------------

    async def _client(self, me: str) -> None:
        own = random.Random(self._dice.random())
        async with httpx.AsyncClient(
            auth=("ann", "secret"), timeout=60.0, trust_env=False, limits=httpx.Limits()
        ) as http:
            while not self._over:
                if own.random() < 0.3 or not self._kinds:
                    kind = own.choice(self._chosen_kinds)
                    name = f"{kind}-{len(self._kinds)}"
                    self._kinds[name] = kind
                    await self._submit(http, me, name, own)
                for _ in range(own.randint(1, 5)):
                    await self._look(http, me, own)
                await asyncio.sleep(own.choice((0, 0.005, 0.03)))

    async def _submit(
        self, http: httpx.AsyncClient, me: str, name: str, own: random.Random
    ) -> None:
        """Submit until it is accepted, and now and then once more."""
        seconds = own.choice((0, 0.01, 0.05, 0.2, 0.5, 0.5))
        parameters = {"kind": self._kinds[name], "name": name, "seconds": seconds}
        times = own.choice((1, 1, 2))
        while times and not self._over:
            task_id = await self._ask(http, me, name, "submit", "submit", parameters)
            if task_id is None:
                continue
            times -= 1
            known = self._ids.setdefault(name, task_id)
            assert known == task_id, f"{name} was accepted as {known} and as {task_id}"

    async def _look(self, http: httpx.AsyncClient, me: str, own: random.Random) -> None:
        if not self._ids:
            return
        # Mostly the latest, of which there is something to tell.
        names = list(self._ids)
        name = own.choice(names[-6:] if own.random() < 0.8 else names)
        parameters = {"task_id": self._ids[name]}
        what = own.choices(*zip(*_ASKED.items(), strict=True))[0]
        if what == "list":
            begin = time.monotonic()
            with suppress(httpx.ConnectError):
                listed = await self._get(http, "listed", {})
                if listed is not None:
                    self._lists.append((begin, time.monotonic(), listed, me))
        elif what == "wait":
            await self._ask(http, me, name, "result", "result", {**parameters, "wait": 0.2})
        elif what == "cancel":
            await self._ask(http, me, name, "ask", "cancel", parameters)
        else:
            await self._ask(http, me, name, what, what, parameters)

    async def _ask(
        self, http: httpx.AsyncClient, me: str, name: str, what: str, path: str, parameters: Any
    ) -> str | None:
        """The answer, which is recorded; ``None`` if there was none."""
        begin = time.monotonic()
        try:
            told = await self._get(http, path, parameters)
        except httpx.ConnectError:
            return None
        answer = None if told is None else str(told["answer"])
        events = self.events[name]
        if answer is None or answer == "unknown":
            events.append(Event(what, begin, by=me))
            return None
        end = time.monotonic()
        if what == "submit":
            events.append(Event(what, begin, end, by=me))
        elif answer == "absent" and what in ("retry", "forget"):
            events.append(Event("status", begin, end, answer, me))
        elif what == "ask":
            # It is told what the job is afterwards, when somebody may have forgotten it.
            events.append(Event("ask", begin, end, by=me))
            events.append(Event("status", begin, end, answer, me))
        else:
            events.append(Event(what, begin, end, answer, me))
        return answer

    async def _get(self, http: httpx.AsyncClient, path: str, parameters: Any) -> Any:
        """What a server answers, ``None`` if it does not.

        Raises:
            httpx.ConnectError: nobody was asked.
        """
        url = self._dice.choice(self._urls)
        try:
            if not url:
                raise httpx.ConnectError("it is down")
            answer = await http.get(f"{url}/recorded/{path}", params=parameters)
        except httpx.ConnectError:
            await asyncio.sleep(0.01)
            raise
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    async def _ask_all(self) -> None:
        """Wait until every job has ended, and ask for its state and its result."""
        async with httpx.AsyncClient(auth=("ann", "secret"), timeout=60.0, trust_env=False) as http:
            deadline = time.monotonic() + 60
            for name, task_id in self._ids.items():
                parameters = {"task_id": task_id, "wait": 5.0}
                while await self._ask(http, "end", name, "result", "result", parameters) in (
                    None,
                    "waits",
                ):
                    assert time.monotonic() < deadline, f"{name} does not end"
                await self._ask(http, "end", name, "status", "status", {"task_id": task_id})

    # -- the verdict --------------------------------------------------------------------------

    def check(self) -> dict[str, int]:
        """How much was seen.

        Raises:
            AssertionError: what was recorded of a job cannot have been.
        """
        for line in self._lines():
            what, name, token, at, _ = line.split()
            # Written just before or after that moment, which is in the job's code.
            self.events[name].append(
                Event(what, float(at) - 1e-6, float(at) + 1e-6, token, "worker")
            )
        answers: Counter[str] = Counter()
        for name, events in self.events.items():
            task_id = self._ids.get(name)
            if task_id is not None:
                events += [
                    Event("status", begin, end, listed.get(task_id, "absent"), f"{me} (list)")
                    for begin, end, listed, me in self._lists
                ]
            answers.update(f"{event.what} {event.answer.split(' ')[0]}" for event in events
                           if event.by != "worker")  # fmt: skip
            wrong = contradiction([*events, *self._of_all], PROMISES[self._kinds[name]])
            assert not wrong, f"{name} ({task_id}): {wrong}"
        return {
            "jobs": len(self.events),
            "events": sum(map(len, self.events.values())),
            **Counter(self.troubles),
            **dict(sorted(answers.items())),
        }


async def play(folder: Path, seconds: float, seed: int, **options: Any) -> dict[str, int]:
    """The figures of one run whose history can have been; ``options`` as for ``Histories``."""
    histories = Histories(folder, seed, **options)
    await histories.run(seconds)
    return histories.check()


def broken_by(name: str, *options: str) -> str:
    """What is found in a copy of the package without ``name``; empty for nothing."""
    root = Path(__file__).parents[1]
    file, text, instead = WITHOUT[name]
    with tempfile.TemporaryDirectory() as folder:
        for part in ("genro_executor_plugin", "tests"):
            shutil.copytree(root / part, Path(folder, part))
        path = Path(folder, "genro_executor_plugin/tasks", file)
        source = path.read_text()
        assert source.count(text) == 1, f"the text of {name} is not in {file} any more"
        path.write_text(source.replace(text, instead))
        command = [sys.executable, "-m", "tests.job_histories", *options]
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    return done.stderr if done.returncode == 1 and "AssertionError" in done.stderr else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.job_histories")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2)))
    parser.add_argument("--servers", type=int, default=1, help="how many share the store")
    parser.add_argument("--troubles", nargs="+", choices=list(_TROUBLES), default=list(_TROUBLES))
    parser.add_argument("--kinds", nargs="+", choices=list(PROMISES), default=list(PROMISES))
    parser.add_argument("--without", choices=list(WITHOUT), help="what is taken out of a copy")
    options = vars(parser.parse_args())
    without = options.pop("without")
    words = [f"--{name} {_words(value)}" for name, value in options.items()]
    print("python -m tests.job_histories", *words, flush=True)
    if without:
        found = broken_by(without, *" ".join(words).split())
        print(found or f"nothing was found without {without}")
        return 0 if found else 1
    with tempfile.TemporaryDirectory() as folder:
        print(asyncio.run(play(Path(folder), **options)))
    return 0


def _words(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(main())
