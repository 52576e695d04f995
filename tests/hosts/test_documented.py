# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The applications in the documentation of the host, with a pool for each of their routes.

Their pages are in the host's source distribution, which ``tox run -e applications`` downloads into
the folder that ``GENRO_EXECUTOR_SOURCES`` names.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import host
import pytest
from servers import Site, serving

from genro_executor_plugin import ExecutorConfigError

SOURCES = os.environ.get("GENRO_EXECUTOR_SOURCES", "")

pytestmark = pytest.mark.skipif(not SOURCES, reason="tox run -e applications has the pages")

_PYTHON = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
_SERVER = re.compile(r"^(server = |if __name__)", re.M)
"""Where a page begins to serve: its applications stand before."""

_CHANCE = re.compile(r'"(session|task)_id":"[^"]*"')

_ELSEWHERE = "from myshop"
"""What a page imports that it does not show."""


def pages() -> Iterator[tuple[str, str]]:
    """Each program of the documentation that has routes: a name for it, and its text."""
    for archive in sorted(Path(SOURCES).glob(f"{host.PACKAGE}-*.tar.gz")):
        with tarfile.open(archive) as sources:
            for member in sources:
                _, _, inside = member.name.partition("/")
                if not re.fullmatch(r"(docs/.*|README)\.md", inside):
                    continue
                content = sources.extractfile(member)
                assert content is not None
                text = content.read().decode("utf-8")
                for number, program in enumerate(_PYTHON.findall(text)):
                    parts = (r"^(from|import) ", r"^class .*Application\)", "@route")
                    whole = all(re.search(part, program, re.M) for part in parts)
                    if whole and _ELSEWHERE not in program:
                        yield re.sub(r"\W", "_", f"{inside}_{number}"), program


PAGES = dict(pages()) if SOURCES else {}


def applications(name: str, folder: Path) -> list[type[Any]]:
    program = _SERVER.split(PAGES[name])[0]
    (folder / f"{name}.py").write_text(program, encoding="utf-8")
    module = importlib.import_module(name)
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and value.__module__ == name
        and issubclass(value, host.RoutedApplication)
    ]


async def answers(site: Site, routes: list[str], application: type[Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for route in routes:
        handler = getattr(application, route.replace("-", "_"), None)
        names = {*inspect.signature(handler).parameters} if handler else set()
        where = f"/it/{route}"
        if "body_raw" in names:
            answer = await site.client.post(where, content=b"12345")
        elif "body_data" in names:
            answer = await site.post(where, {"a": [1, 2]})
        else:
            answer = await site.get(where)
        told[route] = answer.status_code, _CHANCE.sub("", answer.text)
    return told


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in PAGES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("kind", ["process", "thread"])
@pytest.mark.parametrize("name", PAGES)
async def test_it_answers_from_a_pool_as_it_does_without(
    name: str, kind: str, folder: Path
) -> None:
    found = applications(name, folder)
    assert found
    for application in found:
        mounted = [(application, {"code": "it", "mount": "it"})]
        pools: Any = {"cpu": {"executor_type": kind, "max_workers": 1}}
        async with serving(*mounted, executors=pools) as site:
            routes = offloaded(site, kind)
            told = await answers(site, routes, application)
        async with serving(server=host.AsgiServer(applications=mounted, tasks=False)) as site:
            assert told == await answers(site, routes, application)


def offloaded(site: Site, kind: str) -> list[str]:
    """The routes of the application, each in the pool, but for those that it refuses."""
    everything, refusal = "it/*", ""
    try:
        return [*site.server.configure_route(everything, executor_pool="cpu")["updated"]]
    except ExecutorConfigError as error:
        refusal = str(error)
    live = re.findall(r"route (\S+) \([^)]*\) takes the live _request", refusal)
    assert (kind, refusal.count("route ")) == ("process", len(live)), refusal
    known = site.server.configure_route(everything, executor_disabled=False)["updated"]
    taken = [route for route in known if route not in live]
    for route in taken:
        site.server.configure_route(f"it/{route}", executor_pool="cpu")
    return taken
