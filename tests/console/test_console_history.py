# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The history of a server: it outlives restarts and kills, and never stands in the way."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from host import AsgiServer
from programs import started
from servers import serving, until_answered
from waiting import until

from genro_executor_plugin import ExecutorConsole, ExecutorServer
from genro_executor_plugin.console.past import file as file_module
from genro_executor_plugin.console.past import kept, recorder
from genro_executor_plugin.errors import ExecutorConfigError

POOLS: dict[str, Any] = {
    "pdf": {"max_workers": 1},
    "db": {"executor_type": "thread", "max_workers": 2},
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written sooner."""
    monkeypatch.setattr(recorder, "WRITE_SECONDS", 0.05)


def server(kind: str, folder: Path, **options: Any) -> Any:
    """A server of this package, or one of the host's own that the console brings its pools."""
    long_tasks = {"path": folder / "store"}
    if kind == "stock":
        console = {"executors": POOLS, "long_tasks": long_tasks, **options}
        return AsgiServer(applications=[(ExecutorConsole, console), Works], tasks=False)
    applications: list[Any] = [(ExecutorConsole, options), Works]
    return ExecutorServer(
        applications=applications, executors=POOLS, long_tasks=long_tasks, tasks=False
    )


@asynccontextmanager
async def site_in(folder: Path, kind: str = "ours", **options: Any) -> Any:
    async with serving(server=server(kind, folder, **options)) as site:
        yield site


def kinds_of(answer: dict[str, Any]) -> list[str]:
    return [marker["kind"] for marker in answer["markers"]]


def total(answer: dict[str, Any], pool: str, outcome: str = "completed") -> int:
    return sum(one["totals"][outcome] for one in answer["series"] if one["pool"] == pool)


@pytest.mark.parametrize("kind", ["ours", "stock"])
async def test_a_server_that_starts_again_has_the_history_of_the_one_before(
    tmp_path: Path, kind: str, quick: None
) -> None:
    async with site_in(tmp_path, kind) as site:
        for _ in range(3):
            await site.json("/works/report", pages=50)
        await site.get("/works/query")
        await site.get("/works/fail")
        await site.get("/works/die")
        changed = await site.post("/_executors/change/resize", {"pool": "pdf", "max_workers": 2})
        assert changed.status_code == 200

        async def told() -> bool:
            answer = await site.json("/_executors/history?range=15m")
            done = total(answer, "pdf"), total(answer, "db")
            return done == (3, 1) and "change" in kinds_of(answer)

        await until_answered(told)
        both = await site.json("/_executors/history?together=yes")
        assert both["pools"] == ["db", "pdf"]
        assert [(one["pool"], one["totals"]["completed"]) for one in both["series"]] == [("", 4)]
        routes = (await site.json("/_executors/history?route=works/report"))["series"]
        assert [(one["pool"], one["totals"]["completed"]) for one in routes] == [("pdf", 3)]
    async with site_in(tmp_path, kind) as site:
        await site.get("/works/query")

        async def goes_on() -> Any:
            answer = await site.json("/_executors/history?range=1h")
            return answer if total(answer, "db") == 2 and len(kinds_of(answer)) > 4 else None

        answer = await until_answered(goes_on)
        assert total(answer, "pdf") == 3
        assert (total(answer, "pdf", "failed"), total(answer, "pdf", "crashed")) == (1, 1)
        assert kinds_of(answer) == ["start", "crash", "change", "end", "start"]
        start, crash, change = answer["markers"][:3]
        assert start["what"].startswith("server started: process ")
        version = (await site.json("/_executors/snapshot"))["server"]["version"]
        assert start["what"].endswith(f", version {version}")
        assert crash["what"].startswith("a call of works/die in pool pdf crashed: ")
        assert change["what"] == "pool pdf: max_workers=2 (was 1)"
        assert change["who"].startswith("a client at 127.0.0.1")
        (pdf,) = [one for one in answer["series"] if one["pool"] == "pdf"]
        assert (answer["step"], len(answer["at"])) == (60, len(pdf["points"]["busy"]))
        assert max(one or 0 for one in pdf["points"]["run_p95_ms"]) > 0
        assert pdf["points"]["busy"][0] is None  # nobody was there
        assert answer["trouble"] == ""
        assert (await site.json("/_executors/snapshot"))["history"] == {"hours": 72, "trouble": ""}
    assert (tmp_path / "store" / "history.sqlite").exists()


PROGRAM = """
from genro_executor_plugin import ExecutorConsole, ExecutorServer
from genro_executor_plugin.console.past import kept, recorder
from apps.works import Works

recorder.WRITE_SECONDS = 0.05

if __name__ == "__main__":
    ExecutorServer(
        applications=[(ExecutorConsole, {"open": True, "history": "kept/history.sqlite"}), Works],
        executors={"pdf": {"max_workers": 1}, "db": {"executor_type": "thread"}},
        tasks=False,
    ).serve(host="127.0.0.1", port=0)
"""


async def test_a_server_that_is_killed_loses_what_it_had_not_written(tmp_path: Path) -> None:
    """That is half a minute at most."""
    assert recorder.WRITE_SECONDS <= 30
    (tmp_path / "program.py").write_text(PROGRAM)
    for number in (1, 2):
        with started("program.py", cwd=tmp_path, imported=True) as program:
            await asyncio.to_thread(program.until_it_serves)
            async with program.client() as client:
                assert (await client.get("/works/query")).status_code == 200

                async def told(client: Any = client, number: int = number) -> bool:
                    answer = (await client.get("/_executors/history?range=15m")).json()
                    return total(answer, "db") == number

                await until_answered(told)
                answer = (await client.get("/_executors/history?range=15m")).json()
                # None has ended: a start that has no end before it tells of that.
                assert kinds_of(answer) == ["start"] * number
            program.signal(signal.SIGKILL)
            program.wait()


async def test_several_processes_have_one_history(tmp_path: Path, quick: None) -> None:
    async with site_in(tmp_path) as one, site_in(tmp_path) as other:
        for site in (one, other, other):
            await site.get("/works/query")

        async def told() -> Any:
            answer = await one.json("/_executors/history")
            return answer if total(answer, "db") == 3 else None

        assert kinds_of(await until_answered(told)) == ["start", "start"]


HOSTILE: tuple[tuple[str, str | None], ...] = (
    ("range=7m", "range='7m' is not one of 15m, 1h, 6h, 24h, 72h; or give since and until"),
    ("range=%00", "is not one of 15m"),
    (f"range={'9' * 5000}", "at most 300 characters"),
    ("range=1h&range=6h", "range is given twice"),
    ("range=1h&since=5", "either range, or since and until"),
    ("together=1", "together='1' is not one of yes, no"),
    ("together=yes&pool=pdf", "either pool or route, or together=yes"),
    ("rang=1h", "no field 'rang'; there are range, since, until, pool, route, together"),
    ("since=nan", "since='nan' is no moment, in seconds since the epoch"),
    ("since=-1", "is no moment"),
    ("until=1e400", "is no moment"),
    ("until=99999999999", "is no moment"),
    ("since=0", "is not from 60 to 324000 seconds"),
    ("since=1700000000&until=1700000001", "is not from 60"),
    ("since=1700000000&until=1600000000", "is not from 60"),
    ("&".join(f"a{n}=1" for n in range(30)), "More than 20 fields"),
    ("pool=%ED%A0%80", None),
    ("pool=nobody&route=%27%3B+DROP+TABLE+series", None),
    ("since=0&until=324000", None),
    ("since=2000000000&until=2000000900", None),
    ("range=", None),
    ("", None),
)


async def test_what_nobody_should_ask_for_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        for query, cure in HOSTILE:
            answer = await site.get(f"/_executors/history?{query}")
            if cure is None:
                assert answer.status_code == 200, (query, answer.text)
                assert len(answer.json()["at"]) <= 362
            else:
                assert answer.status_code == 400, query
                assert cure in answer.json()["error"]


async def test_a_server_without_a_history_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site_in(tmp_path, history="off") as site:
        answer = await site.get("/_executors/history")
        assert answer.status_code == 404
        assert "it was started with history='off'. Give its console a" in answer.json()["error"]
        assert (await site.json("/_executors/snapshot"))["history"] is None
    assert "history.sqlite" not in os.listdir(tmp_path / "store")
    for wrong in (True, 5, "", " ", "a\0b", b"x"):
        with pytest.raises(ExecutorConfigError, match=r"history=.* is not the path of a file, or"):
            ExecutorConsole(history=wrong)


async def test_a_file_that_cannot_be_used_is_told_once_and_everything_else_goes_on(
    tmp_path: Path, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    """And what was not written is written when it can be."""
    caplog.set_level(logging.INFO, "genro_executor_plugin")
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    async with site_in(tmp_path, history=str(path)) as site:
        for _ in range(3):
            await site.get("/works/query")
        trouble = f"the history in {path} is not used: it is no history"

        async def told() -> bool:
            state = (await site.json("/_executors/snapshot"))["history"]
            return bool(state["trouble"].startswith(trouble))

        await until_answered(told)
        refused = await site.get("/_executors/history")
        assert refused.status_code == 503
        assert refused.json()["error"].startswith(trouble)
        assert (await site.get("/_executors/health")).status_code == 200
        path.unlink()

        async def written() -> bool:
            answer = await site.get("/_executors/history")
            return answer.status_code == 200 and total(answer.json(), "db") == 3

        await until_answered(written)
        await until_answered(lambda: _is(caplog, "is written again"))
    assert sum(trouble in record.getMessage() for record in caplog.records) == 1
    assert sum("is written again" in record.getMessage() for record in caplog.records) == 1


async def _is(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


async def test_a_file_that_is_locked_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """Neither requests nor the end of the server wait for it longer than is said."""
    for module, name in (
        (file_module, "_BUSY_SECONDS"),
        (file_module, "_HANGS_SECONDS"),
        (kept, "_PATIENCE_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 60.0)
    monkeypatch.setattr(recorder, "END_SECONDS", 0.2)
    path = tmp_path / "history.sqlite"
    async with site_in(tmp_path, history=path) as site:
        await until_answered(lambda: _has_tables(path))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            asked = [asyncio.create_task(site.get("/_executors/history")) for _ in range(12)]
            await until(lambda: sum(task.done() for task in asked) == 8)
            refused = [task.result() for task in asked if task.done()]
            assert {answer.status_code for answer in refused} == {503}
            assert "Too many ask" in refused[0].json()["error"]
            assert (await site.get("/works/query")).text == "done"
            assert (await site.get("/_executors/snapshot")).status_code == 200
            stopping = time.monotonic()
            await site.app("_executors").on_shutdown()
            assert time.monotonic() - stopping < 20
        answers = await asyncio.gather(*asked)
        assert [answer.status_code for answer in answers].count(200) == 4


async def test_a_worker_that_dies_while_it_runs_nothing_is_told(
    tmp_path: Path, quick: None
) -> None:
    async with site_in(tmp_path) as site:
        os.kill((await site.json("/works/report"))["pid"], signal.SIGKILL)

        async def told() -> bool:
            markers = (await site.json("/_executors/history"))["markers"]
            died = "a worker of pool pdf died, and no call failed for that"
            return [mark["what"] for mark in markers if mark["kind"] == "crash"] == [died]

        await until_answered(told)


async def test_a_disk_that_hangs_is_told_and_holds_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(file_module, "_HANGS_SECONDS", 0.05)
    async with site_in(tmp_path) as site:
        file = site.app("_executors")._kept._recorder.file
        with file._one:  # as the thread has it whose write does not return
            answer = await site.get("/_executors/history")
            assert answer.status_code == 503
            assert "has not ended. The disk it is on may hang" in answer.json()["error"]
            assert (await site.get("/works/query")).status_code == 200
        assert (await site.get("/_executors/history")).status_code == 200


async def _has_tables(path: Path) -> bool:
    return await asyncio.to_thread(lambda: path.exists() and path.stat().st_size > 0)
