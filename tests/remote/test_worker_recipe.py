# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor worker config.py``: one recipe describes a server's pool and its agents."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from agents import SECRET, nats_server
from host import PACKAGE
from programs import RunningProgram

from genro_executor_plugin import ExecutorServer

pytestmark = pytest.mark.once

RECIPE = """
from genro_bag.resolvers import EnvResolver
from genro_executor_plugin import ExecutorConfigBuilder

class ServerConfiguration(ExecutorConfigBuilder):
    default_config = False

    def main(self, root):
        cfg = root.configuration()
        cfg.executors().pool(
            code="heavy", executor_type="nats", url=EnvResolver("NATS"), subject="written",
            secret_file={secret!r},
        )
        agents = cfg.agents()
        agents.agent(code="heavy", max_workers=EnvResolver("MANY"), files=["hello.py"], {more})
"""
HELLO = "import beside\n\ndef where():\n    return __name__, beside.FACT\n"


def worker(*arguments: Any, **environment: str) -> RunningProgram:
    command = "-m", "genro_executor_plugin.cli", "worker", *map(str, arguments)
    return RunningProgram(*command, PYTHONUNBUFFERED="1", **environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "beside.py").write_text("FACT = 7\n")
    return tmp_path


def recipe(folder: Path, more: str = "") -> Path:
    path = folder / "config.py"
    path.write_text(RECIPE.format(secret=str(folder / "secret"), more=more))
    return path


async def test_one_recipe_describes_the_pool_and_its_agent(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe(folder, "lost_after=30, shutdown_timeout=5")
    with nats_server() as nats:
        monkeypatch.setenv("NATS", nats.url)
        program = worker(config, MANY="2")
        try:
            program.until_it_says(r"serves 'written' at nats://127.0.0.1:\d+ with 2 places")
            program.descendants()
            # The server has the application's file as its host loads it.
            name = f"{PACKAGE}_target_hello"
            spec = importlib.util.spec_from_file_location(name, folder / "hello.py")
            assert spec is not None
            assert spec.loader is not None
            hello = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, hello)
            monkeypatch.syspath_prepend(str(folder))
            spec.loader.exec_module(hello)
            server = ExecutorServer(config=str(config))
            pool = server.get_executor("heavy")
            assert await pool.submit(hello.where) == (name, 7)
            await server.executors.shutdown_all()
            program.signal(15)
            assert program.wait() == 0
        finally:
            program.end()


@pytest.mark.parametrize(
    ("more", "arguments", "said"),
    [
        ("max_worker=2", (), r"config.py:15: pool 'heavy': .*max_worker\b"),
        ("places=0", (), r"--places 0 is not allowed; give a whole number"),
        ("executor_type='thread'", (), r"runs its calls in a pool of processes"),
        ("", ("--agent", "light"), r"it has no agent 'light', but 'heavy'"),
        ("", ("--url", "worker"), r"--url 'worker' is not allowed"),
        ("", ("--file", "nowhere.py"), r"file 'nowhere.py' is no .py file"),
        ("max_workers=3)\n        agents.agent(code='two'", (), r"say which .*: 'heavy', 'two'"),
        (
            "max_workers=3)\n        agents.agent(code='two'",
            ("--agent", "two"),
            r"'two' needs url=, here or in the pool of that name",
        ),
    ],
)
def test_a_recipe_that_describes_no_agent_is_refused(
    folder: Path, more: str, arguments: tuple[str, ...], said: str
) -> None:
    text = more.replace("max_workers=3", "nice=1")
    program = worker(recipe(folder, text), *arguments, NATS="nats://127.0.0.1:1", MANY="2")
    try:
        assert program.wait() == 2
        assert re.search(said, program.log), program.log
        assert "Traceback" not in program.log
    finally:
        program.end()


def test_without_a_recipe_url_and_subject_are_needed() -> None:
    program = worker("--subject", "x")
    try:
        assert program.wait() == 2
        assert "--url is missing; or give a CONFIG" in program.log
    finally:
        program.end()
