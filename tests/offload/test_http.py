# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What an HTTP client is answered, whatever happens to an offloaded call."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import pickle
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from apps.trouble import Trouble
from servers import Site, built, serving, until

from genro_executor_plugin import SerializationError

INTERNAL = {"error": "Internal Server Error"}
P: dict[str, Any] = {"p": {"max_workers": 1}}


def pids(site: Site) -> list[int]:
    return list(site.server.get_executor("p").pids)


async def is_well(site: Site) -> int:
    """The pool answers; the pid of the worker that did."""
    pid = await site.json("/trouble/pid")
    assert pid != os.getpid()
    assert isinstance(pid, int)
    return pid


async def test_a_bodys_own_mistakes_are_500_and_the_requests_are_400() -> None:
    """400 speaks of the request's arguments only, offloaded or not."""
    async with serving(Trouble, executors=P) as site:
        app = site.app("trouble")
        for disabled in (False, True):
            app.router.configure(executor_disabled=disabled)
            for name in ("type_error", "type_error_async", "invalid", "invalid_async", "secret"):
                answer = await site.get(f"/trouble/{name}")
                assert (answer.status_code, answer.json()) == (500, INTERNAL), (name, disabled)
            for wrong in ("", "?number=1&other=2", "/1/2/3"):
                answer = await site.get(f"/trouble/takes{wrong}")
                assert answer.status_code in (400, 404), (wrong, answer.text)
            for body in ({"number": "many"}, {"number": None}, {"number": 1, "text": 2}):
                answer = await site.post("/trouble/takes", body)
                assert answer.status_code == 400, (body, answer.text)
            answer = await site.post("/trouble/takes", {"number": 3, "text": "x"})
            assert answer.json() == {"number": 3, "text": "x"}
        assert site.server.get_executor("p").metrics["restarts"] == 0


class _Planted:
    """Creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.open, (str(self.path), os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize("context", [(), ("apps.context:tenant",)], ids=["plain", "with extras"])
async def test_nothing_that_a_request_holds_is_read_as_part_of_the_protocol(
    context: tuple[str, ...], tmp_path: Path
) -> None:
    """Whatever a handler with ``**filters`` is given by name, it gets, and a worker unpickles no
    bytes of it. ``genro-executor.carried`` is where version 0.1 looked for extras.
    """
    mark = tmp_path / "made by the client"
    planted = base64.b64encode(pickle.dumps(_Planted(mark))).decode() + "::RAW"
    names = ["genro-executor.carried", "genro-executor.extras", "extras"]
    async with serving(Trouble, executors={"p": {"max_workers": 1, "context": context}}) as site:
        answer = await site.get("/trouble/filtered", **dict.fromkeys(names, planted))
        assert (answer.status_code, answer.json()) == (200, dict.fromkeys(names, "bytes"))
    assert not mark.exists()


@pytest.mark.parametrize("disabled", [False, True], ids=["offloaded", "disabled"])
async def test_http_exceptions_keep_status_detail_and_headers(disabled: bool) -> None:
    """Subclasses too, also such as take other arguments than their base."""
    async with serving(Trouble, executors=P) as site:
        site.app("trouble").router.configure(executor_disabled=disabled)
        for kind, status, detail, headers in [
            ("bad", 400, "no such colour", {}),
            ("missing", 404, "no report 7", {"x-report": "7"}),
            ("login", 401, "who are you?", {"www-authenticate": 'Basic realm="x"'}),
            ("forbidden", 403, "HTTP 403", {}),
            ("teapot", 418, "blue holds 0.5 l", {"x-pot": "blue"}),
            ("gone", 410, "HTTP 410", {}),
            ("plain", 409, "conflict", {"retry-after": "9"}),
        ]:
            answer = await site.get("/trouble/http", kind=kind)
            assert (answer.status_code, answer.json()) == (status, {"error": detail}), kind
            assert {name: answer.headers.get(name) for name in headers} == headers, kind
        answer = await site.get("/trouble/http", kind="moved")
        assert (answer.status_code, answer.headers["location"]) == (307, "/trouble/pid")
        assert answer.headers["x-old"] == "1"
        answer = await site.get("/trouble/http_async")
        assert (answer.status_code, answer.headers["x-report"]) == (404, "8")


async def test_what_cannot_travel_is_a_500_in_the_log_and_costs_no_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A result, an attribute of self, an exception: the log names it, the client does not."""
    async with serving(Trouble, executors=P) as site:
        worker = await is_well(site)
        for name, named in [
            ("gives_lock", ("gives_lock", "lock")),
            ("gives_unloadable", ("gives_unloadable", "does not load")),
            ("uses_lock", ("Trouble.lock", "on_worker_startup")),
        ]:
            caplog.clear()
            with caplog.at_level(logging.ERROR, logger="genro_executor_plugin"):
                answer = await site.client.get(f"/trouble/{name}", headers={"accept": "text/html"})
            assert (answer.status_code, answer.text) == (500, "Internal Server Error"), name
            for word in named:
                assert word in caplog.text, name
            assert await is_well(site) == worker, name
        metrics = site.server.get_executor("p").metrics
        assert (metrics["restarts"], metrics["crashed"], metrics["failed"]) == (0, 0, 3)


async def test_an_attribute_that_did_not_travel_is_no_answer() -> None:
    """What stands for it in a worker explains the inside; it must not reach a client."""
    async with serving(Trouble, executors=P) as site:
        answer = await site.get("/trouble/gives_attribute")
        assert (answer.status_code, answer.json()) == (500, INTERNAL)


@pytest.mark.parametrize("bypass", [False, True], ids=["process", "bypass"])
async def test_an_argument_that_cannot_travel_is_named(bypass: bool) -> None:
    """Never a bare TypeError, and nothing is started for it."""
    async with built(Trouble, executors={"p": {"max_workers": 1, "bypass": bypass}}) as server:
        node = server.applications["trouble"].route.node("takes_anything")
        with pytest.raises(SerializationError) as caught:
            await node(thing=threading.Condition())
        for word in ("'thing'", "takes_anything", "threading.Condition"):
            assert word in str(caught.value)
        assert (caught.value.route, caught.value.pool) == ("takes_anything", "p")
        assert server.get_executor("p").metrics["workers"] == 0
        assert await node(thing="plain") == "'plain'"


async def test_a_pools_refusal_in_the_applications_own_code_is_answered_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """``run_process`` of something that cannot travel: 500, a stable body, a line in the log."""
    async with serving(Trouble, executors={**P, "cpu": {"max_workers": 1}}) as site:
        with caplog.at_level(logging.ERROR, logger="genro_executor_plugin"):
            answer = await site.client.get("/trouble/pool_failure", headers={"accept": "text/html"})
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert "'thing'" in caplog.text


async def test_run_blocking_and_run_process() -> None:
    async with serving(Trouble, executors={**P, "cpu": {"max_workers": 1}}) as site:
        said = await site.json("/trouble/with_pools")
        assert said["thread"].startswith("xgenro-executor-blocking-")
        assert [said["pid"]] == site.server.get_executor("cpu").pids


async def test_an_offloaded_handler_that_uses_a_pool_runs_it_where_it_is() -> None:
    """In a worker, pools do not nest; the application's own names work there as decorators do."""
    async with serving(Trouble, executors=P) as site:
        assert await site.json("/trouble/nested") in pids(site)


async def test_a_run_over_its_limit_is_a_504_and_the_next_call_is_fine() -> None:
    async with serving(Trouble, executors=P) as site:
        worker = await is_well(site)
        answer = await site.get("/trouble/endless")
        assert (answer.status_code, answer.json()) == (504, {"error": "The request took too long."})
        assert await is_well(site) != worker
        metrics = site.server.get_executor("p").metrics
        assert (metrics["timed_out"], metrics["restarts"]) == (1, 1)


async def test_a_worker_that_dies_is_a_500_and_the_next_call_is_fine(tmp_path: Path) -> None:
    """However it ends: by itself, by a signal, from outside."""
    async with serving(Trouble, executors=P) as site:
        for path in ("dies?code=3", "dies?code=0", "killed"):
            worker = await is_well(site)
            answer = await site.get(f"/trouble/{path}")
            assert (answer.status_code, answer.json()) == (500, INTERNAL), path
            assert await is_well(site) != worker, path
        worker = await is_well(site)
        answer = await site.get("/trouble/leaves")  # sys.exit in a handler ends no worker
        assert (answer.status_code, answer.json()) == (500, INTERNAL)
        assert await is_well(site) == worker

        answer = await site.get("/trouble/dies_once", marker=str(tmp_path / "died"))
        assert answer.status_code == 200
        metrics = site.server.get_executor("p").metrics
        assert (metrics["crashed"], metrics["restarts"]) == (3, 4)


async def test_a_crash_is_nobody_elses_trouble(gate: Any) -> None:
    """Of two running calls one loses its worker; the other is answered."""
    async with serving(Trouble, executors={"p": {"max_workers": 2}}) as site:
        victim = asyncio.create_task(site.get("/trouble/held", gate=gate.path))
        pid = await gate.entered()
        other = asyncio.create_task(site.get("/trouble/held", gate=gate.path))
        await gate.entered()
        os.kill(pid, signal.SIGKILL)
        answer = await victim
        assert (answer.status_code, answer.json()) == (500, INTERNAL)
        gate.release()
        assert (await other).status_code == 200


async def test_an_overloaded_pool_says_when_to_come_back(gate: Any) -> None:
    """Full with "fail", and a line that did not move in time: 503 with Retry-After."""
    async with serving(Trouble, executors={"p": {"max_workers": 1, "max_pending": 1}}) as site:
        held = asyncio.create_task(site.json("/trouble/held", gate=gate.path))
        await gate.entered()
        for name in ("impatient", "short_wait"):
            answer = await site.get(f"/trouble/{name}")
            assert answer.status_code == 503, name
            assert answer.json() == {"error": "The server is busy. Try again later."}
            assert int(answer.headers["retry-after"]) >= 1
        waiting = asyncio.create_task(site.json("/trouble/pid"))
        await until(lambda: site.server.get_executor("p").metrics["pending"] == 2)
        assert not waiting.done()
        gate.release()
        assert await held == await waiting
        assert site.server.get_executor("p").metrics["rejected"] == 2


@pytest.mark.parametrize("used", [True, False], ids=["used before", "never used"])
async def test_a_closed_pool_says_when_to_come_back(used: bool) -> None:
    """A call after the pools' shutdown, while the server still answers."""
    async with serving(Trouble, executors=P) as site:
        if used:
            await is_well(site)
        await site.server.executors.shutdown_all()
        answer = await site.get("/trouble/pid")
        assert answer.status_code == 503
        assert answer.json() == {"error": "The server is shutting down. Try again later."}
        assert int(answer.headers["retry-after"]) >= 1
        assert await site.json("/trouble/plain") == os.getpid()


async def test_nothing_from_inside_is_in_the_body_of_a_5xx(gate: Any) -> None:
    """No pid, no function, no value, no traceback, as text and as JSON."""
    async with serving(Trouble, executors={"p": {"max_workers": 1, "max_pending": 1}}) as site:
        paths = [
            "type_error",
            "invalid",
            "secret",
            "gives_lock",
            "gives_unloadable",
            "uses_lock",
            "endless",
            "dies?code=7",
            "killed",
        ]
        for accept in ("application/json", "text/html", "*/*"):
            for path in paths:
                worker = await is_well(site)
                answer = await site.client.get(f"/trouble/{path}", headers={"accept": accept})
                assert answer.status_code in (500, 504), path
                for inside in (
                    str(worker),
                    str(os.getpid()),
                    path.partition("?")[0] + " ",
                    "Trouble",
                    "secret",
                    "Traceback",
                    "worker",
                    "pool",
                ):
                    assert inside not in answer.text, (path, accept, answer.text)
            if accept != "application/json":
                paths = ["secret", "gives_lock"]
        held = asyncio.create_task(site.get("/trouble/held", gate=gate.path))
        worker = await gate.entered()
        answer = await site.get("/trouble/impatient")
        for inside in (str(worker), "impatient", "pool", "'p'", "max_pending"):
            assert inside not in answer.text
        gate.release()
        await held


async def test_a_client_that_goes_away_frees_the_worker(gate: Any) -> None:
    """Whatever becomes of its call, those behind it are answered."""
    async with serving(Trouble, executors=P) as site:
        held = asyncio.create_task(site.get("/trouble/held", gate=gate.path))
        await gate.entered()
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        gate.release()
        await is_well(site)
