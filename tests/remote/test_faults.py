# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What becomes of calls when agents, the network or the server of NATS fail."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_functions as wf
from agents import AgentProgram, NatsServer, agent, nats_server, pool_options
from waiting import until

from genro_executor_plugin import (
    ExecutorConfigError,
    ExecutorError,
    ExecutorRegistry,
    NatsExecutor,
    NoAgentError,
    WorkerLostError,
)

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with nats_server() as server:
        yield server


@pytest.fixture
async def make(nats: NatsServer) -> AsyncIterator[Any]:
    made: list[NatsExecutor] = []

    def make(subject: str, **options: Any) -> NatsExecutor:
        made.append(NatsExecutor("heavy", **pool_options(nats.url, subject, **options)))
        return made[-1]

    yield make
    for pool in made:
        await pool.shutdown()


def known_agents(pool: Any) -> list[Any]:
    agents: list[Any] = pool._engine._dispatcher.agents.all()
    return agents


def refused(pool: Any) -> Any:
    return pool._engine._dispatcher.exchange.refusals.counts


# -- nobody takes it -------------------------------------------------------------------------------


async def test_a_call_that_nobody_takes_fails_at_once(make: Any) -> None:
    pool = make("nobody", lost_after=60)
    await pool.warm()
    began = time.monotonic()
    with pytest.raises(
        NoAgentError, match=r"'heavy' .*'nobody' at nats://.*nobody listens.*was sent"
    ):
        await pool.submit(wf.answer)
    assert time.monotonic() - began < 25
    assert pool.metrics["rejected"] == 1
    where = f"'nobody' at {pool.pool_options.own['url']}"
    assert pool.unhealthy == f"no agent for {where}: nobody listens there"


async def test_nats_that_cannot_be_reached_is_named() -> None:
    pool = NatsExecutor("heavy", **pool_options("nats://127.0.0.1:1", "far"))
    with pytest.raises(ExecutorError, match=r"reached at nats://127.0.0.1:1: .*nats-server"):
        await pool.submit(wf.answer)
    await pool.shutdown()


async def test_a_declaration_that_cannot_be_kept_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def declared(**options: Any) -> Any:
        registry = ExecutorRegistry()
        registry.declare("heavy", executor_type="nats", **options)
        return registry.get("heavy")

    with pytest.raises(ExecutorConfigError, match=r"url='worker' .*subject='a b'"):
        declared(url="worker", subject="a b")
    with pytest.raises(ExecutorConfigError, match=r"a nats pool needs url=.*needs subject="):
        declared()
    with pytest.raises(ExecutorConfigError, match=r"memory_limit=.* not for a nats pool"):
        declared(url="nats://a", subject="b", memory_limit="1GB")
    monkeypatch.delenv("GENRO_EXECUTOR_NATS_SECRET", raising=False)
    unsigned = declared(url="nats://127.0.0.1:1", subject="b")
    with pytest.raises(ExecutorConfigError, match="pool 'heavy': there is no secret"):
        await unsigned.warm()
    with pytest.raises(ExecutorConfigError, match="there is no secret"):
        await unsigned.submit(wf.answer)
    with pytest.raises(ExecutorError, match="NATS cannot be reached"):
        await declared(url="nats://127.0.0.1:1", subject="b", insecure=True).warm()


async def test_an_agent_with_another_secret_is_nobody(make: Any, nats: NatsServer) -> None:
    secret = {"GENRO_EXECUTOR_NATS_SECRET": "another secret, and long enough"}
    with agent(nats.url, "secrets", **secret) as program:
        pool = make("secrets")
        await pool.warm()
        await until(lambda: refused(pool)["signature"])
        with pytest.raises(NoAgentError, match="nobody listens there who has the same secret"):
            await pool.submit(wf.answer)
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
    assert "a message on the subject 'secrets.ask' was refused: its signature" in program.log
    assert program.log.count("was refused") == 1


async def test_an_agent_with_another_source_is_refused_before_a_call_is_sent(
    make: Any, nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("here", "return 1"), ("there", "return 2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "served.py").write_text(f"def func():\n    {text}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    import served  # type: ignore[import-not-found] # it was just written

    old = {"PYTHONPATH": str(tmp_path / "there")}
    with agent(nats.url, "sources", "--module", "served", **old):
        pool = make("sources")
        await pool.warm()
        with pytest.raises(NoAgentError, match=r"source of module served differs \(\w+ here, \w+"):
            await pool.submit(served.func)
        assert "differs" in pool.unhealthy
        new = {"PYTHONPATH": str(tmp_path / "here")}
        with agent(nats.url, "sources", "--module", "served", **new):
            await until(lambda: len(known_agents(pool)) == 2)
            assert {await pool.submit(served.func) for _ in range(5)} == {1}
            with pytest.raises(NoAgentError, match="does not serve the module 'worker_functions'"):
                await pool.submit(wf.answer)
            assert pool.unhealthy is None


async def test_an_agent_waits_for_nats_and_says_so_once(make: Any, tmp_path: Path) -> None:
    server = NatsServer()
    early = AgentProgram(server.url, "early", "--pool", "max_workers=1")
    try:
        early.until_it_says("NATS cannot be reached")
        server.start()
        early.until_it_is_there()
        pool = NatsExecutor("early", **pool_options(server.url, "early"))
        assert await pool.submit(wf.answer) == 42
        await pool.shutdown()
        early.signal(signal.SIGTERM)
        assert early.wait() == 0
        assert early.log.count("cannot be reached") == 1
    finally:
        early.end()
        server.stop()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--url", "worker"), "--url 'worker' is not allowed; give the address"),
        (("--subject", "a b"), "--subject 'a b' is not allowed; give a subject"),
        (("--pool", "max_workers=none"), "max_workers='none' is not a whole number"),
        (("--pool", "max_workers"), "'max_workers' has no value"),
        (("--module", "no_such_module"), "there is no module 'no_such_module'"),
        (("--secret-file", "/nowhere"), "cannot be read from '/nowhere'"),
    ],
)
def test_an_agent_that_cannot_begin_says_why(options: tuple[str, ...], said: str) -> None:
    program = AgentProgram("nats://127.0.0.1:1", "bad", *options)
    try:
        assert program.wait() == 2
        assert said in program.log
        assert "Traceback" not in program.log
    finally:
        program.end()


# -- agents that fail ------------------------------------------------------------------------------


async def test_the_call_of_a_killed_agent_is_lost_and_others_go_on(
    make: Any, nats: NatsServer, gate: Any
) -> None:
    one, two = "--pool", "max_workers=1"
    with agent(nats.url, "killed", one, two) as first, agent(nats.url, "killed", one, two):
        pool = make("killed")
        await pool.warm()
        await until(lambda: len(known_agents(pool)) == 2)
        calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
        pids = {await gate.entered(), await gate.entered()}
        first.signal_all(signal.SIGKILL)
        (lost,) = (await asyncio.wait(calls, return_when="FIRST_COMPLETED"))[0]
        with pytest.raises(WorkerLostError, match=r"hold, which was sent to .*pid \d+.*has left"):
            await lost
        error: Any = lost.exception()
        assert error.pid == first.pid
        assert error.pool == "heavy"
        assert error.agent in first.log
        assert (pool.metrics["crashed"], pool.metrics["running"]) == (1, 1)
        gate.release()
        assert await next(call for call in calls if call is not lost) == "released"
        assert await pool.submit(wf.pid) in pids
        assert pool.metrics["workers"] == 1


async def test_a_lost_call_runs_elsewhere_if_retries_say_so(
    make: Any, nats: NatsServer, gate: Any
) -> None:
    one, two = "--pool", "max_workers=1"
    with agent(nats.url, "again", one, two) as first:
        pool = make("again")
        call = asyncio.create_task(pool.options(retries=1).submit(wf.hold, gate.path))
        await gate.entered()
        with agent(nats.url, "again", one, two):
            first.signal_all(signal.SIGKILL)
            await gate.entered()
            gate.release()
            assert await call == "released"


async def test_the_answer_of_an_agent_that_was_given_up_is_refused(
    make: Any, nats: NatsServer, gate: Any, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    with agent(nats.url, "stopped", "--pool", "max_workers=1") as program:
        pool = make("stopped", lost_after=2)
        call = asyncio.create_task(pool.submit(wf.hold_and_record, gate.path, str(trace)))
        await gate.entered()
        program.signal(signal.SIGSTOP)
        with pytest.raises(WorkerLostError, match="nothing was heard of it for"):
            await call
        next_one = asyncio.create_task(pool.submit(wf.answer))
        with pytest.raises(NoAgentError):
            await next_one
        gate.release()
        await until(trace.exists)
        program.signal(signal.SIGCONT)
        await until(lambda: refused(pool)["late"])
        await until(lambda: len(known_agents(pool)) == 1)
        await until(lambda: not known_agents(pool)[0].unsettled)  # it need not keep that answer
        assert [await pool.submit(wf.echo, number) for number in range(5)] == [*range(5)]


async def test_a_run_of_an_agent_that_was_given_up_is_ended_when_it_is_back(
    make: Any, nats: NatsServer, gate: Any
) -> None:
    with agent(nats.url, "back", "--lost-after", "60", "--pool", "max_workers=1") as program:
        pool = make("back", lost_after=2)
        call = asyncio.create_task(pool.submit(wf.hold, gate.path))
        worker = psutil.Process(await gate.entered())
        program.signal(signal.SIGSTOP)
        with pytest.raises(WorkerLostError):
            await call
        program.signal(signal.SIGCONT)
        await until(lambda: not worker.is_running())
        assert await pool.submit(wf.echo, 1) == 1


async def test_an_agent_and_a_server_that_have_given_each_other_up_find_each_other_again(
    make: Any, nats: NatsServer, gate: Any
) -> None:
    with agent(nats.url, "paused", "--lost-after", "1", "--pool", "max_workers=1") as program:
        pool = make("paused", lost_after=2)
        call = asyncio.create_task(pool.submit(wf.hold, gate.path))
        await gate.entered()
        program.signal(signal.SIGSTOP)
        with pytest.raises(WorkerLostError):
            await call
        program.signal(signal.SIGCONT)
        program.until_it_says("was not heard of for")
        await until(lambda: len(known_agents(pool)) == 1)
        assert [await pool.submit(wf.echo, number) for number in range(5)] == [*range(5)]
        assert not refused(pool)["replayed"]


async def test_a_full_agent_has_calls_wait_and_two_servers_share_it(
    make: Any, nats: NatsServer, gate: Any, tmp_path: Path
) -> None:
    with agent(nats.url, "full", "--pool", "max_workers=1"):
        ours, theirs = make("full"), make("full")
        await ours.warm()
        await theirs.warm()
        held = asyncio.create_task(ours.submit(wf.hold, gate.path))
        await gate.entered()
        done: list[str] = []

        async def call(pool: Any, name: str) -> None:
            await pool.submit(wf.answer)
            done.append(name)

        calls = [asyncio.create_task(call(ours, "ours")) for _ in range(20)]
        await until(lambda: ours.metrics["pending"] == 21)
        calls += [asyncio.create_task(call(theirs, "theirs")) for _ in range(20)]
        await until(lambda: theirs.metrics["pending"] == 20)
        await until(lambda: theirs.metrics["running"] == 0)
        with pytest.raises(ExecutorError, match="queue_timeout"):
            await theirs.options(queue_timeout=0.05).submit(wf.answer)
        gate.release()
        await asyncio.gather(held, *calls)
        assert 7 <= done[:20].count("theirs") <= 13, done


async def test_an_agent_that_is_told_to_end_finishes_what_it_runs(
    make: Any, nats: NatsServer, gate: Any
) -> None:
    with agent(nats.url, "ending", "--pool", "max_workers=2") as first:
        pool = make("ending")
        call = asyncio.create_task(pool.submit(wf.hold, gate.path))
        await gate.entered()
        first.signal(signal.SIGTERM)
        await until(lambda: not known_agents(pool)[0].said.serves)
        with pytest.raises(NoAgentError, match="is about to end"):
            await pool.submit(wf.answer)
        with agent(nats.url, "ending", "--pool", "max_workers=1"):
            assert await pool.submit(wf.answer) == 42
            gate.release()
            assert await call == "released"
            assert first.wait() == 0
        assert not first.left()


async def test_a_caller_that_leaves_ends_the_run_on_the_agent(
    make: Any, nats: NatsServer, gate: Any
) -> None:
    with agent(nats.url, "left", "--pool", "max_workers=1"):
        pool = make("left")
        for _ in range(2):
            call = asyncio.create_task(pool.submit(wf.hold, gate.path))
            worker = psutil.Process(await gate.entered())
            call.cancel()
            await until(lambda worker=worker: not worker.is_running())
        ending = make("left", shutdown_timeout=0.1)
        call = asyncio.create_task(ending.submit(wf.hold, gate.path))
        worker = psutil.Process(await gate.entered())
        await ending.shutdown()
        await until(lambda: not worker.is_running())
        with pytest.raises(ExecutorError, match="shut"):
            await call


async def test_a_caller_that_leaves_may_have_the_run_go_on(
    make: Any, nats: NatsServer, gate: Any
) -> None:
    with agent(nats.url, "abandoned", "--pool", "max_workers=1"):
        pool = make("abandoned", on_cancel="abandon")
        call = asyncio.create_task(pool.submit(wf.hold, gate.path))
        pid = await gate.entered()
        call.cancel()
        await asyncio.sleep(1.2)  # longer than it takes until the agent is told what is awaited
        assert psutil.pid_exists(pid)
        gate.release()
        assert await pool.submit(wf.pid) == pid


async def test_a_server_that_is_gone_has_its_runs_ended(nats: NatsServer, gate: Any) -> None:
    with agent(nats.url, "orphans", "--lost-after", "1", "--pool", "max_workers=1") as program:
        pool = NatsExecutor("heavy", **pool_options(nats.url, "orphans"))
        call = asyncio.create_task(pool.submit(wf.hold, gate.path))
        worker = psutil.Process(await gate.entered())
        dispatcher: Any = pool._engine._dispatcher  # type: ignore[attr-defined]
        await dispatcher.exchange.connection.close()  # as if its machine were gone
        await asyncio.to_thread(program.until_it_says, "was not heard of for .* are ended")
        await until(lambda: not worker.is_running())
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await pool.shutdown()


# -- the server of NATS ----------------------------------------------------------------------------


async def test_calls_survive_a_new_start_of_nats(
    gate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_server() as server, agent(server.url, "cut", "--pool", "max_workers=2"):
        pool = NatsExecutor("heavy", **pool_options(server.url, "cut"))
        held = asyncio.create_task(pool.submit(wf.hold, gate.path))
        await gate.entered()
        with caplog.at_level(logging.INFO, "genro_executor_plugin"):
            server.stop()
            await until(lambda: pool.unhealthy is not None)
            assert "NATS cannot be reached" in str(pool.unhealthy)
            waiting = asyncio.create_task(pool.submit(wf.answer))
            gate.release()  # it is answered while nobody can hear it
            server.start()
            began = time.monotonic()
            assert await waiting == 42
            assert await held == "released"
        assert time.monotonic() - began < 40
        assert "has lost NATS" in caplog.text
        assert "has reached NATS again" in caplog.text
        await until(lambda: pool.unhealthy is None)
        await pool.shutdown()


async def test_calls_fail_when_nats_stays_away() -> None:
    with nats_server() as server, agent(server.url, "away"):
        pool = NatsExecutor("heavy", **pool_options(server.url, "away", lost_after=1))
        assert await pool.submit(wf.answer) == 42
        server.stop()
        await until(lambda: pool.unhealthy is not None)
        with pytest.raises(NoAgentError, match="NATS cannot be reached"):
            await pool.submit(wf.answer)
        await pool.shutdown()
