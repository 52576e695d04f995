# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor serve``: real server processes, in every form the command has."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host
import httpx
import pytest
from programs import RunningProgram, started

from genro_executor_plugin.cli import main

COMMAND = Path(sys.executable).with_name("genro-executor")

APPLICATION = host.written("""
import os
from host import RoutedApplication
from genro_routes import route

VERSION = 1

class Hello(RoutedApplication):
    mount = "hello"

    @route(executor="cpu")
    def where(self) -> dict:
        return {"pid": os.getpid(), "version": VERSION, "module": __name__}

    @route()
    async def here(self) -> dict:
        return {"pid": os.getpid()}
""")

RECIPE = """
from genro_bag.resolvers import EnvResolver
from genro_executor_plugin import ExecutorConfigBuilder
from hello import Hello

class Site(ExecutorConfigBuilder):
    def main(self, root):
        cfg = root.configuration()
        cfg.server(host="127.0.0.1", port=0).tasks(enabled=False)
        cfg.applications().application(code="hello", app_class=Hello)
        cfg.executors().pool(code="cpu", max_workers=EnvResolver("WORKERS", default=1))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``hello.py`` and a ``config.py`` that serves it."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "hello.py").write_text(APPLICATION)
    (tmp_path / "site" / "config.py").write_text(RECIPE)
    return tmp_path / "site"


@contextmanager
def serving(folder: Path, *arguments: str, **more: str) -> Iterator[RunningProgram]:
    """``genro-executor serve`` with ``arguments``, started in ``folder``; it serves."""
    home = str(folder.parent / "genro-home")
    with started(
        COMMAND, "serve", *arguments, cwd=folder, **{host.HOME_VARIABLE: home}, **more
    ) as process:
        process.until_it_serves()
        yield process


def get(process: RunningProgram, path: str) -> dict[str, object]:
    answer = httpx.get(process.url + path, timeout=90, trust_env=False)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def end(process: RunningProgram) -> None:
    """Ctrl-C ends the server and everything below it."""
    process.descendants()
    process.signal(signal.SIGINT)
    assert process.wait() == 0, process.log
    assert not process.left()


def refused(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit code and the error lines of a command that does not serve."""
    done = subprocess.run(
        [COMMAND, "serve", *arguments],
        cwd=folder,
        env={**os.environ, host.HOME_VARIABLE: str(folder.parent / "genro-home")},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_recipe_with_its_pools(folder: Path) -> None:
    with serving(folder, "config.py", WORKERS="2") as process:
        answer = get(process, "/hello/where")
        assert answer["pid"] not in (process.pid, get(process, "/hello/here")["pid"])
        assert answer["module"] == "hello"
        end(process)


def test_an_application_file_and_the_address(folder: Path) -> None:
    """The source that the host registers under a name of its own travels to the workers."""
    port = free_port()
    with serving(
        folder, "application=./hello.py:Hello", "--host", "127.0.0.1", "--port", str(port)
    ) as process:
        assert process.url == f"http://127.0.0.1:{port}"
        answer = get(process, "/hello/where")
        assert answer["pid"] != get(process, "/hello/here")["pid"]
        assert answer["module"] == f"{host.PACKAGE}_target_hello"
        end(process)


def test_a_named_site_is_filed_and_served_again_by_its_name(folder: Path) -> None:
    home = folder.parent / "genro-home"
    with serving(folder, str(folder / "config.py"), "--name", "shop") as process:
        assert (home / "run" / "shop.pid").read_text() == str(process.pid)
        end(process)
    assert json.loads((home / "sites" / "shop.json").read_text())["source"].endswith("config.py")
    with serving(folder, "shop") as process:
        assert get(process, "/hello/where")["pid"] != process.pid
        end(process)
    assert not (home / "run" / "shop.pid").exists()


def test_a_site_that_the_host_configured(folder: Path) -> None:
    """The host's ``configure`` lays it out; ``genro-executor serve`` gives it pools."""
    subprocess.run(
        [
            COMMAND.with_name(host.DISTRIBUTION),
            *("configure", "desk", "--home", str(folder.parent / "desk"), "--template", "default"),
            *("--applications", "hello:Hello", "--host", "127.0.0.1", "--port", "0"),
        ],
        cwd=folder,
        env={**os.environ, host.HOME_VARIABLE: str(folder.parent / "genro-home")},
        check=True,
        capture_output=True,
        timeout=90,
    )
    with serving(folder, "desk", PYTHONPATH=str(folder)) as process:
        assert get(process, "/hello/where")["pid"] != get(process, "/hello/here")["pid"]
        end(process)


def test_a_changed_source_is_served_anew_with_new_workers(folder: Path) -> None:
    port = free_port()
    with serving(folder, "config.py", "--reload", "--port", str(port)) as process:
        process.until_it_says("Application startup complete")
        first = get(process, "/hello/where")
        assert first["version"] == 1
        before = process.descendants()
        source = APPLICATION.replace("VERSION = 1", "VERSION = 2")
        (folder / "hello.py").write_text(source)
        process.until_it_says(r"Reloading[\s\S]*Application startup complete")
        second = get(process, "/hello/where")
        assert second["version"] == 2
        assert first["pid"] in {child.pid for child in before}
        assert second["pid"] not in {child.pid for child in before}
        process.descendants()
        process.signal_all(signal.SIGINT)
        process.wait()
        assert not process.left()


def test_mistakes_of_pools_and_routes_are_told_together(folder: Path) -> None:
    (folder / "config.py").write_text(
        RECIPE.replace('"WORKERS", default=1', '"WORKERS", default="few"')
    )
    (folder / "hello.py").write_text(APPLICATION.replace('"cpu"', '"gpu"'))
    code, lines = refused(folder, "config.py")
    assert code == 2
    assert len(lines) == 2
    assert re.match(
        r"genro-executor: config\.py:11: pool 'cpu': max_workers='few' is not", lines[0]
    )
    assert re.match(
        r"genro-executor: route hello/where \(hello\.py:\d+\) names the pool 'gpu'", lines[1]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py"], "nowhere.py is not a configured site"),
        (["application=./gone.py:Hello"], "application file not found"),
        (["application=hello"], "package.module:ClassName"),
        (["template=fancy"], "unknown configuration template 'fancy'"),
        (["template=default", "--home", "/no/such/home"], "/no/such/home"),
        (["shop"], "shop is not a configured site"),
    ],
)
def test_a_source_that_is_none_is_one_line(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(host.HOME_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("genro-executor: ")
    assert shown.err.count("\n") == 1
    assert said in shown.err


@pytest.mark.parametrize("card", ["{", '{"home": null}', "[]"])
def test_a_card_that_cannot_be_read_is_one_line(
    card: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(host.HOME_VARIABLE, str(tmp_path))
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "shop.json").write_text(card)
    for command in ("serve", "check"):
        assert main([command, "shop"]) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith("genro-executor: the card of the site shop cannot be read: ")
        assert shown.err.count("\n") == 1


def test_a_card_that_cannot_be_written_is_one_line(folder: Path) -> None:
    (folder.parent / "genro-home").write_text("a file where a folder has to be")
    code, lines = refused(folder, str(folder / "config.py"), "--name", "shop")
    assert code == 2
    assert lines[-1].startswith("genro-executor: ")
    assert "genro-home" in lines[-1]


def test_a_file_that_is_no_recipe_and_a_class_that_is_not_there(folder: Path) -> None:
    code, lines = refused(folder, "hello.py")
    assert (code, len(lines)) == (2, 1)
    assert "must define exactly one ConfigBuilder subclass" in lines[0]
    code, lines = refused(folder, "application=./hello.py:Nobody")
    assert (code, len(lines)) == (2, 1)
    assert "does not define 'Nobody'" in lines[0]


def test_an_error_in_a_recipe_is_told_with_its_line(folder: Path) -> None:
    """One line; with ``--debug`` the traceback before it."""
    (folder / "config.py").write_text(RECIPE.replace("cfg.applications()", "cfg.aplications()"))
    code, lines = refused(folder, "config.py")
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("genro-executor: config.py:10: ")
    assert "aplications" in lines[0]
    (folder / "config.py").write_text(RECIPE + "def broken(:\n")
    assert refused(folder, "config.py")[1][0].startswith(
        "genro-executor: config.py:12: SyntaxError: "
    )
    (folder / "config.py").write_text(RECIPE.replace("cfg.applications()", "cfg.aplications()"))
    done = subprocess.run(
        [COMMAND, "serve", "config.py", "--debug"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.splitlines()[-1].startswith("genro-executor: config.py:10: ")


def test_a_port_that_is_taken_ends_the_command(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, lines = refused(folder, "config.py", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert any("address already in use" in line for line in lines)


def test_a_route_without_its_pool_ends_the_command(folder: Path) -> None:
    """Where pools are right, the server's own check at its start tells of the routes."""
    (folder / "hello.py").write_text(APPLICATION.replace('"cpu"', '"gpu"'))
    code, lines = refused(folder, "config.py")
    assert code == 2
    assert any("hello/where" in line and "'gpu'" in line for line in lines)
