# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The page that shows a job to its submitter: without a script, to its end, and as text alone."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from conftest import Gate
from press import ANN, BOB, ROOT, USERS, Press, ask
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from servers import Site, serving

from genro_executor_plugin import TaskState, TaskStatus
from genro_executor_plugin.tasks.http.progress_page import progress_page
from genro_executor_plugin.tasks.status import Progress

HOSTILE = '<script>alert("x")</script>&amp;"\'$title'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    pools: Any = {"jobs": {"executor_type": "thread", "max_workers": 2}}
    settings = {"path": tmp_path / "store", "pool": "jobs", "shutdown_timeout": 0.2}
    async with serving(Press, executors=pools, long_tasks=settings, auth=USERS) as site:
        yield site


def asks_again(page: str) -> int | None:
    found = re.search(r'<meta http-equiv="refresh" content="(\d+)">', page)
    return int(found[1]) if found else None


async def test_a_job_is_shown_to_its_submitter_until_it_ends(site: Site, gate: Gate) -> None:
    accepted = await ask(site, "POST", "/press/held", params={"gate": gate.path})
    job, url = accepted.json()["task_id"], accepted.json()["page_url"]
    assert url == f"/_tasks/page/{job}"
    await gate.entered()
    answer = await ask(site, "GET", url)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    rules = answer.headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "frame-ancestors 'self'" in rules
    assert '<progress max="100" value="25"' in answer.text
    assert "at the gate" in answer.text
    assert asks_again(answer.text) == 2
    for who in (BOB, None):
        assert (await ask(site, "GET", url, who)).status_code == 404
    assert (await ask(site, "GET", url, ROOT)).status_code == 200
    assert (await ask(site, "POST", url)).status_code == 405
    gate.release()
    await ask(site, "GET", f"/_tasks/result/{job}?wait=30")
    page = (await ask(site, "GET", url)).text
    assert asks_again(page) is None
    assert f'href="../result/{job}"' in page

    broken = (await ask(site, "POST", "/press/broken")).json()
    await ask(site, "GET", f"{broken['result_url']}?wait=30")
    page = (await ask(site, "GET", broken["page_url"])).text
    assert "It has failed" in page
    assert "no ink" not in page, "an exception's own text is for administrators"
    assert asks_again(page) is None
    assert "no ink" in (await ask(site, "GET", broken["page_url"], ROOT)).text


def test_what_a_job_says_is_text() -> None:
    told = Progress(7.5, HOSTILE, {}, 1.0)
    status = TaskStatus("x", TaskState.RUNNING, HOSTILE, "p", submitted_at=1.0, progress=told)
    page = progress_page(status, HOSTILE)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 3
    assert "$title" in page
    assert 'value="100"' in page
    assert asks_again(page) == 30, "it has lasted for years"
    unknown = TaskStatus("x", TaskState.RUNNING, "t", "p", progress=Progress(None, "m", {}, 1.0))
    assert "None" not in progress_page(unknown, "")
    odd = TaskStatus("x", TaskState.RUNNING, "t", "p", progress=Progress(float("nan"), "", {}, 1.0))
    assert "nan" not in progress_page(odd, "")
    failed = progress_page(TaskStatus("x", TaskState.FAILED, "t", "p", ended_at=2.0), HOSTILE)
    assert "<script" not in failed


@pytest.mark.once
async def test_a_browser_without_javascript_follows_a_job_to_its_end(
    site: Site, gate: Gate, tmp_path: Path
) -> None:
    accepted = await ask(site, "POST", "/press/held", params={"gate": gate.path})
    await gate.entered()
    address, (name, password) = str(site.client.base_url), ANN
    who = base64.b64encode(f"{name}:{password}".encode()).decode()
    loop = asyncio.get_running_loop()

    def look() -> None:
        with chromium(tmp_path / "profile", width=500, scripts=False) as browser:
            browser.execute_cdp_cmd("Network.enable", {})
            headers = {"authorization": f"Basic {who}"}
            browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": headers})
            browser.get(address + accepted.json()["page_url"])
            wait = WebDriverWait(browser, 20, 0.05)
            wait.until(lambda _: "at the gate" in browser.page_source)
            assert browser.find_element(By.TAG_NAME, "progress").is_displayed()
            if folder := os.environ.get("GENRO_EXECUTOR_LOOK"):
                browser.save_screenshot(f"{folder}/progress-running.png")
            loop.call_soon_threadsafe(gate.release)
            wait.until(lambda _: "Open the result" in browser.page_source)
            assert 'http-equiv="refresh"' not in browser.page_source
            if folder:
                browser.save_screenshot(f"{folder}/progress-done.png")
            browser.find_element(By.LINK_TEXT, "Open the result").click()
            wait.until(lambda _: "released" in browser.page_source)
            refused = [line for line in browser.get_log("browser") if "Refused" in line["message"]]
            assert refused == []

    await asyncio.to_thread(look)
