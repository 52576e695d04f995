# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs while their server is killed again and again: each ends once, none is run twice.

``python -m tests.tasks_soak [JOBS] [KILLS]``; ``tox run -e tasks-soak`` does 1,000 and 10, the
test suite fewer.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))
from programs import TESTS, RunningProgram
from servers import until, until_answered

SUBMITTERS = 8
FINAL = {"succeeded", "failed", "cancelled", "lost"}


class Soak:
    """One run: submitters, a killer, and what was seen."""

    def __init__(self, folder: Path, jobs: int, kills: int, seed: int = 0) -> None:
        self._folder = folder
        self._jobs = jobs
        self._kills = kills
        self._dice = random.Random(seed)
        self._server: RunningProgram
        self._url = ""
        self._up = asyncio.Event()
        self.accepted: dict[str, str] = {}
        self.final: dict[str, str] = {}
        self.killed: list[float] = []
        self.changed: list[tuple[str, str, str]] = []

    async def run(self) -> None:
        """Submit everything, kill the server meanwhile, and wait until every job has ended."""
        await self._start()
        try:
            numbers = iter(range(self._jobs))
            submitting = asyncio.gather(*(self._submit(numbers) for _ in range(SUBMITTERS)))
            for kill in range(self._kills):
                await self._until_submitted(
                    self._jobs * (kill + 1) // (self._kills + 1), submitting
                )
                await asyncio.sleep(self._dice.random() * 0.3)
                self._up.clear()
                self.killed.append(time.time())
                self._server.signal_all(signal.SIGKILL)
                await self._end()
                await self._start()
                await self._look()
            await submitting
            await until_answered(self._look, 0.1)
            self.results = await self._results()
        finally:
            await self._end()

    async def _end(self) -> None:
        client = self._client
        await asyncio.to_thread(self._server.end)
        await client.aclose()

    async def _start(self) -> None:
        self._server = RunningProgram(
            TESTS / "apps" / "lasting.py",
            str(self._folder / "store"),
            str(self._folder),
            cwd=self._folder,
            imported=True,
        )
        await asyncio.to_thread(self._server.until_it_serves)
        self._client = self._server.client()
        self._client.auth = ("ann", "secret")  # a key is its submitter's, before and after a kill
        self._up.set()

    async def _until_submitted(self, count: int, submitting: asyncio.Future[Any]) -> None:
        await until(lambda: len(self.accepted) >= count or submitting.done())

    async def _submit(self, numbers: Any) -> None:
        for number in numbers:
            kind = ("background", "once", "repeatable")[number % 3]
            name = f"{kind}-{number}"
            seconds = self._dice.choice((0, 0, 0, 0.02, 0.1))
            while name not in self.accepted:
                await self._up.wait()
                try:
                    answer = await self._client.post(
                        f"/lasting/{kind}",
                        params={"name": name, "seconds": seconds},
                        headers={"idempotency-key": name},
                    )
                except httpx.TransportError:
                    await asyncio.sleep(0.01)  # killed; whether it was accepted, nobody knows
                    continue
                assert answer.status_code in (200, 202), answer.text
                self.accepted[name] = answer.json()["task_id"]

    async def _look(self) -> bool:
        """Note every final state; whether all jobs have one."""
        answer = await self._client.get("/lasting/jobs")
        jobs = answer.json()["jobs"]
        for job in jobs:
            known = self.final.get(job["id"])
            if known is not None and known != job["state"]:
                self.changed.append((job["id"], known, job["state"]))
            if job["state"] in FINAL:
                self.final[job["id"]] = job["state"]
        self.listed = Counter(job["id"] for job in jobs)
        self.jobs = {job["id"]: job for job in jobs}
        return all(job["state"] in FINAL for job in jobs)

    async def _results(self) -> dict[str, Any]:
        found = {}
        for name, task_id in self.accepted.items():
            if self.final.get(task_id) == "succeeded":
                answer = await self._client.get("/lasting/outcome", params={"task_id": task_id})
                found[name] = answer.json()["result"]
        return found

    def check(self) -> dict[str, Any]:
        """The figures of the run, if everything that was promised held."""
        lines = (self._folder / "begun").read_text().splitlines()
        begun = Counter(line.split()[0] for line in lines)
        overlaps = self._folder / "overlaps"
        if overlaps.exists():
            names = overlaps.read_text().split()
            runs = [line for line in lines if line.split()[0] in names]
            raise AssertionError(f"ran twice at a time: {names}: {runs}; killed {self.killed}")
        assert not self.changed, f"a final state changed: {self.changed}"
        assert len(self.accepted) == self._jobs
        assert set(self.listed.values()) == {1}
        states = {name: self.final.get(task_id) for name, task_id in self.accepted.items()}
        assert None not in states.values(), "accepted, and gone or without a final state"
        for name, state in states.items():
            if name.startswith("repeatable"):
                assert state == "succeeded", (name, state)
                assert begun[name] >= 1
                continue
            assert state in ("succeeded", "lost"), (name, state, self.jobs[self.accepted[name]])
            assert begun[name] <= 1, f"{name} ran {begun[name]} times"
            assert state == "lost" or begun[name] == 1
        for name, state in states.items():
            if state == "succeeded":
                assert self.results[name] == f"done {name}"
        counted = Counter(states.values())
        return {
            "jobs": self._jobs,
            "kills": self._kills,
            **{str(state): number for state, number in counted.items()},
            "repeated": sum(1 for number in begun.values() if number > 1),
        }


async def soak(folder: Path, jobs: int, kills: int, seed: int = 0) -> dict[str, Any]:
    """The figures of a run of ``jobs`` jobs and ``kills`` kills."""
    run = Soak(folder, jobs, kills, seed)
    await run.run()
    return run.check()


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        print(asyncio.run(soak(Path(folder), jobs, kills, seed)))
    print(f"{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
