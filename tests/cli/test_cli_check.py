# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor check``: what it reports, that it starts nothing, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import host
import psutil
import pytest
from terminals import terminal

from genro_executor_plugin.cli import main

COMMAND = Path(sys.executable).with_name("genro-executor")

RECIPE = host.written("""
import pathlib
from host import RoutedApplication
from genro_routes import RoutingClass, route
from genro_executor_plugin import ExecutorConfigBuilder, ExecutorConsole

class Section(RoutingClass):
    @route(executor="db", executor_queue_timeout=1.5)
    def inner(self): ...

class Attic(RoutingClass):
    @route(executor="pdf")
    def old(self): ...

class Desk(RoutedApplication):
    def __init__(self, **options):
        super().__init__(**options)
        self.add_branches({"name": "section", "instance": Section()})
        self.add_branches({"name": "attic", "cls": Attic})

    @route(executor="pdf", executor_timeout=5)
    def quick(self): ...

    @route(executor="pdf")
    def slow(self): ...

    @route(executor="pdf", executor_disabled=True)
    def debugged(self): ...

    @route()
    async def ping(self): ...

def load(path):
    pathlib.Path(path).write_text("a worker was started")

class Site(ExecutorConfigBuilder):
    default_config = False

    def main(self, root):
        cfg = root.configuration()
        cfg.applications().application(code="desk", app_class=Desk)
        pools = cfg.executors()
        pools.pool(code="pdf", max_workers=2, timeout=30.0, retries=1, warm=True,
                   initializer=load, initargs=("loaded",))
        pools.pool(code="db", executor_type="thread", max_workers=16)
""")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``config.py`` in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # a recipe's folder is put there
    monkeypatch.setenv(host.HOME_VARIABLE, str(tmp_path / "genro-home"))
    (tmp_path / "config.py").write_text(RECIPE)
    return tmp_path / "config.py"


def reported(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", *arguments, "--json"])
    shown = capsys.readouterr()
    return code, json.loads(shown.out)


def test_every_pool_and_every_route_with_its_limits(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = reported(capsys, "config.py")
    assert (code, report["ok"], report["mistakes"]) == (0, True, [])
    assert {pool["name"]: pool["mode"] for pool in report["pools"]} == {
        "pdf": "process",
        "db": "thread",
    }
    pdf = next(pool for pool in report["pools"] if pool["name"] == "pdf")
    assert pdf["where"].startswith("config.py:")
    assert pdf["routes"] == 3
    assert pdf["options"]["max_workers"] == 2
    assert pdf["options"]["timeout"] == 30.0
    routes = {route["path"]: route for route in report["routes"]}
    where = {path: (route["pool"], route["mode"]) for path, route in routes.items()}
    assert where == {
        "desk/quick": ("pdf", "process"),
        "desk/slow": ("pdf", "process"),
        "desk/debugged": (None, "server"),
        "desk/ping": (None, "server"),
        "desk/section/inner": ("db", "thread"),
        "desk/attic/old": ("pdf", "process"),
    }
    assert routes["desk/quick"]["limits"]["timeout"] == 5
    assert routes["desk/slow"]["limits"]["timeout"] == 30.0
    assert routes["desk/slow"]["limits"]["retries"] == 1
    assert routes["desk/section/inner"]["limits"]["queue_timeout"] == 1.5
    lines = config.read_text().splitlines()
    place = routes["desk/slow"]["where"]
    assert "def slow" in lines[int(place.partition(":")[2])]


def test_a_person_reads_tables(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "config.py"]) == 0
    shown = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines() if line.strip()}
    assert rows["db"] == ["thread", "max_workers=16"]
    assert rows["pdf"][:2] == ["process", "max_workers=2"]
    assert "initializer=load" in rows["pdf"]
    assert rows["desk/quick"] == [
        "pdf",
        "(process)",
        "timeout=5",
        "on_overload=wait",
        "retries=1",
        "send_timeout=15.0",
    ]
    assert rows["desk/ping"] == ["server"]
    assert shown.out.splitlines()[-1] == "No mistake in config.py."
    assert "\x1b" not in shown.out
    assert shown.err == ""


def test_nothing_is_started(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither workers nor a thread, for a pool that is to be warm; the other fixtures see to it."""
    before = set(psutil.Process().children(recursive=True))
    assert main(["check", "config.py"]) == 0
    assert set(psutil.Process().children(recursive=True)) == before
    assert not Path("loaded").exists()
    capsys.readouterr()


def test_every_mistake_of_pools_and_routes_at_once(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(
        RECIPE.replace("max_workers=2, timeout=30.0", "max_worker=2, timeout=-1")
        .replace("executor_timeout=5", "executor_soft_timeout=5")
        .replace('executor="db"', 'executor="bd"')
        .replace('"thread", max_workers=16', '"fibre"')
    )
    code, report = reported(capsys, "config.py")
    assert (code, report["ok"]) == (1, False)
    expected = [
        ["config.py:", "pool 'pdf'", "unknown option 'max_worker'", "max_workers"],
        ["config.py:", "pool 'pdf'", "timeout=-1", "a number of seconds above 0"],
        ["config.py:", "pool 'db'", "executor_type='fibre'", "'thread'"],
        ["route desk/section/inner (config.py:", "'bd'", "'db'", "'pdf'"],
    ]
    assert len(report["mistakes"]) == len(expected), report["mistakes"]
    for words in expected:
        assert any(all(word in text for word in words) for text in report["mistakes"]), words
    assert main(["check", "config.py"]) == 1
    shown = capsys.readouterr().out
    assert "4 mistakes in config.py:" in shown
    assert all(f"  {text}\n" in shown for text in report["mistakes"])


def test_a_route_is_judged_by_its_pool_as_it_is_meant(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in one option of a pool does not hide that a route asks for what it cannot keep."""
    config.write_text(
        RECIPE.replace('"thread", max_workers=16', '"thread", max_workers=0').replace(
            "executor_queue_timeout=1.5", "executor_timeout=1.5"
        )
    )
    _, report = reported(capsys, "config.py")
    assert len(report["mistakes"]) == 2
    assert "max_workers=0" in report["mistakes"][0]
    assert "timeout=1.5" in report["mistakes"][1]


def test_pools_below_the_console_are_checked_too(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    below = RECIPE.replace(
        'cfg.applications().application(code="desk", app_class=Desk)',
        'apps = cfg.applications(); apps.application(code="desk", app_class=Desk)\n'
        "        console = apps.application(code='_executors', app_class=ExecutorConsole)\n"
        "        console.pool(code='ml', max_workers=1)",
    )
    config.write_text(below)
    code, report = reported(capsys, "config.py")
    assert code == 0
    assert "ml" in {pool["name"] for pool in report["pools"]}
    config.write_text(below.replace("max_workers=1)", "max_workers=0, speed=1)"))
    code, report = reported(capsys, "config.py")
    assert code == 1
    assert len(report["mistakes"]) == 2
    assert all("pool 'ml'" in text for text in report["mistakes"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("cfg.applications()", "cfg.aplications()"), "config.py:41: "),
        (("class Site(", "class Site(\n  )("), "SyntaxError"),
        (("import pathlib", "import no_such_module_at_all"), "config.py:2: ModuleNotFoundError"),
        (("super().__init__(**options)", "raise OSError('no disk')"), "OSError: no disk"),
    ],
)
def test_what_cannot_be_built_is_one_line_and_exit_code_2(
    config: Path, change: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(RECIPE.replace(*change))
    assert main(["check", "config.py"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert said in shown.err
    assert main(["check", "config.py", "--json"]) == 2
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["ok"], len(document["unbuilt"])) == (False, 1)
    assert said in document["unbuilt"][0]


def test_a_source_that_is_none_is_exit_code_2(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "nowhere.py"]) == 2
    assert "nowhere.py is not a configured site" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    assert ended.value.code == 2
    assert "CONFIG" in capsys.readouterr().err


def test_every_source_of_serve_can_be_checked(config: Path) -> None:
    """An application, and a named site with its home; as programs, because they import modules."""
    (config.parent / "desk.py").write_text(
        host.written(
            "from host import RoutedApplication\n"
            "from genro_routes import route\n"
            "class Desk(RoutedApplication):\n"
            "    @route(executor='cpu')\n"
            "    def job(self): ...\n"
        )
    )

    def checked(source: str) -> dict[str, Any]:
        done = subprocess.run(
            [COMMAND, "check", source, "--json"], capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stdout + done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    assert [route["path"] for route in checked("application=./desk.py:Desk")["routes"]] == [
        "desk/job"
    ]
    cards = Path(os.environ[host.HOME_VARIABLE], "sites")
    cards.mkdir(parents=True)
    home = config.parent / "home"
    home.mkdir()
    config.rename(home / "config.py")
    (cards / "shop.json").write_text(json.dumps({"source": "config.py", "home": str(home)}))
    assert {pool["name"] for pool in checked("shop")["pools"]} == {"pdf", "db"}


def test_colours_are_for_terminals(config: Path) -> None:
    with terminal(COMMAND, "check", "config.py") as shown:
        assert shown.wait() == 0
        assert shown.colours_of("No mistake in config.py.") == {"green"}
    with terminal(COMMAND, "check", "config.py", NO_COLOR="1") as shown:
        assert shown.wait() == 0
        assert b"\x1b[" not in shown.written


def test_a_reader_that_has_seen_enough_is_no_error(config: Path) -> None:
    """``genro-executor check config.py | head -1``."""
    script = f"'{COMMAND}' check config.py | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=90)
    assert done.stdout == "Pools\n"
    assert done.stderr == ""
    assert done.returncode in (0, 1)


UNGUARDED = host.written("""
import sys
from host import RoutedApplication
from genro_routes import route
from genro_executor_plugin import ExecutorServer

class Shop(RoutedApplication):
    mount = "shop"

    @route(executor="pdf")
    def invoice(self): ...

    @route(executor="fpd")
    def misspelt(self): ...

def make():
    return ExecutorServer(applications=[Shop], executors={"pdf": {"max_workers": 1}})

def make_and_serve():
    make().serve(port=0)

server = make()
print("made", file=sys.stderr)
server.serve(port=0)
print("served", file=sys.stderr)
""")


@pytest.mark.parametrize("name", ["server", "make"])
@pytest.mark.parametrize("way", ["unguarded.py", "unguarded"])
def test_a_server_in_code_is_checked_and_not_served(tmp_path: Path, way: str, name: str) -> None:
    (tmp_path / "unguarded.py").write_text(UNGUARDED)
    checked = subprocess.run(
        [COMMAND, "check", f"{way}:{name}", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(host.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 1
    assert checked.stderr == "made\n"  # and no warning of a coroutine that nobody awaits
    report = json.loads(checked.stdout)
    assert report["source"] == f"{way}:{name}"
    assert report["gil"] is getattr(sys, "_is_gil_enabled", lambda: True)()
    assert [route["path"] for route in report["routes"]] == ["shop/invoice", "shop/misspelt"]
    (mistake,) = report["mistakes"]
    assert "names the pool 'fpd', which nobody declared" in mistake


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("unguarded.py", "is a program that serves when it is imported, and no recipe"),
        ("unguarded.py:nobody", "unguarded.py has no 'nobody' where it is served"),
        ("unguarded.py:Shop", "is no server with pools, but Shop"),
        ("unguarded.py:make_and_serve", "is no server with pools, but function"),
        ("nowhere:server", "there is no module 'nowhere'"),
        ("nowhere.py:server", "there is no module 'nowhere.py'"),
    ],
)
def test_what_is_no_server_in_code_is_one_line_and_exit_code_2(
    source: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "unguarded.py").write_text(UNGUARDED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["check", source]) == 2
    assert why in capsys.readouterr().err
