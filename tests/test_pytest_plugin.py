# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pytest plugin, in test runs of its own: real servers, real pools, real failures."""

from __future__ import annotations

import json
from importlib.metadata import entry_points

import host
import pytest
from programs import run_program

APPLICATION = host.written("""
import os
import pytest
from host import RoutedApplication
from genro_routes import route

class Reports(RoutedApplication):
    mount = "reports"

    @route(executor="pdf")
    def report(self) -> int:
        return os.getpid()

    @route(executor="db")
    def query(self) -> int:
        return os.getpid()

    @route()
    async def ping(self) -> int:
        return os.getpid()

    @route(executor="pdf")
    def fail(self):
        raise ValueError("no")

    @route(executor="pdf")
    def total(self, numbers: list) -> int:
        return sum(numbers)

POOLS = {"pdf": {"max_workers": 1}, "db": {"executor_type": "thread"}}
""")


ALONE = ("-p", "genro_executor_plugin.pytest_plugin")
"""Options of a run that is spared the import of all other plugins (``without_others``)."""


@pytest.fixture
def without_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def outcomes(
    pytester: pytest.Pytester, tests: str, *options: str
) -> tuple[dict[str, int], pytest.RunResult]:
    """What ``tests`` of the application above came to, and the whole run."""
    pytester.makepyfile(APPLICATION + tests)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    counted = result.parseoutcomes()
    counted.pop("warnings", None)  # of the host, where a newer Python has deprecated what it uses
    return counted, result


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    (entry,) = (entry for entry in entry_points(group="pytest11") if "genro" in entry.name)
    assert entry.load().__name__ == "genro_executor_plugin.pytest_plugin"


def test_loading_it_imports_nothing_heavy() -> None:
    """Every test run of everybody who has the package installed pays for it."""
    loaded = json.loads(
        run_program(
            "-c",
            "import json, sys, pytest\n"
            "before = set(sys.modules)\n"
            "import genro_executor_plugin.pytest_plugin\n"
            "print(json.dumps(sorted(set(sys.modules) - before)))\n",
        )
    )
    assert [name for name in loaded if name.startswith("genro")] == [
        "genro_executor_plugin",
        "genro_executor_plugin.hosts",
        "genro_executor_plugin.hosts.chosen",
        "genro_executor_plugin.hosts.imported",
        "genro_executor_plugin.hosts.loaded",
        "genro_executor_plugin.pytest_plugin",
    ]
    heavy = {"asyncio", "cloudpickle", "psutil", "pydantic", "uvicorn", "tblib", "multiprocessing"}
    assert not heavy & {name.partition(".")[0] for name in loaded}


def test_a_route_runs_where_it_should(pytester: pytest.Pytester) -> None:
    counted, result = outcomes(
        pytester,
        """
def test_in_its_pools_and_in_the_server(executor_server):
    site = executor_server(Reports, executors=POOLS, tasks=False)
    with site.ran_in("pdf", "reports/report"):
        answer = site.get("/reports/report")
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(answer.body)))
    assert answer.json() not in (os.getpid(), None)
    with site.ran_in("db", "reports/query"):
        assert site.get("/reports/query").json() == os.getpid()
    with site.ran_in(None, "reports/ping"):
        assert site.get("/reports/ping").json() == os.getpid()
    assert site.submit("pdf", pow, 2, 10) == 1024
    with site.ran_in("pdf", "reports/total"):
        assert site.post("/reports/total", {"numbers": [1, 2, 3]}).json() == 6
    with site.ran_in("pdf", "reports/fail"):
        assert site.get("/reports/fail").status == 500
    assert site.get("/reports/nowhere").status == 404
    site.server.applications["reports"].routing.configure("executor/report", disabled=True)
    with site.ran_in(None, "reports/report"):
        assert site.get("/reports/report").json() == os.getpid()

async def test_from_a_coroutine_with_two_servers(executor_server):
    one, other = (executor_server(Reports, executors=POOLS, tasks=False) for _ in range(2))
    assert one.url != other.url
    with one.ran_in("pdf", "reports/report"):
        pids = {one.get("/reports/report").json(), other.get("/reports/report").json()}
    assert len(pids) == 2
""",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
        "-W",
        "error",
        "-W",
        "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning",  # the host's
    )
    assert counted == {"passed": 2}, result.outlines


ELSEWHERE = {
    'with site.ran_in("db", "reports/report"): site.get("/reports/report")': (
        "route reports/report runs in pool 'pdf', not in pool 'db'"
    ),
    'with site.ran_in(None, "reports/report"): site.get("/reports/report")': (
        "route reports/report runs in pool 'pdf', not in the server"
    ),
    'with site.ran_in("pdf", "reports/ping"): site.get("/reports/ping")': (
        "route reports/ping runs in the server, not in pool 'pdf'"
    ),
    'with site.ran_in("pdf", "reports/report"): site.get("/reports/query")': (
        "calls of route reports/report were to end in pool 'pdf'; those that ended in pools: none"
    ),
    'with site.ran_in("pdf", "reports/repotr"): site.get("/reports/report")': (
        "there is no route 'reports/repotr'; there are reports/fail, reports/ping"
    ),
}
"""What a test says, and the words it has to fail with."""


@pytest.mark.usefixtures("without_others")
def test_a_route_that_runs_elsewhere_fails_the_test(pytester: pytest.Pytester) -> None:
    tests = "".join(
        f"""
def test_{number}(executor_server):
    pools = dict.fromkeys(("pdf", "db"), {{"executor_type": "thread"}})
    site = executor_server(Reports, executors=pools, tasks=False)
    {body}
"""
        for number, body in enumerate(ELSEWHERE)
    )
    counted, result = outcomes(pytester, tests, *ALONE)
    assert counted == {"failed": len(ELSEWHERE)}
    result.stdout.fnmatch_lines([f"*AssertionError: {said}*" for said in ELSEWHERE.values()])


@pytest.mark.usefixtures("without_others")
@pytest.mark.parametrize(
    ("wanted", "options"),
    [(None, ()), ("1", ("--executor-bypass",)), ("fast", ("--executor-bypass-fast",))],
)
def test_without_processes(
    pytester: pytest.Pytester, wanted: str | None, options: tuple[str, ...]
) -> None:
    """By fixture for a test, by option for a run; the pool is still asked."""
    tests = """
def test_by_fixture(executor_bypass, executor_server):
    site = executor_server(Reports, executors=POOLS, tasks=False)
    with site.ran_in("pdf", "reports/report"):
        assert site.get("/reports/report").json() == os.getpid()
    assert site.server.get_executor("pdf").mode == "bypass"

def test_not_for_the_next_test(executor_server):
    site = executor_server(Reports, executors=POOLS, tasks=False)
    with site.ran_in("pdf", "reports/report"):
        assert (site.get("/reports/report").json() == os.getpid()) == bool(WANTED)
    assert os.environ.get("GENRO_EXECUTOR_BYPASS") == WANTED
"""
    counted, result = outcomes(pytester, f"WANTED = {wanted!r}{tests}", *ALONE, *options)
    assert counted == {"passed": 2}, result.outlines


@pytest.mark.usefixtures("without_others")
def test_a_server_that_does_not_start_says_why(pytester: pytest.Pytester) -> None:
    counted, result = outcomes(
        pytester,
        """
def test_it(executor_server):
    executor_server(Reports, executors={"db": {}}, tasks=False)
""",
        *ALONE,
    )
    assert counted == {"failed": 1}
    result.stdout.fnmatch_lines(
        ["*RuntimeError: the server did not start: *'pdf'*nobody declared*"]
    )


@pytest.mark.usefixtures("without_others")
def test_a_configured_server_and_one_that_exists(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        recipe="""
from genro_executor_plugin import ExecutorConfigBuilder
from test_a_configured_server_and_one_that_exists import Reports

class Site(ExecutorConfigBuilder):
    default_config = False
    def main(self, root):
        cfg = root.configuration()
        cfg.server().tasks(enabled=False)
        cfg.applications().application(code="reports", app_class=Reports)
        pools = cfg.executors()
        pools.pool(code="pdf", max_workers=1)
        pools.pool(code="db", executor_type="thread", max_workers=2)
"""
    )
    counted, result = outcomes(
        pytester,
        """
from genro_executor_plugin import ExecutorServer

def test_it(executor_server, pytestconfig):
    site = executor_server(config=str(pytestconfig.rootpath / "recipe.py"))
    with site.ran_in("db", "reports/query"):
        site.get("/reports/query")
    ready = ExecutorServer(applications=[Reports], executors=POOLS, tasks=False)
    again = executor_server(ready)
    assert again.server is ready
    with again.ran_in("pdf", "reports/report"):
        assert again.get("/reports/report").status == 200
""",
        *ALONE,
    )
    assert counted == {"passed": 1}, result.outlines
