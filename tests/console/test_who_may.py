# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Who may do what: real servers are asked, and ``docs/explanation/security.md`` says the same.

With ``GENRO_EXECUTOR_WRITE_DOCS=1`` in the environment the table is written; without it, compared.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from nginx import nginx
from press import USERS, Press
from servers import Site, serving

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.console.token import TOKEN_HEADER

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "security.md"
BEGIN, END = "<!-- who may do what -->\n", "<!-- end -->\n"

CONSOLE = (
    ("see the page", "GET", "/_executors/"),
    ("read pools, routes and errors", "GET", "/_executors/snapshot"),
    ("read what has changed on the page", "GET", "/_executors/updates"),
    ("read the history", "GET", "/_executors/history"),
    ("read metrics", "GET", "/_executors/metrics"),
    ("ask whether it lives", "GET", "/_executors/health/live"),
    ("ask whether it is ready", "GET", "/_executors/health/ready"),
    ("read why it is not ready", "GET", "/_executors/health"),
    ("change pools and routes", "POST", "/_executors/change/resize"),
    ("profile a route", "POST", "/_executors/change/profile"),
    ("see the page of profiles", "GET", "/_executors/profile"),
    ("drain or restart an agent", "POST", "/_executors/change/agent"),
    ("see the page of jobs", "GET", "/_executors/jobs"),
    ("list and search all jobs", "GET", "/_executors/jobs/list"),
)
JOBS = (
    ("read a job's state and result", "GET", "/_tasks/result/{job}"),
    ("see a job's page", "GET", "/_tasks/page/{job}"),
    ("read why a job has failed", "GET", "/_tasks/status/{failed}"),
    ("read all that is kept of a job", "GET", "/_executors/jobs/show/{job}"),
    ("cancel a job", "POST", "/_tasks/cancel/{job}"),
    ("run jobs again, cancel, delete them", "POST", "/_executors/change/jobs"),
    ("submit a job with a form", "POST", "/press/book?title=x"),
)
WHO = ("stranger", "other user", "submitter", "administrator")
FROM_A_SITE = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Desk:
    """Asks one server as one of those who may be there, from one of the places."""

    def __init__(self, site: Site, port: int, name: str, place: str, jobs: dict[str, str]) -> None:
        self.site = site
        self.url = f"http://127.0.0.1:{port}"
        self.name = name
        self.place = place
        self.jobs = jobs

    async def may(self, what: str, method: str, path: str) -> bool:
        headers = {"accept": "application/json"}
        auth = None
        if self.name == "administrator":
            headers[TOKEN_HEADER] = self.site.app("_executors").token.value
            auth = httpx.BasicAuth("root", "r") if self.jobs else None
        elif self.jobs and self.name != "stranger":
            auth = httpx.BasicAuth(*(("ann", "a") if self.name == "submitter" else ("bob", "b")))
        if self.place == "another site":
            headers |= FROM_A_SITE
        content = b""
        if "change" in path:
            headers["content-type"] = "application/json"
            content = b'{"pool": "t", "max_workers":2}'
            if path.endswith("/agent"):
                content = b'{"pool": "t", "agent": "nobody", "action": "drain"}'
            if path.endswith("/profile"):
                content = b'{"route": "press/book", "seconds": 0.1}'
            if path.endswith("/jobs"):
                content = b'{"action": "retry", "matching": {}, "confirm": true}'
        elif method == "POST":
            headers |= FORM
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
            answer = await client.request(
                method,
                self.url + path.format(**self.jobs),
                headers=headers,
                auth=auth,
                content=content,
            )
        assert answer.status_code < 500 or answer.status_code == 503, (what, answer.text)
        if what.startswith("read why"):
            return answer.status_code in (200, 503) and "no ink" in answer.text
        if what.startswith("drain"):  # who may not is not told whether there is one
            return "has no agent 'nobody'" in answer.text
        if "health" in path:
            return answer.status_code in (200, 503)
        return answer.status_code < 300


async def rows(site: Site, ports: dict[str, int], jobs: dict[str, str]) -> list[str]:
    found = []
    names = WHO if jobs else ("stranger", "administrator")
    for what, method, path in (*CONSOLE, *JOBS) if jobs else CONSOLE:
        cells = {}
        for name in names:
            may = {}
            for place, port in ports.items():
                desk = Desk(site, port, name, place, jobs)
                may[place] = await desk.may(what, method, path)
            assert may["directly"] == may["a proxy"], "an address means nothing"
            assert may["directly"] or not may["another site"], "another site may no more"
            cells[name] = (
                "yes, also from another site"
                if may["another site"]
                else "yes"
                if may["directly"]
                else "no"
            )
        server = "with authentication" if jobs else "without"
        found.append(f"| {what} | {server} | {' | '.join(cells.get(n, '') for n in WHO)} |")
    return found


@pytest.mark.timeout(300)
async def test_the_table_in_the_docs_is_what_servers_do(tmp_path: Path) -> None:
    head = f"| what | server | {' | '.join(WHO)} |"
    lines = [head, f"|{'---|' * (head.count('|') - 1)}"]
    for auth in (USERS, None):
        settings: dict[str, Any] = {
            "executors": {
                "jobs": {"max_workers": 1},
                "t": {"executor_type": "thread", "max_workers": 1},
                "b": {"max_workers": 1, "initializer": _no_ink},
            },
            "long_tasks": {"path": tmp_path / f"store-{auth is None}", "pool": "jobs"},
            "middleware": {"cors": True},
        }
        if auth is not None:
            settings["auth"] = auth
        async with serving(ExecutorConsole, Press, **settings) as site:
            with pytest.raises(Exception, match="no ink"):
                await site.server.get_executor("b").submit(os.getpid)
            site.server.get_executor("t")
            with ExitStack() as stack:
                direct = site.client.base_url.port
                assert direct is not None
                proxied = stack.enter_context(nginx(tmp_path / f"n-{auth is None}", direct))
                ports = {"directly": direct, "a proxy": proxied, "another site": direct}
                jobs = await _jobs(site) if auth is not None else {}
                lines += await rows(site, ports, jobs)
    made = "\n".join(lines) + "\n"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    written, _, after = rest.partition(END)
    if os.environ.get("GENRO_EXECUTOR_WRITE_DOCS") == "1":
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")
    else:
        assert written.strip() == made.strip(), "GENRO_EXECUTOR_WRITE_DOCS=1 writes it"


def _no_ink() -> None:
    raise LookupError("no ink")


async def _jobs(site: Site) -> dict[str, str]:
    """A job of ann's that has ended, and one that has failed."""
    found = {}
    ann = httpx.BasicAuth("ann", "a")
    for name, path in (("job", "/press/book?title=x"), ("failed", "/press/broken")):
        answer = await site.client.post(path, auth=ann)
        found[name] = answer.json()["task_id"]
        await site.client.get(f"/_tasks/result/{found[name]}?wait=60", auth=ann)
    return found
