# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs in the console: each for its submitter and for administrators, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import Gate
from press import ANN, BOB, ROOT, USERS, Press, ask
from servers import Site, serving
from waiting import until

from genro_executor_plugin import ExecutorConsole

JSON = {"content-type": "application/json"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    settings = {"path": tmp_path / "store", "pool": "jobs", "shutdown_timeout": 0.2}
    pools = {"jobs": {"max_workers": 1, "shutdown_timeout": 1.0}}
    async with serving(
        ExecutorConsole, Press, executors=pools, long_tasks=settings, auth=USERS
    ) as site:
        yield site


async def test_without_long_jobs_there_is_nothing(site: Site) -> None:
    for path in ("tasks/", "tasks/status/x", "tasks/events/x"):
        assert (await ask(site, "GET", f"/_executors/{path}", ROOT)).status_code == 404
    snapshot = await ask(site, "GET", "/_executors/snapshot", ROOT)
    assert snapshot.json()["long_jobs"] is None


async def test_a_job_is_its_submitters_and_the_administrators(site: Site, gate: Gate) -> None:
    job = (await ask(site, "POST", "/press/held", params={"gate": gate.path})).json()["task_id"]
    await gate.entered()
    for what in ("status", "result", "events"):
        for stranger in (BOB, None):
            url = f"/_executors/tasks/{what}/{job}"
            assert (await ask(site, "GET", url, stranger)).status_code == 404
    status = f"/_executors/tasks/status/{job}"
    for somebody in (ANN, ROOT):
        answer = await ask(site, "GET", status, somebody)
        assert (answer.status_code, answer.json()["state"]) == (200, "running")
    assert (await ask(site, "GET", f"{status}?_request=x&task_id=y", BOB)).status_code == 404
    # The rest of the console is for administrators as before.
    assert (await ask(site, "GET", "/_executors/snapshot", ANN)).status_code == 403

    shown = (await ask(site, "GET", "/_executors/snapshot", ROOT)).json()["long_jobs"]
    (one,) = shown["latest"]
    assert (one["id"], one["state"], one["fraction"]) == (job, "running", 0.25)
    assert gate.path not in str(shown)

    cancel = f"/_executors/tasks/cancel/{job}"
    assert (await ask(site, "GET", cancel)).status_code == 405
    foreign = {**JSON, "origin": "https://elsewhere.example"}
    assert (await ask(site, "POST", cancel, headers=foreign)).status_code == 403
    assert (await ask(site, "POST", cancel, BOB, headers=JSON, content="{}")).status_code == 404
    large = await ask(site, "POST", cancel, headers=JSON, content=" " * 100_000)
    assert large.status_code == 413
    busy = site.server.get_executor("jobs").worker_states()
    assert [worker.route for worker in busy if worker.running] == ["press/held"]
    asked = await ask(site, "POST", cancel, headers=JSON, content="{}")
    assert asked.status_code in (200, 202), asked.text
    assert asked.json()["cancel_requested"] is True
    gate.release()


async def test_an_administrator_cancels_when_it_was_confirmed(site: Site, gate: Gate) -> None:
    job = (await ask(site, "POST", "/press/held", params={"gate": gate.path})).json()["task_id"]
    await gate.entered()
    url, body = "/_executors/change/cancel", {"job": job, "confirm": True}
    assert (await ask(site, "POST", url, json=body)).status_code == 403
    assert (await ask(site, "POST", url, ROOT, json={"job": job})).status_code == 400
    unknown = {"job": "nope", "confirm": True}
    assert (await ask(site, "POST", url, ROOT, json=unknown)).status_code == 404
    assert (await ask(site, "POST", url, ROOT, json=body)).status_code == 200
    gate.release()


async def test_a_job_of_a_route_counts_as_a_call_of_it(site: Site) -> None:
    """A handler that runs in the background is called as often as any other one."""
    done = await ask(site, "POST", "/press/held", params={"gate": "/nowhere"})
    assert done.status_code in (200, 202)
    counters = site.server.get_executor("jobs").counters
    await until(lambda: counters.outcomes["failed"] == 1)
    assert counters.routes["press/held"].failed == 1
    (route,) = [
        one
        for one in (await ask(site, "GET", "/_executors/snapshot", ROOT)).json()["routes"]
        if one["path"] == "press/held"
    ]
    assert route["outcomes"]["failed"] == 1
