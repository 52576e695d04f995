# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The console's page of long jobs in a real browser: the list, one job, and what is done to them.

With ``GENRO_EXECUTOR_SCREENSHOTS=1`` in the environment it writes the pictures in ``docs/images``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from genro_routes import route
from press import Press
from selenium.webdriver import ActionChains, Keys
from servers import Site, serving, until_answered
from test_console_page import IMAGES, LOOKS, Page, screen, url_of

from genro_executor_plugin import ExecutorConsole, progress

pytestmark = pytest.mark.once

SLACK = 6
"""How much longer than on a quiet machine something may take: other tests run, too."""

LONG_TASKS = """
window.long = [];
new PerformanceObserver((list) => window.long.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask" });
"""

HOSTILE = "<img src=x onerror=alert(1)> \N{RIGHT-TO-LEFT OVERRIDE} no ink"


class Works(Press):
    @route(executor="jobs", executor_background=True)
    def binding(self, order: str = "") -> None:
        progress(0.75, "glue <b>dries</b>")
        logging.getLogger("works").warning("the <b>glue</b> is old")
        raise LookupError(f"{HOSTILE} for order {order}")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    pools: Any = {"jobs": {"executor_type": "thread", "max_workers": 4, "job_arguments": "show"}}
    settings = {"path": tmp_path / "store", "pool": "jobs", "shutdown_timeout": 0.2}
    async with serving(ExecutorConsole, Works, executors=pools, long_tasks=settings) as site:
        yield site


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path / "profile") as browser:
        yield browser


async def submitted(site: Site, path: str, **parameters: Any) -> str:
    answer = await site.client.post(f"/press/{path}", params=parameters)
    job: str = answer.json()["task_id"]
    return job


async def test_jobs_are_found_looked_at_run_again_and_deleted(
    site: Site, browser: Any, gate: Any
) -> None:
    writes = os.environ.get("GENRO_EXECUTOR_SCREENSHOTS") == "1"
    held = await submitted(site, "held", gate=gate.path)
    await gate.entered()
    failed = [await submitted(site, "binding", order=f"o{number}") for number in range(4)]
    books = [await submitted(site, "book", title=f"t{number}") for number in range(9)]

    async def counts() -> bool:
        found = (await site.json("/_executors/snapshot"))["long_jobs"]["counts"]
        return bool(found["failed"] == 4 and found["succeeded"] == 9)

    await until_answered(counts)

    def rows(page: Page) -> list[str]:
        asked = "[...document.querySelectorAll('#job-list tr')].map(row => row.dataset.job)"
        found: list[str] = browser.execute_script(f"return {asked}")
        return found

    def use() -> None:
        page = Page(browser, url_of(site))
        page.find("#job-waiting").click()  # from the console's page to those that failed
        page.until(lambda: rows(page) == failed[::-1])
        assert "state=failed%2Clost" in browser.current_url or "failed,lost" in browser.current_url
        page.until_text("#count", "4 jobs match")
        says = page.text(f'tr[data-job="{failed[0]}"] [data-cell=says]')
        assert says.startswith("LookupError: <img src=x")
        assert "\N{REPLACEMENT CHARACTER} no ink" in says
        assert page.all("main img") == []

        # One job, by its link and by its URL.
        page.find(f'tr[data-job="{failed[0]}"] a').click()
        page.until_text("#one-state", "failed")
        assert page.text("#one-title") == "works/binding"
        assert "raise LookupError" in page.text("#one-failure pre")
        assert page.text("#one-arguments dd") == "'o0'"
        looks(page, "")
        page.browser.refresh()
        page.until_text("#one-state", "failed")
        page.find("#one-actions [data-action=retry]").click()
        page.find("#sure[open] button.danger").click()
        page.said("Run again: 1 job done")
        page.find("#one-log summary").click()
        page.until(lambda: "WARNING works: the <b>glue</b> is old" in page.text("#one-log pre"))
        page.until(lambda: len(page.all("#one-runs tbody tr")) == 2)
        assert page.text("#one-runs tbody tr th") == "2", "the last one comes first"
        assert page.text("#one-runs [data-cell=as]") == "failed"
        assert page.text("#one-runs [data-cell=where]").startswith("process ")
        page.find("#one-runs details summary").click()
        assert "raise LookupError" in page.text("#one-runs details[open] pre")
        page.until_text("#one-state", "failed")
        browser.back()
        page.until(lambda: sorted(rows(page)) == sorted(failed))

        # One that somebody has seen waits no more, and the count says so.
        waiting = '#tabs a[href="?state=failed,lost&seen=no"]'
        page.until_text(waiting, "Wait for somebody (4)")
        page.find(f'tr[data-job="{failed[2]}"] a').click()
        page.until_text("#one-state", "failed")
        page.find("#one-actions [data-action=seen]").click()
        page.find("#sure[open] button.danger").click()
        page.until_text("#one-state", "failed, seen")
        assert page.find("#one-actions [data-action=unseen]").is_displayed()
        browser.back()
        page.until_text(waiting, "Wait for somebody (3)")
        page.until(lambda: failed[2] not in rows(page))
        page.find('#tabs a[href="?state=failed,lost"]').click()
        page.until(lambda: sorted(rows(page)) == sorted(failed))

        # A search, and the page's own words for none.
        page.find("[name=search]").send_keys("order o3")
        page.find("#filters button.primary").click()
        page.until(lambda: rows(page) == [failed[3]])
        page.find('#filters button[type="reset"]').click()
        page.until_text("#count", "14 jobs match")
        looks(page, "jobs")

        # Chosen ones, after a question whose harmless answer has the focus.
        page.click(f"Choose job {failed[1]}")
        page.until_text("#chosen", "1 chosen")
        page.find("#actions [data-action=forget]").click()
        page.find("#sure[open]")
        assert browser.switch_to.active_element.text == "Leave it"
        browser.switch_to.active_element.click()
        page.until(lambda: page.all("#sure[open]") == [])
        assert failed[1] in rows(page)
        page.find("#actions [data-action=forget]").click()
        page.find("#sure[open] button.danger").click()
        page.until_text("#count", "13 jobs match")
        assert failed[1] not in rows(page)

        # All that match, those of another state not among them.
        page.find('#tabs a[href="?state=succeeded"]').click()
        page.until(lambda: sorted(rows(page)) == sorted(books))
        page.find("[name=which][value=matching]").click()
        page.find("#actions [data-action=forget]").click()
        page.until(lambda: "9 jobs" in page.text("#sure[open] h2"))
        page.find("#sure[open] button.danger").click()
        page.until_text("#count", "No job matches.")
        page.find('#tabs a[href="?state=running"]').click()
        page.until(lambda: rows(page) == [held])
        page.until(lambda: "25 % · at the gate" in page.text("[data-cell=says]"))
        page.find(f'tr[data-job="{held}"] a').click()
        page.until_text("#one-state", "running")
        assert page.find("#one-bar").get_attribute("aria-valuenow") == "25"
        page.find("#where").click()  # which handler, and where in it
        page.until(lambda: "Press.held" in page.text("#one-stacks pre"))
        page.find("#to-list").click()
        page.until(lambda: len(rows(page)) == 4)
        page.click(f"Choose job {held}")
        page.find("[name=which][value=chosen]").click()
        page.find("#actions [data-action=cancel]").click()
        page.find("#sure[open] button.danger").click()
        state = f'tr[data-job="{held}"] [data-cell=state]'
        page.until(lambda: "asked to end" in page.text(state))
        assert page.mistakes() == []

    def looks(page: Page, picture: str) -> None:
        page.until(lambda: page.all("#said.shown") == [])
        for name, width, scheme in LOOKS:
            screen(browser, width, 900, scheme)
            size = browser.execute_script(
                "const root = document.documentElement;return [root.scrollWidth, root.scrollHeight]"
            )
            assert size[0] <= width, f"{name}: the page is {size[0]} wide"
            if picture:  # that of one job has a traceback with the folders of this machine
                screen(browser, width, size[1], scheme)
                file = IMAGES / f"console-{picture}-{name}.png"
                if writes:
                    file.write_bytes(browser.get_screenshot_as_png())
                assert file.is_file(), "docs/how-to/console.md shows it"
        screen(browser, 1280, 900, "light")

    await asyncio.to_thread(use)
    gate.release()


def reached_by_keyboard(page: Page) -> None:
    """Everything that can be used is reached with Tab; of radio buttons the chosen one is."""
    usable = "main a[href], main button:enabled, main input:not([type=radio]), main select"
    wanted = {one for one in page.all(usable) if one.is_displayed()}
    reached = set()
    page.browser.execute_script("document.activeElement.blur(); document.body.focus()")
    for _ in range(len(wanted) + 60):  # a moment has five fields
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        reached.add(page.browser.switch_to.active_element)
        if wanted <= reached:
            return
    assert not {one.get_attribute("outerHTML") for one in wanted - reached}


async def test_pages_are_turned_and_everything_has_a_name(site: Site, browser: Any) -> None:
    for number in range(51):
        last = await submitted(site, "book", title=f"t{number}")
    assert (await site.get(f"/_tasks/result/{last}", wait=30)).status_code == 200

    def use() -> None:
        page = Page(browser, url_of(site))
        page.until(lambda: page.text("#pools"))
        browser.get(str(site.client.base_url) + "/_executors/jobs")
        page.until(lambda: len(page.all("#job-list tr")) == 50)
        assert not page.find("#back").is_enabled()
        page.find("#on").click()
        page.until(lambda: len(page.all("#job-list tr")) == 1)
        page.until_text("#count", "51 jobs match")
        assert not page.find("#on").is_enabled()
        reached_by_keyboard(page)
        page.find("#back").click()
        page.until(lambda: len(page.all("#job-list tr")) == 50)
        nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        seen = set()
        for node in nodes:
            role = node.get("role", {}).get("value")
            if not node.get("ignored") and role in (
                "button", "checkbox", "radio", "link", "table", "textbox", "searchbox", "combobox",
            ):  # fmt: skip
                seen.add(role)
                assert node.get("name", {}).get("value"), node
        assert {"button", "checkbox", "radio", "link", "table", "searchbox"} <= seen
        assert page.mistakes() == []

    await asyncio.to_thread(use)


def copied(folder: Path, number: int) -> None:
    """Store ``number`` copies of the one job that there is, each under an id of its own."""
    with closing(sqlite3.connect(folder / "jobs.sqlite", timeout=30)) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(tasks)")]
        kept = ", ".join(name for name in names if name not in ("seq", "task_id"))
        connection.execute(
            f"INSERT INTO tasks (task_id, {kept}) WITH RECURSIVE n(i) AS "
            f"(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            f"SELECT printf('copy%05d', i), {kept} FROM n, (SELECT * FROM tasks LIMIT 1)",
            (number,),
        )


async def test_ten_thousand_jobs_are_shown_and_turned_quickly(site: Site, tmp_path: Path) -> None:
    job = await submitted(site, "book", title="t")
    assert (await site.get(f"/_tasks/result/{job}", wait=30)).status_code == 200
    await asyncio.to_thread(copied, tmp_path / "store", 9999)
    shown = "return document.querySelectorAll('#job-list tr').length"
    first = "return document.querySelector('#job-list tr')?.dataset.job"

    def use(browser: Any) -> None:
        page = Page(browser, url_of(site))
        page.until_text("#job-counts", "10,000 succeeded")
        begun = time.monotonic()
        page = Page(browser, str(site.client.base_url) + "/_executors/jobs")
        page.until(lambda: browser.execute_script(shown) == 50)
        assert time.monotonic() - begun < 1.0 * SLACK
        assert page.text("#count") == "10,000 jobs match"
        newest = browser.execute_script(first)
        browser.execute_script(LONG_TASKS)
        begun = time.monotonic()
        for number in range(3):
            before = browser.execute_script(first)
            page.until(lambda: page.find("#on").is_enabled())
            page.find("#on").click()
            page.until(lambda before=before: browser.execute_script(first) != before)
            assert browser.execute_script(first) == f"copy{9949 - 50 * number:05}"
        for _ in range(3):
            before = browser.execute_script(first)
            page.find("#back").click()
            page.until(lambda before=before: browser.execute_script(first) != before)
        assert time.monotonic() - begun < 6 * 1.0 * SLACK
        assert browser.execute_script(first) == newest == "copy09999"
        page.find("#filters [name=search]").send_keys("copy00123", Keys.ENTER)
        page.until_text("#count", "1 job matches")
        page.find("#filters [name=search]").clear()
        page.find("#filters [name=sort] option[value=duration]").click()
        page.find("#filters button.primary").click()
        page.until_text("#count", "10,000 jobs match")
        long = browser.execute_script("return window.long")
        assert all(one < 0.05 * SLACK * 1000 for one in long), long
        assert page.mistakes() == []

    with chromium(tmp_path / "profile") as browser:
        await asyncio.to_thread(use, browser)
