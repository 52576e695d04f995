# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server's side: pools that are declared, found, made on first use, and end with it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import host
import psutil
import pytest
import worker_functions as wf
from apps.desk import Desk
from apps.steered import Busy
from genro_routes import route
from host import AsgiServer, BaseConfiguration, BaseServer, RoutedApplication
from servers import boot_message, built, serving

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorMixin,
    ExecutorPlugin,
    ExecutorRegistry,
    ExecutorServer,
    LocalExecutor,
    ProcessExecutor,
    SerializationError,
    ThreadExecutor,
    UnknownExecutorError,
)
from genro_executor_plugin.hosts.names import goes_to_middleware


class Pdf(RoutedApplication):
    """One route in each kind of pool."""

    mount = "pdf"

    @route(executor="pdf")
    def pid(self) -> int:
        return os.getpid()

    @route(executor="pdf")
    async def pid_async(self) -> int:
        return os.getpid()

    @route(executor="pdf")
    def initialized(self) -> Any:
        return wf.initialized()

    @route(executor="pdf")
    def give_lock(self) -> Any:
        return threading.Condition()

    @route(executor="cpu")
    def cpu(self) -> int:
        return os.getpid()

    @route(executor="blocking")
    def blocking(self) -> str:
        return threading.current_thread().name


# -- declaring and asking -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "executors",
    [
        {"pdf": {"max_workers": 2}, "db": {"executor_type": "thread", "max_workers": 16}},
        [
            {"name": "pdf", "max_workers": 2},
            {"name": "db", "executor_type": "thread", "max_workers": 16},
        ],
        (
            {"name": "pdf", "executor_type": "process", "max_workers": 2},
            {"name": "db", "executor_type": "thread", "max_workers": 16},
        ),
    ],
    ids=["dict", "list", "tuple"],
)
async def test_pools_are_declared_as_a_dict_or_a_list(executors: Any) -> None:
    async with built(Pdf, executors=executors) as server:
        assert isinstance(server.executors, ExecutorRegistry)
        assert server.executors.names == ["blocking", "cpu", "db", "pdf"]
        pdf, db = server.get_executor("pdf"), server.get_executor("db")
        assert isinstance(pdf, ProcessExecutor)
        assert isinstance(pdf, LocalExecutor)
        assert isinstance(db, ThreadExecutor)
        assert (pdf.pool_options.max_workers, db.pool_options.max_workers) == (2, 16)


async def test_what_was_declared_is_not_changed() -> None:
    """The caller's own dicts stay as they are."""
    options = {"name": "pdf", "max_workers": 2}
    async with built(Pdf, executors=[options]):
        assert options == {"name": "pdf", "max_workers": 2}


async def test_two_pools_exist_by_themselves_and_may_be_declared() -> None:
    async with built(Pdf) as server:
        blocking, cpu = server.get_executor("blocking"), server.get_executor("cpu")
        assert (blocking.mode, blocking.pool_options.max_workers) == ("thread", 40)
        assert cpu.mode == "process"
        assert cpu.pool_options.max_workers == len(os.sched_getaffinity(0))
    mine = {"cpu": {"max_workers": 1}, "blocking": {"executor_type": "thread", "max_workers": 3}}
    async with built(Pdf, executors=mine) as server:
        assert server.get_executor("cpu").pool_options.max_workers == 1
        assert server.get_executor("blocking").pool_options.max_workers == 3


async def test_the_executor_method_gets_or_creates() -> None:
    async with built(Pdf, executors={"pdf": {"max_workers": 2}}) as server:
        assert server.executor(name="pdf") is server.get_executor("pdf")
        assert server.executor(name="pdf", max_workers=2) is server.get_executor("pdf")
        made = server.executor("thread", name="io", max_workers=3)
        assert made is server.get_executor("io")
        assert server.executor("thread", name="io") is made
        default = server.executor()
        assert default is server.get_executor() is server.get_executor("default")
        assert default.mode == "process"


@pytest.mark.parametrize(
    ("executor_type", "options", "words"),
    [
        ("local", {"max_workers": 3}, ["'pdf'", "max_workers=2", "max_workers=3"]),
        ("local", {"max_workers": 2, "timeout": 5}, ["'pdf'", "timeout=5"]),
        ("thread", {}, ["'pdf'", "'process'", "'thread'"]),
        ("local", {"max_wrokers": 2}, ["'pdf'", "max_wrokers"]),
        ("fiber", {}, ["'pdf'", "'fiber'"]),
    ],
)
async def test_options_that_differ_from_those_in_force_are_an_error_that_shows_both(
    executor_type: str, options: dict[str, Any], words: list[str]
) -> None:
    async with built(Pdf, executors={"pdf": {"max_workers": 2}}) as server:
        pool = server.get_executor("pdf")
        with pytest.raises(ExecutorConfigError) as caught:
            server.executor(executor_type, name="pdf", **options)
        for word in words:
            assert word in str(caught.value)
        assert server.get_executor("pdf") is pool


async def test_a_pool_decorates_functions() -> None:
    """On the function itself: called in the pool, by name, and still its own name and docs."""
    async with built(Pdf) as server:
        pool = server.executor(name="mine", max_workers=1)

        decorated = pool(wf.pid)
        assert decorated.__name__ == "pid"
        pid = await decorated()
        assert [pid] == pool.pids
        assert await pool.submit(wf.add, 40, right=2) == 42
        assert await pool(wf.pid_async)() == pid


async def test_an_unknown_pool_lists_the_declared_ones() -> None:
    async with built(Pdf, executors={"pdf": {}}) as server:
        with pytest.raises(UnknownExecutorError, match=r"'fpd'.*'blocking', 'cpu', 'pdf'"):
            server.get_executor("fpd")
        with pytest.raises(UnknownExecutorError, match="'default'"):
            server.get_executor()


async def test_metrics_are_those_of_the_pools_that_were_used() -> None:
    """As plain values, each with its name."""
    async with serving(Pdf, executors={"pdf": {"max_workers": 1}}) as site:
        for _ in range(2):
            thread = (await site.get("/pdf/blocking")).text
            assert thread.startswith("genro-executor-blocking-")
        metrics = {pool["name"]: pool for pool in site.server.get_executor_metrics()}
        assert metrics["blocking"]["completed"] == metrics["blocking"]["submitted"] == 2
        assert metrics["blocking"]["mode"] == "thread"
        assert metrics["pdf"]["workers"] == metrics["pdf"]["submitted"] == 0
        for values in metrics.values():
            assert all(isinstance(value, int | float | str) for value in values.values())


def test_a_pools_name_in_the_place_of_its_kind_is_told_how_to_write_it() -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorServer().executor("pdf", max_workers=2)
    assert "executor(name='pdf', max_workers=2)" in str(caught.value)


async def test_unknown_options_of_the_server_are_still_refused() -> None:
    with pytest.raises(TypeError, match="executers"):
        ExecutorServer(applications=[Pdf], executers={})


# -- lifespan -------------------------------------------------------------------------------------


async def test_no_process_is_started_before_the_first_call() -> None:
    """And then those of the pool that was called only; all end with the server."""
    me = psutil.Process()
    before = set(me.children(recursive=True))
    async with serving(
        Pdf, executors={"pdf": {"max_workers": 1}, "other": {"max_workers": 1}}
    ) as site:
        assert set(me.children(recursive=True)) == before
        worker = await site.json("/pdf/pid")
        new = {process.pid for process in set(me.children(recursive=True)) - before}
        assert worker in new
        assert len(new) == 2  # the worker and its template
        assert site.server.executors.used.get("other") is None
    assert set(me.children(recursive=True)) == before


async def test_pools_end_with_the_lifespan_and_refuse_from_then_on() -> None:
    async with serving(Pdf, executors={"pdf": {"max_workers": 1}}) as site:
        await site.json("/pdf/pid")
        pool = site.server.get_executor("pdf")
    assert pool.closed
    assert pool.pids == []
    with pytest.raises(ExecutorClosedError):
        await pool.submit(wf.answer)
    with pytest.raises(ExecutorClosedError):
        site.server.executor(name="new")


async def test_pools_are_there_for_the_applications_own_start_and_end() -> None:
    """``on_startup`` and ``on_shutdown`` may use them."""

    class Starts(ExecutorApplication):
        mount = "starts"
        said: list[Any] = []

        async def on_startup(self) -> None:
            self.said.append(await self.executor.run_process(wf.pid))

        async def on_shutdown(self) -> None:
            self.said.append(await self.executor.run_process(wf.add, 40, 2))

    async with serving(Starts, executors={"cpu": {"max_workers": 1}}) as site:
        assert site.server.get_executor("cpu").pids == Starts.said
    assert Starts.said[1:] == [42]


async def test_a_startup_that_another_part_refuses_leaves_nothing() -> None:
    """A ``FatalBootError`` after pools were used: they end, too."""
    from host import FatalBootError

    class Dies(ExecutorApplication):
        mount = "dies"

        async def on_startup(self) -> None:
            await self.executor.run_process(wf.pid)
            raise FatalBootError("no database")

    server = ExecutorServer(applications=[Dies], tasks=False, executors={"cpu": {"max_workers": 1}})
    answer = await boot_message(server)
    assert answer == {"type": "lifespan.startup.failed", "message": "no database"}
    assert server.get_executor("cpu").metrics["workers"] == 0


# -- composition ----------------------------------------------------------------------------------


async def test_the_mixin_composes_with_a_server_class_by_hand() -> None:
    class MyServer(ExecutorMixin, AsgiServer):
        pass

    server = MyServer(applications=[Pdf], executors={"pdf": {"max_workers": 1}}, tasks=False)
    async with serving(server=server) as site:
        assert [await site.json("/pdf/pid")] == server.get_executor("pdf").pids
        assert (await site.get("/pdf/give_lock")).json() == {"error": "Internal Server Error"}


async def test_the_mixin_composes_with_the_bare_server() -> None:
    """Without any of the other capabilities: no plugins section, no error middleware."""

    class Bare(ExecutorMixin, BaseServer):
        pass

    server = Bare(applications=[Pdf()], executors={"pdf": {"max_workers": 1}})
    async with serving(server=server) as site:
        assert [await site.json("/pdf/pid")] == server.get_executor("pdf").pids


async def test_a_recipe_keeps_its_own_plugins_and_applications() -> None:
    class Recipe(BaseConfiguration):
        def main(self, root: Any) -> None:
            cfg = root.configuration()
            self.server_section(cfg)
            self.storage_section(cfg)
            plugins = cfg.plugins()
            plugins.plugin(code="logging", before=False)
            cfg.applications().application(code="desk", app_class=Desk)

        def server_section(self, cfg: Any) -> None:
            cfg.server(max_threads=3).tasks(enabled=False)

    server = ExecutorServer(config=Recipe, executors={"pdf": {"max_workers": 1}})
    async with serving(server=server) as site:
        router = site.app("desk").route
        attached = [plugin.name for plugin in router.iter_plugins()]
        assert attached == ["auth", "pydantic", "openapi", "logging", "executor"]
        assert router.logging.configuration()["before"] is False
        assert [(await site.json("/desk/report"))["pid"]] == server.get_executor("pdf").pids
        assert server.pool.metrics["total"] in (0, 3)


async def test_a_recipe_may_arm_and_configure_the_plugin_itself() -> None:
    class Recipe(BaseConfiguration):
        def main(self, root: Any) -> None:
            cfg = root.configuration()
            cfg.server().tasks(enabled=False)
            self.storage_section(cfg)
            cfg.plugins().plugin(code="executor", pool="everything")
            cfg.applications().application(code="desk", app_class=Desk)

    pools = {name: {"max_workers": 1} for name in ("everything", "pdf")}
    async with serving(server=ExecutorServer(config=Recipe, executors=pools)) as site:
        plain = (await site.json("/desk/plain"))["pid"]
        assert [plain] == site.server.get_executor("everything").pids
        report = (await site.json("/desk/report"))["pid"]
        assert [report] == site.server.get_executor("pdf").pids


async def test_a_recipe_in_a_file_outside_of_every_package(tmp_path: Path) -> None:
    """Its module is in nobody's ``sys.modules``; its application is offloaded all the same."""
    config = tmp_path / "config.py"
    config.write_text(
        host.written(
            "import os\n"
            "from host import RoutedApplication\n"
            "from host import BaseConfiguration\n"
            "from genro_routes import RoutingClass, route\n"
            "FACTOR = 3\n"
            "def helped(number):\n"
            "    return number * FACTOR\n"
            "class Section(RoutingClass):\n"
            "    def __init__(self, app):\n"
            "        self.app = app\n"
            "    @route(executor='pdf')\n"
            "    def same(self):\n"
            "        return [self.app.section is self, self.app.number, type(self).__name__]\n"
            "class Filed(RoutedApplication):\n"
            "    mount = 'filed'\n"
            "    def __init__(self, **options):\n"
            "        super().__init__(**options)\n"
            "        self.number = 5\n"
            "        self.section = Section(self)\n"
            "        self.add_branches({'name': 'section', 'instance': self.section})\n"
            "    @route(executor='pdf')\n"
            "    def work(self):\n"
            "        return {'pid': os.getpid(), 'number': helped(self.number)}\n"
            "    @route(executor='pdf')\n"
            "    async def work_async(self):\n"
            "        return {'pid': os.getpid(), 'number': helped(self.number)}\n"
            "class Site(BaseConfiguration):\n"
            "    def main(self, root):\n"
            "        cfg = root.configuration()\n"
            "        cfg.server().tasks(enabled=False)\n"
            "        self.storage_section(cfg)\n"
            "        cfg.applications().application(code='filed', app_class=Filed)\n"
        )
    )
    server = ExecutorServer(config=str(config), executors={"pdf": {"max_workers": 1}})
    async with serving(server=server) as site:
        for name in ("work", "work_async", "work"):
            said = await site.json(f"/filed/{name}")
            assert said == {"pid": server.get_executor("pdf").pids[0], "number": 15}
        assert await site.json("/filed/section/same") == [True, 5, "Section"]
        site.app("filed").number = 6
        assert (await site.json("/filed/work"))["number"] == 18


async def test_the_stock_way_to_arm_a_plugin_works_here_too() -> None:
    server = ExecutorServer(
        applications=[Pdf],
        plugins={"executor": {"pool": "pdf"}, "logging": True},
        plugin_registry={"executor": ExecutorPlugin},
        executors={"pdf": {"executor_type": "thread"}},
        tasks=False,
    )
    attached = [plugin.name for plugin in server.applications["pdf"].route.iter_plugins()]
    assert attached.count("executor") == 1
    assert {"auth", "pydantic", "openapi", "logging"} < set(attached)


async def test_two_servers_in_one_process_share_nothing() -> None:
    executors = {"pdf": {"max_workers": 1}}
    async with serving(Pdf, executors=executors) as one, serving(Pdf, executors=executors) as two:
        assert await one.json("/pdf/pid") != await two.json("/pdf/pid")
        assert one.server.get_executor("pdf") is not two.server.get_executor("pdf")


# -- initializer ----------------------------------------------------------------------------------


async def test_an_initializer_runs_in_each_worker_before_its_first_call() -> None:
    options = {"max_workers": 1, "initializer": wf.initialize, "initargs": ("/models/v1.pkl",)}
    async with serving(Pdf, executors={"pdf": options}) as site:
        assert await site.json("/pdf/initialized") == [["/models/v1.pkl"]]


# -- bypass ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["environment", "option"])
async def test_bypassed_every_call_runs_here_under_the_same_rules(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, with the same metrics; what cannot travel is refused all the same."""
    before = set(psutil.Process().children(recursive=True))
    options: dict[str, Any] = {"max_workers": 1}
    if by == "environment":
        monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", "1")
    else:
        options["bypass"] = True
    async with serving(Pdf, executors={"pdf": options}) as site:
        pool = site.server.get_executor("pdf")
        assert pool.mode == "bypass"
        assert await site.json("/pdf/pid") == os.getpid()
        assert await site.json("/pdf/pid_async") == os.getpid()
        answer = await site.get("/pdf/give_lock")
        assert (answer.status_code, answer.json()) == (500, {"error": "Internal Server Error"})
        metrics = site.server.get_executor("pdf").metrics
        assert metrics["mode"] == "bypass"
        assert (metrics["completed"], metrics["failed"]) == (2, 1)
        with pytest.raises(SerializationError):
            await pool.submit(wf.echo, threading.Condition())
        if by == "environment":
            assert await site.json("/pdf/cpu") == os.getpid()
        assert site.server.pool.metrics["busy"] == 0
        assert set(psutil.Process().children(recursive=True)) == before


async def test_bypassed_fast_nothing_has_to_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", "fast")
    async with built(Pdf, executors={"pdf": {"max_workers": 1}}) as server:
        lock = threading.Condition()
        assert await server.get_executor("pdf").submit(wf.echo, lock) is lock


async def test_bypassed_a_timeout_is_still_kept(gate: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", "1")
    async with serving(Busy, executors={"p": {"max_workers": 1, "timeout": 0.1}}) as site:
        held = asyncio.create_task(site.get("/busy/held", gate=gate.path))
        assert await gate.entered() == os.getpid()
        assert (await held).status_code == 504
        gate.release()


def test_only_known_classes_of_the_host_are_passed_by() -> None:
    """A class of the user's own behind the mixin is asked for each request, as before."""

    class Counting:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)  # type: ignore[misc]

    class Before(Counting, ExecutorServer):
        pass

    class Between(ExecutorMixin, Counting, AsgiServer):
        pass

    class OtherChain(ExecutorServer):
        @property
        def middleware_chain(self) -> Any:
            return super().middleware_chain

    assert goes_to_middleware(ExecutorServer, ExecutorMixin)
    assert goes_to_middleware(Before, ExecutorMixin)
    assert not goes_to_middleware(Between, ExecutorMixin)
    assert not goes_to_middleware(OtherChain, ExecutorMixin)
