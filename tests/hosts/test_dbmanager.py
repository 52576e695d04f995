# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""An application that others have written for kajenn, with a pool for each of its routes.

asqueel-dbmanager administrates databases. It was written for kajenn 0.1 and says so; it runs on
kajenn 0.5, too, which is why it has to be installed without what it asks for
(``tox run -e applications``). Its ``self`` has a lock, a workbench and, through that, the server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import host
import pytest
from servers import Site, serving

pytest.importorskip("asqueel_dbmanager", reason="tox run -e applications installs it")

from asqueel_dbmanager.app import DbManagerApp

ASKED: list[tuple[str, dict[str, Any]]] = [
    ("apply", {}),
    ("ask_query", {"session_id": "none", "question": "who?"}),
    ("backup", {"connection": {}}),
    ("backups", {}),
    ("capabilities", {}),
    ("check_connection", {"connection": {"host": "127.0.0.1", "port": 1}}),
    ("close_query_session", {"session_id": "none"}),
    ("console_action", {"action": "unknown"}),
    ("databases", {}),
    ("diagram", {"structure": {}}),
    ("introspect", {"connection": {"host": "127.0.0.1", "port": 1, "dbname": "a", "user": "b"}}),
    ("job", {"job_id": "none"}),
    ("open_query_session", {"database": "none"}),
    ("plan", {"connection": {}, "structure": {}}),
    ("publish_diagram", {"structure": {}}),
    ("query_session", {"session_id": "none"}),
    ("restore", {}),
    ("submit", {"operation": "backup", "connection": "none"}),
    ("verify_backup", {"backup_id": "none"}),
]


async def answers(site: Site) -> dict[str, tuple[int, str]]:
    told = {}
    for route, arguments in ASKED:
        answer = await site.post(f"/{route}", arguments)
        told[route] = answer.status_code, answer.text
    return told


@pytest.mark.parametrize("kind", ["process", "thread"])
async def test_every_route_answers_from_a_pool_as_it_does_without(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with serving(server=host.AsgiServer(applications=[DbManagerApp], tasks=False)) as site:
        expected = await answers(site)
    assert {status for status, _ in expected.values()} == {200, 400, 500}
    pools: Any = {"cpu": {"executor_type": kind, "max_workers": 1}}
    async with serving(DbManagerApp, executors=pools) as site:
        routes = site.server.configure_route("dbmanagerapp/*", executor_pool="cpu")["updated"]
        assert sorted(routes) == sorted(expected)
        assert await answers(site) == expected
        told = site.server.executors.get("cpu").metrics
        refused = [route for route in expected if "check the request schema" in expected[route][1]]
        assert told["completed"] + told["failed"] == len(expected) - len(refused)
