# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools in a server's configuration: the section, its layers, its resolvers, and every mistake."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import host
import psutil
import pytest
from genro_bag.resolvers import EnvResolver, FileResolver
from genro_routes import route
from genro_storage import StorageManager
from host import (
    AsgiConfigBuilder,
    AsgiServer,
    BaseConfiguration,
    ConfigurationHandler,
    RoutedApplication,
)
from servers import boot_message, serving

from genro_executor_plugin import (
    ExecutorConfigBuilder,
    ExecutorConfigError,
    ExecutorConsole,
    ExecutorRegistry,
    ExecutorServer,
)

HERE = os.path.relpath(__file__)


class Desk(RoutedApplication):
    mount = "desk"

    @route(executor="pdf")
    def where(self) -> int:
        return os.getpid()


@pytest.fixture(autouse=True)
def no_defaults_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder where a machine's defaults would be."""
    home = tmp_path / "machine"
    home.mkdir()
    monkeypatch.setenv(host.HOME_VARIABLE, str(home))
    return home


def recipe(write: Callable[[Any], None], *applications: type) -> type[ExecutorConfigBuilder]:
    """A recipe with ``applications`` and what ``write`` does with the section ``executors``."""

    class Recipe(ExecutorConfigBuilder):
        def main(self, root: Any) -> None:
            cfg = root.configuration()
            cfg.server().tasks(enabled=False)
            section = cfg.applications()
            for application in applications:
                section.application(code=application.__name__.lower(), app_class=application)
            write(cfg.executors())

    return Recipe


def options(server: ExecutorServer, pool: str, *names: str) -> list[Any]:
    return [getattr(server.get_executor(pool).pool_options, name) for name in names]


async def test_a_recipes_pools_run_its_routes() -> None:
    """``ExecutorServer(config=...)``, over HTTP."""
    config = recipe(lambda pools: pools.pool(code="pdf", max_workers=1, timeout=20), Desk)
    async with serving(server=ExecutorServer(config=config)) as site:
        assert [await site.json("/desk/where")] == site.server.get_executor("pdf").pids
        assert options(site.server, "pdf", "max_workers", "timeout") == [1, 20.0]


def test_a_file_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        "from genro_executor_plugin import ExecutorConfigBuilder\n"
        "class Site(ExecutorConfigBuilder):\n"
        "    def main(self, root):\n"
        "        pools = root.configuration().executors()\n"
        "        pools.pool(code='db', executor_type='thread', max_workers=3)\n"
    )
    for source in (tmp_path / "config.py", str(tmp_path / "config.py")):
        server = ExecutorServer(config=source)
        assert server.get_executor("db").mode == "thread"
        assert options(server, "db", "max_workers") == [3]


def test_values_come_from_the_environment_and_from_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A text is read as the option's type; what is not there is not given."""
    monkeypatch.setenv("PDF_WORKERS", "3")
    monkeypatch.setenv("PDF_WARM", "yes")
    monkeypatch.delenv("PDF_LIMIT", raising=False)
    (tmp_path / "memory").write_text("512MB\n")

    def write(pools: Any) -> None:
        pools.pool(
            code="pdf",
            max_workers=EnvResolver("PDF_WORKERS"),
            warm=EnvResolver("PDF_WARM"),
            timeout=EnvResolver("PDF_LIMIT"),
            queue_timeout=EnvResolver("PDF_LIMIT", default=2.5),
            max_memory_per_child=FileResolver(str(tmp_path / "memory")),
        )

    server = ExecutorServer(config=recipe(write))
    names = ("max_workers", "warm", "timeout", "queue_timeout", "max_memory_per_child")
    assert options(server, "pdf", *names) == [3, True, None, 2.5, 512_000_000]


def test_a_site_overrides_its_machine_option_by_option(
    no_defaults_of_this_machine: Path,
) -> None:
    (no_defaults_of_this_machine / "config.py").write_text(
        "from genro_executor_plugin import ExecutorConfigBuilder\n"
        "class Machine(ExecutorConfigBuilder):\n"
        "    def main(self, root):\n"
        "        pools = root.configuration().executors()\n"
        "        pools.pool(code='pdf', max_workers=8, timeout=60.0)\n"
        "        pools.pool(code='db', executor_type='thread')\n"
    )
    site = recipe(lambda pools: pools.pool(code="pdf", max_workers=2))
    server = ExecutorServer(config=site)
    assert options(server, "pdf", "max_workers", "timeout") == [2, 60.0]
    assert server.get_executor("db").mode == "thread"

    class Alone(site):  # type: ignore[misc, valid-type]
        default_config = False

    server = ExecutorServer(config=Alone)
    assert options(server, "pdf", "max_workers", "timeout") == [2, None]
    assert "db" not in server.executors


def test_a_mistake_of_a_machine_is_told_with_the_machines_file(
    no_defaults_of_this_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every option remembers where it was written, through all layers."""
    monkeypatch.setenv("MANY", "many")
    (no_defaults_of_this_machine / "config.py").write_text(
        "from genro_bag.resolvers import EnvResolver, FileResolver\n"
        "from genro_executor_plugin import ExecutorConfigBuilder\n"
        "class Machine(ExecutorConfigBuilder):\n"
        "    def main(self, root):\n"
        "        pools = root.configuration().executors()\n"
        "        pools.pool(code='pdf', timeout=-1, max_pending=EnvResolver('MANY'))\n"
        "        pools.pool(code='pdf2', preload=FileResolver('/no/such/file'))\n"
    )
    machine = f"{no_defaults_of_this_machine / 'config.py'}"
    site = recipe(lambda pools: [pools.pool(code="pdf", max_workers=0), pools.pool(code="pdf2")])
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorServer(config=site)
    told = {
        text.partition(" is not ")[0].partition(" cannot ")[0] for text in caught.value.mistakes
    }
    line = recipe_line('pools.pool(code="pdf", max_workers=0)')
    assert told == {
        f"{machine}:6: pool 'pdf': timeout=-1",
        f"{machine}:6: pool 'pdf': max_pending='many'",
        f"{machine}:7: pool 'pdf2': preload",
        f"{HERE}:{line}: pool 'pdf': max_workers=0",
    }


def recipe_line(text: str) -> int:
    """The first line of this file that contains ``text``."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_all_mistakes_are_told_and_nothing_is_started() -> None:
    def write(pools: Any) -> None:
        pools.pool(code="one", max_worker=2, timeout="soon")
        pools.pool(code="two", executor_type="fibre")
        pools.pool(code="three", executor_type="thread", min_workers=1, timeout=3)

    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorServer(config=recipe(write, Desk))
    expected = [
        ["'one'", "unknown option 'max_worker'", "max_workers"],
        ["'one'", "timeout='soon'", "a number of seconds above 0"],
        ["'two'", "executor_type='fibre'", "'thread'"],
        ["'three'", "min_workers=1", "no worker process"],
    ]
    assert len(caught.value.mistakes) == len(expected)
    for words in expected:
        (mistake,) = (m for m in caught.value.mistakes if all(word in m for word in words))
        assert mistake.startswith(f"{HERE}:")
    assert str(caught.value) == "; ".join(caught.value.mistakes)
    assert set(psutil.Process().children(recursive=True)) == before


def test_all_mistakes_of_pools_in_code_are_told() -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorRegistry({"one": {"speed": 1, "max_workers": 0}, "two": 3, "": {}, "ok": {}})
    assert [text[:40] for text in caught.value.mistakes] == [
        "pool 'one': unknown option 'speed'; a pr",
        "pool 'one': max_workers=0 is not a whole",
        "pool 'two': its options are a dict, not ",
        "a pool's name is a text that is not empt",
    ]


def test_what_is_given_in_code_takes_the_place_of_the_section() -> None:
    """As with every other option of genro-asgi's servers."""
    config = recipe(lambda pools: pools.pool(code="pdf", max_workers=7))
    server = ExecutorServer(config=config, executors={"ml": {}})
    assert "ml" in server.executors
    assert "pdf" not in server.executors


def test_the_ready_made_hooks_work_below_the_dialect(tmp_path: Path) -> None:
    """``BaseConfiguration`` as a second base: its sections, and ours."""
    (tmp_path / "home").mkdir()

    class Site(ExecutorConfigBuilder, BaseConfiguration):
        site_name = "shop"
        site_home = tmp_path / "home"

        def main(self, root: Any) -> None:
            cfg = root.configuration()
            self.site_section(cfg)
            self.server_section(cfg)
            self.storage_section(cfg)
            cfg.executors().pool(code="pdf")

        def server_section(self, cfg: Any) -> None:
            cfg.server(port=8123)

    server = ExecutorServer(config=Site)
    assert (server.site_name, server.config_port) == ("shop", 8123)
    assert isinstance(server.storage, StorageManager)
    assert "pdf" in server.executors


def test_stock_recipes_templates_and_handlers_are_configurations_too() -> None:
    class Stock(AsgiConfigBuilder):
        def main(self, root: Any) -> None:
            root.configuration().applications().application(code="desk", app_class=Desk)

    assert "desk" in ExecutorServer(config=Stock).applications
    assert sorted(ExecutorServer(config="default").executors) == ["blocking", "cpu"]
    handler = ConfigurationHandler(recipe(lambda pools: pools.pool(code="pdf")))
    server = ExecutorServer(config=handler)
    assert server.config is handler
    assert "pdf" in server.executors


def test_a_stock_server_passes_the_section_over() -> None:
    """A machine's defaults may have pools, and serve sites that have none."""
    server = AsgiServer(config=recipe(lambda pools: pools.pool(code="pdf", speed=9), Desk))
    assert "desk" in server.applications


def test_every_section_of_the_host_is_there() -> None:
    def sections(dialect: type) -> set[str]:
        return set(dialect()._get_schema_info("configuration")["sub_tags_compiled"])

    assert sections(ExecutorConfigBuilder) == {*sections(AsgiConfigBuilder), "agents", "executors"}

    class Derived(ExecutorConfigBuilder):
        """A recipe is a subclass, whose grammar genro-builders puts together anew."""

    assert "executors" in sections(Derived)


def test_the_section_is_written_once_and_takes_pools_only() -> None:
    class Twice(ExecutorConfigBuilder):
        def main(self, root: Any) -> None:
            cfg = root.configuration()
            cfg.executors().pool(code="one")
            cfg.executors().pool(code="two")

    with pytest.raises(ValueError, match="'executors' is declared at most once"):
        ExecutorServer(config=Twice)
    with pytest.raises(ValueError, match="configuration"):
        ExecutorServer(config=recipe(lambda pools: pools.server()))


def test_applications_find_the_pools_while_they_are_built() -> None:
    """The pools are there before the first application belongs to the server."""
    seen: list[list[str]] = []

    class Early(RoutedApplication):
        mount = "early"

        @RoutedApplication.server.setter  # type: ignore[attr-defined, untyped-decorator]
        def server(self, server: Any) -> None:
            RoutedApplication.server.fset(self, server)  # type: ignore[attr-defined]
            seen.append(server.executors.names)

    ExecutorServer(config=recipe(lambda pools: pools.pool(code="pdf"), Early))
    assert seen == [["blocking", "cpu", "pdf"]]


def test_pools_below_the_console_are_in_the_same_registry() -> None:
    """Two ways to write them, one registry; a name that both use must mean the same."""

    def config(**below: Any) -> type:
        class Both(ExecutorConfigBuilder):
            def main(self, root: Any) -> None:
                cfg = root.configuration()
                console = cfg.applications().application(
                    code="_executors", app_class=ExecutorConsole
                )
                console.pool(code="ml", max_workers=1)
                console.pool(code="pdf", **below)
                cfg.executors().pool(code="pdf", max_workers=2)

        return Both

    server = ExecutorServer(config=config(max_workers=2))
    assert sorted(server.executors) == ["blocking", "cpu", "ml", "pdf"]
    with pytest.raises(ExecutorConfigError, match="'pdf' is declared already, with"):
        ExecutorServer(config=config(max_workers=3))


async def test_a_configured_pool_that_no_route_may_use_stops_the_boot() -> None:
    """Routes are checked against the configured pools when the server starts."""
    config = recipe(lambda pools: pools.pool(code="pfd"), Desk)
    answer = await boot_message(ExecutorServer(config=config))
    assert answer["type"] == "lifespan.startup.failed"
    for word in ("desk/where", f"({HERE}:", "'pdf'", "'pfd'", "'cpu'"):
        assert word in answer["message"]
