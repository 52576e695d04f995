# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Kinds of one's own: engines, what they declare, and one that breaks its contract."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import host
import pytest
import worker_functions as wf
from genro_routes import route
from host import HTTPNotFound, RoutedApplication
from programs import run_program

from genro_executor_plugin import (
    Capability,
    Engine,
    EngineOption,
    ExecutorConfigError,
    ExecutorError,
    ExecutorRegistry,
    ExecutorServer,
    InlineExecutor,
    Load,
    PortableCalls,
    ProcessExecutor,
    ThreadExecutor,
)
from genro_executor_plugin.executors import steering


def _host(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("give a host name")
    return value


class Here(Engine):
    """Runs calls on the event loop: the least that an engine can be."""

    own_options = {"host": EngineOption(_host), "port": EngineOption(int, default=4222)}

    async def run(self, call: Any, packed: Any) -> Any:
        call.waited, call.ran = 0.0, 0.001
        try:
            return call.func(*call.args, **call.kwargs)
        except Exception:
            call.raised = True
            raise

    def load(self) -> Load:
        return Load(0, 0, 1)

    async def close(self) -> None:
        """Nothing is left of a call."""


class Careless(Here):
    """An engine with a fault of its own."""

    own_options: ClassVar[dict[str, EngineOption]] = {}

    async def run(self, call: Any, packed: Any) -> Any:
        return {}["no such key"]


def registry_with(**kinds: Any) -> ExecutorRegistry:
    registry = ExecutorRegistry()
    for name, factory in kinds.items():
        registry.register_factory(name, factory)
    return registry


# -- what is registered ----------------------------------------------------------------------------


async def test_an_engine_makes_a_kind_of_pool() -> None:
    registry = registry_with(here=Here)
    registry.declare("near", executor_type="here", host="example.org", max_pending=3)
    pool = registry.get("near")
    assert await pool.submit(wf.answer) == 42
    with pytest.raises(ValueError, match="'broken'"):
        await pool.submit(int, "broken")
    assert pool.pool_options.own == {"host": "example.org", "port": 4222}
    metrics = pool.metrics
    assert (metrics["mode"], pool.kind, metrics["workers"]) == ("here", "here", 1)
    assert (metrics["completed"], metrics["failed"]) == (1, 1)
    assert registry.get_or_create("near", executor_type="here", host="example.org") is pool
    with pytest.raises(ExecutorConfigError, match=r"example\.com"):
        registry.get_or_create("near", executor_type="here", host="example.com")
    await registry.shutdown_all()


class NoEnd(Here):
    close = Engine.close


class NotAsync(Here):
    def run(self, call: Any, packed: Any) -> Any:  # type: ignore[override]
        return None


class Boasting(Here):
    capabilities = frozenset({Capability.KILLS, "flies"})  # type: ignore[arg-type]


class Nothing(Here):
    capabilities = None  # type: ignore[assignment]


class Taken(Here):
    own_options = {"timeout": EngineOption(int)}


class Loose(Here):
    own_options = {"host": str}  # type: ignore[dict-item]


class NoOptions(Here):
    own_options = None  # type: ignore[assignment]


class CannotPause(Here):
    capabilities = frozenset({Capability.PAUSES})


class CannotRestart(Here):
    capabilities = frozenset({Capability.WORKERS})

    async def start(self) -> None:
        """Nothing is to be started."""


class AsyncLoad(Here):
    async def load(self) -> Load:  # type: ignore[override]
        return Load(0, 0, 1)


class NoWorkers(Here):
    default_workers = 0


class Named(Here):
    own_options = {"name": EngineOption(str)}


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (NoEnd, "NoEnd lacks close"),
        (NotAsync, "NotAsync: run has to be a coroutine function"),
        (Boasting, "Boasting declares the unknown capability 'flies'; there are .*kills"),
        (Nothing, "capabilities=None; give a set"),
        (NoOptions, "own_options=None; give a dict"),
        (CannotPause, "CannotPause declares PAUSES and lacks set_paused"),
        (CannotRestart, "CannotRestart declares WORKERS and lacks workers"),
        (AsyncLoad, "load has to be a plain function"),
        (NoWorkers, "default_workers=0; give a whole number"),
        (Named, "'name' cannot be the name of an option"),
        (Taken, "'timeout' is an option of every pool already"),
        (Loose, "own_options has 'host'.*give a name and an EngineOption"),
    ],
)
def test_an_engine_that_breaks_its_contract_is_refused_when_it_is_registered(
    engine: Any, words: str
) -> None:
    with pytest.raises(ExecutorConfigError, match=words):
        registry_with(broken=engine)


@pytest.mark.parametrize("name", ["", 3, None])
def test_a_kind_has_a_name(name: Any) -> None:
    with pytest.raises(ExecutorConfigError, match="a kind's name is a text"):
        registry_with().register_factory(name, Here)


@pytest.mark.parametrize("option", ["kind", "engine"])
@pytest.mark.parametrize("pool", [ProcessExecutor, ThreadExecutor, InlineExecutor])
def test_the_kinds_of_this_package_have_their_engine(pool: Any, option: str) -> None:
    with pytest.raises(ExecutorConfigError, match=f"unknown option '{option}'"):
        pool("pool", **{option: "x"})


def test_a_pool_without_an_engine_is_refused() -> None:
    from genro_executor_plugin import BaseExecutor

    with pytest.raises(ExecutorConfigError, match="pool 'none' has no engine"):
        BaseExecutor("none")


# -- its options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "pool 'near': a here pool needs host="),
        ({"host": 3}, "pool 'near': host=3 is not allowed; give a host name"),
        ({"host": "a", "hots": 1}, "unknown option 'hots'; a here pool takes .*host"),
        ({"host": "a", "port": []}, r"port=\[\] is not allowed; int"),
        ({"host": "a", "timeout": 1.0}, "timeout=1.0 is not for a here pool: what it runs cannot"),
        ({"host": "a", "retries": 1}, "retries=1 is not for a here pool"),
        ({"host": "a", "soft_timeout": 1.0}, "soft_timeout=1.0 is not for a here pool"),
        ({"host": "a", "initializer": print}, "initializer=.* is not for a here pool"),
        ({"host": "a", "context": ["x"]}, "context=.* is not for a here pool"),
        ({"host": "a", "min_workers": 1}, "min_workers=1 is not for a here pool"),
        ({"host": "a", "abandon_on_timeout": True}, "abandon_on_timeout=True is not for"),
        ({"host": "a", "idle": 1.0}, "idle=1.0 is not for a here pool"),
    ],
)
def test_options_are_refused_by_capability_when_the_pool_is_declared(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ExecutorConfigError, match=words):
        registry_with(here=Here).declare("near", executor_type="here", **options)


def test_what_a_kind_cannot_do_is_refused_by_name() -> None:
    registry = registry_with(here=Here)
    registry.declare("near", executor_type="here", host="a")
    pool = registry.get("near")
    for change in (pool.pause, lambda: pool.resize(2), lambda: pool.kill_worker(os.getpid())):
        with pytest.raises(ExecutorConfigError, match="Pool 'near' is a here pool"):
            change()
    with pytest.raises(ExecutorConfigError, match=r"timeout=1\.0 is not for pool 'near'"):
        pool.options(timeout=1.0)


# -- an engine with a fault ------------------------------------------------------------------------


async def test_a_fault_of_an_engine_fails_its_own_call_and_is_told_by_name() -> None:
    registry = registry_with(careless=Careless)
    registry.declare("rash", executor_type="careless")
    pool = registry.get("rash")
    with pytest.raises(ExecutorError, match=r"pool 'rash', a careless pool.*no such key") as caught:
        await pool.submit(wf.answer)
    assert isinstance(caught.value.__cause__, KeyError)
    assert (pool.metrics["failed"], pool.metrics["pending"]) == (1, 0)
    await registry.shutdown_all()


class Faulty(Here):
    """Fails in every way that an engine can, when it is told to."""

    own_options: ClassVar[dict[str, EngineOption]] = {"fault": EngineOption(str)}

    def pack(self, call: Any) -> Any:
        if self.options.own["fault"] == "pack":
            raise RuntimeError("cannot pack")
        return None

    async def run(self, call: Any, packed: Any) -> Any:
        match self.options.own["fault"]:
            case "times":
                call.waited, call.ran = "none", float("nan")
                return 42
            case "cancels":
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            case "text":
                raise _UnspeakableError
        return await super().run(call, packed)

    def load(self) -> Load:
        return self._told(Load(0, 0, 1))

    def workers(self) -> Any:
        return self._told([])

    def trouble(self) -> str | None:
        return self._told(None)

    def _told(self, what: Any) -> Any:
        if self.options.own["fault"] == "telling":
            raise OSError("the line is dead")
        return what

    async def close(self) -> None:
        if self.options.own["fault"] == "closing":
            await asyncio.Event().wait()


class _UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def faulty(fault: str) -> Any:
    registry = registry_with(faulty=Faulty)
    registry.declare("rash", executor_type="faulty", fault=fault, max_pending=1)
    return registry.get("rash")


@pytest.mark.parametrize("fault", ["pack", "cancels", "text"])
async def test_whatever_an_engine_raises_is_an_error_that_names_it(fault: str) -> None:
    pool = faulty(fault)
    for _ in range(3):
        with pytest.raises(ExecutorError, match="the engine of pool 'rash', a faulty pool, failed"):
            await pool.submit(wf.answer)
    assert (pool.metrics["failed"], pool.metrics["pending"]) == (3, 0)
    await pool.shutdown()


async def test_times_that_are_none_cost_no_place(caplog: pytest.LogCaptureFixture) -> None:
    pool = faulty("times")
    for _ in range(3):
        assert await pool.submit(wf.answer) == 42
    assert pool.metrics["avg_duration_ms"] == 0.0
    assert "its engine says that a call waited 'none' and ran nan" in caplog.text
    await pool.shutdown()


async def test_an_engine_that_cannot_tell_how_it_does_hides_no_other_pool() -> None:
    registry = registry_with(faulty=Faulty)
    registry.declare("rash", executor_type="faulty", fault="telling")
    rash, well = registry.get("rash"), registry.get("blocking")
    assert await rash.submit(wf.answer) == 42
    assert await well.submit(wf.answer) == 42
    assert registry.get("rash").metrics["workers"] == 0
    assert rash.worker_states() == []
    assert registry.unhealthy == {"rash": "its engine fails when it is asked; the log says how"}
    await registry.shutdown_all()


async def test_an_engine_that_does_not_close_is_left_behind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "CLOSE_IN_A_HURRY_SECONDS", 0.2)
    pool = faulty("closing")
    assert await pool.submit(wf.answer) == 42
    pool.hurry()
    await pool.shutdown()
    assert "pool 'rash', a faulty pool: its engine did not close in time" in caplog.text


async def test_a_pool_is_there_again_with_fewer_options_than_it_needs() -> None:
    registry = registry_with(here=Here)
    registry.declare("near", executor_type="here", host="a", max_workers=2)
    pool = registry.get_or_create("near", executor_type="here", max_workers=2)
    assert registry.get_or_create("near", executor_type="here") is pool
    await registry.shutdown_all()


async def test_a_factory_has_to_return_a_pool_and_to_take_its_options() -> None:
    registry = registry_with(odd=lambda name: {"name": name}, fussy=lambda name, *, size: None)
    registry.declare("a", executor_type="odd")
    with pytest.raises(ExecutorConfigError, match=r"'odd' returned .*which is no pool"):
        registry.get("a")
    registry.declare("b", executor_type="fussy", colour="red")
    with pytest.raises(ExecutorConfigError, match=r"'fussy' refuses its options: .*'colour'"):
        registry.get("b")


# -- before there is a server ----------------------------------------------------------------------

KIND = """\
import sys
from genro_executor_plugin import register_factory
from genro_executor_plugin import Engine, EngineOption, Load

def host(value):
    if not isinstance(value, str):
        raise ValueError("give a host name")
    return value

class Far(Engine):
    own_options = {"host": EngineOption(host)}
    async def run(self, call, packed):
        call.waited, call.ran = 0.0, 0.0
        return call.func(*call.args, **call.kwargs)
    def load(self):
        return Load(0, 0, 1)
    async def close(self):
        pass

register_factory("far", Far)
"""

APPLICATION = host.written("""\
import far_kind
from host import RoutedApplication
from genro_routes import route

class Trip(RoutedApplication):
    mount = "trip"
    @route(executor="away")
    def where(self) -> str:
        return "away"
""")

RECIPE = """\
from genro_executor_plugin import ExecutorConfigBuilder
from trips import Trip

class Config(ExecutorConfigBuilder):
    def main(self, root):
        cfg = root.configuration()
        cfg.executors().pool(code="away", executor_type="far", host={host})
        cfg.applications().application(code="trip", app_class=Trip)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "far_kind.py").write_text(KIND)
    (tmp_path / "trips.py").write_text(APPLICATION)
    return tmp_path


def test_a_kind_is_there_for_a_server_that_does_not_exist_yet(project: Path) -> None:
    said = run_program(
        "-c",
        "import asyncio, sys; sys.path.insert(0, sys.argv[1])\n"
        "from trips import Trip\n"
        "from genro_executor_plugin import ExecutorServer\n"
        "pools = {'away': {'executor_type': 'far', 'host': 'example.org'}}\n"
        "server = ExecutorServer(applications=[Trip], executors=pools, tasks=False)\n"
        "async def main():\n"
        "    print(await server.applications['trip'].route.node('where')())\n"
        "    print(server.get_executor('away').metrics['completed'])\n"
        "    await server.executors.shutdown_all()\n"
        "asyncio.run(main())\n",
        str(project),
    )
    assert said.split() == ["away", "1"]


@pytest.mark.parametrize(("host", "code"), [("'example.org'", 0), ("3", 1)])
def test_a_recipe_and_the_check_know_it(project: Path, host: str, code: int) -> None:
    config = project / "config.py"
    config.write_text(RECIPE.replace("{host}", host))
    program = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1])\n"
        "from genro_executor_plugin.cli import main\n"
        "print('exit', main(['check', sys.argv[1] + '/config.py', '--json']))\n"
    )
    said = run_program("-c", program, str(project))
    report, _, exit_code = said.rpartition("exit ")
    content = json.loads(report)
    assert int(exit_code) == code, said
    if code:
        assert "host=3 is not allowed; give a host name" in said
        assert "config.py:7" in said
    else:
        pools = {pool["name"]: pool for pool in content["pools"]}
        assert pools["away"]["options"] == {"host": "example.org", "max_workers": 1}


async def test_a_bypassed_pool_of_a_portable_kind_runs_inline() -> None:
    class Sent(Here):
        capabilities = frozenset({Capability.PORTABLE})

        def pack(self, call: Any) -> Any:
            raise AssertionError("a bypassed call is not packed for this engine")

        own_options: ClassVar[dict[str, EngineOption]] = {}

        async def run(self, call: Any, packed: Any) -> Any:
            raise AssertionError("a bypassed call does not leave the process")

    registry = registry_with(sent=Sent)
    registry.declare("debugged", executor_type="sent", bypass=True)
    pool = registry.get("debugged")
    assert pool.mode == "bypass"
    assert await pool.submit(wf.pid) == os.getpid()
    await registry.shutdown_all()


# -- what this package does for an engine ----------------------------------------------------------


class Connecting(Here):
    """Reaches something before its first call, or fails to."""

    capabilities = frozenset({Capability.CONNECTS})
    own_options: ClassVar[dict[str, EngineOption]] = {"reachable": EngineOption(bool, default=True)}
    connected = False

    async def start(self) -> None:
        if not self.options.own["reachable"]:
            raise ExecutorError("nobody listens at far:4222")
        self.connected = True


async def test_a_kind_that_connects_does_so_when_the_server_starts() -> None:
    registry = registry_with(connecting=Connecting)
    registry.declare("far", executor_type="connecting")
    registry.declare("away", executor_type="connecting", reachable=False)
    with pytest.raises(ExecutorError, match="nobody listens"):
        await registry.warm()
    assert registry.get("far")._engine.connected  # type: ignore[attr-defined]
    await registry.shutdown_all()


class Parcel(Here):
    """Has every call run from bytes, as a worker elsewhere would."""

    capabilities = frozenset({Capability.PORTABLE, Capability.CONTEXT})
    own_options: ClassVar[dict[str, EngineOption]] = {}

    def __init__(self, pool: Any, options: Any) -> None:
        super().__init__(pool, options)
        self._calls = PortableCalls(pool, options)

    def pack(self, call: Any) -> bytes:
        return self._calls.pack(call)

    async def run(self, call: Any, packed: Any) -> Any:
        call.waited, call.ran = 0.0, 0.001
        program = (
            "import sys; from genro_executor_plugin import run_packed; "
            "sys.stdout.buffer.write(run_packed(sys.stdin.buffer.read()))"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        answer, _ = await process.communicate(packed)
        return self._calls.result(call, answer)


class Counted(RoutedApplication):
    mount = "counted"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = 3
        self.folder = ""

    @route(executor="away")
    def times(self, number: int) -> dict[str, int]:
        return {"pid": os.getpid(), "product": self.factor * number}

    @route(executor="away")
    async def times_async(self, number: int) -> int:
        return self.factor * number

    @route(executor="away")
    def missing(self) -> None:
        raise HTTPNotFound("no such number")

    @route(executor="near")
    def numbers(self) -> Any:
        return (f"{number}," for number in range(3))

    def route_cleanup(self) -> None:
        if self.folder:
            Path(self.folder, "cleaned").touch()


@pytest.fixture
def server() -> Any:
    registered = ExecutorServer(applications=[Counted], executors={}, tasks=False)
    registered.executors.register_factory("parcel", Parcel)
    registered.executors.register_factory("here", Here)
    registered.executors.declare("away", executor_type="parcel")
    registered.executors.declare("near", executor_type="here", host="a")
    return registered


async def test_handlers_run_from_bytes(server: Any, tmp_path: Path) -> None:
    """``self`` travels, ``route_cleanup`` follows, and exceptions come back as themselves."""
    application = server.applications["counted"]
    application.folder = str(tmp_path)
    times = await application.route.node("times")(number=5)
    assert times["product"] == 15
    assert times["pid"] != os.getpid()
    assert (tmp_path / "cleaned").exists()
    assert await application.route.node("times_async")(number=2) == 6
    with pytest.raises(HTTPNotFound, match="no such number"):
        await application.route.node("missing")()
    metrics = server.get_executor("away").metrics
    assert (metrics["completed"], metrics["failed"]) == (2, 1)
    await server.executors.shutdown_all()


async def test_a_route_whose_pool_cannot_stream_streams_from_here(server: Any) -> None:
    """What the engine returns is what the handler has returned."""
    response = await server.applications["counted"].route.node("numbers")()
    assert [chunk async for chunk in response.body_iterator] == [b"0,", b"1,", b"2,"]
    pool = server.get_executor("near")
    with pytest.raises(ExecutorConfigError, match="there is nothing to stream"):
        async for _ in pool.stream(wf.answer):
            pass
    await server.executors.shutdown_all()
