# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The console's page with 20 pools, 500 routes and 200 workers, in a real browser.

``python -m tests.page_figures`` prints its figures. With ``GENRO_EXECUTOR_SCREENSHOTS=1`` in the
environment the pictures in ``docs/images`` are written.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from apps.many import POOLS, WORKERS, Many, many_pools, paths
from browser import chromium
from selenium.webdriver import ActionChains, Keys
from servers import serving
from test_console_page import IMAGES, LOOKS, Page, screen, url_of

from genro_executor_plugin import ExecutorConsole

pytestmark = pytest.mark.once

FIRST_VIEW_MS, REFRESH_MS = 1000, 50
"""The goals, on a machine that does nothing else."""

SLACK = 6
"""How much longer it may take here: other tests have the processors, too."""

WATCH = """
window.long = [];
new PerformanceObserver((list) => window.long.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask" });
window.refreshed = [];
new PerformanceObserver((list) => window.refreshed.push(
  ...list.getEntries().filter((one) => one.name === "refresh").map((one) => one.duration)))
  .observe({ type: "measure" });
"""

FIRST_VIEW = """
const refresh = performance.getEntriesByName("refresh")[0];
return refresh && refresh.startTime + refresh.duration;
"""

SIZE = "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"

NAMES = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"


async def test_the_largest_page_is_quick_and_fits_on_a_screen(tmp_path: Path) -> None:
    writes = os.environ.get("GENRO_EXECUTOR_SCREENSHOTS") == "1"
    enough = asyncio.Event()

    def use(browser: Any, url: str) -> None:
        page = Page(browser, url)
        first = page.until(lambda: browser.execute_script(FIRST_VIEW))
        assert first < FIRST_VIEW_MS * SLACK
        browser.execute_script(WATCH)

        # The overview: all pools on one screen, nothing of them open, a part of the routes.
        assert len(page.all("[data-pool]")) == POOLS
        bottom = "return document.getElementById('pool-list').getBoundingClientRect().bottom"
        assert browser.execute_script(bottom) <= 900
        assert page.all(".pool.open") == []
        assert len(page.all("tr[data-route]")) == 25
        assert page.text("#route-count") == "500 routes"

        # Nothing that happens by itself takes long, also with every pool open.
        page.until(lambda: len(browser.execute_script("return window.refreshed")) >= 2)
        page.find("#fold-all").click()
        page.until(lambda: len(page.all(".pool.open .meters")) == POOLS)
        browser.execute_script("window.refreshed.length = window.long.length = 0")
        page.until(lambda: len(browser.execute_script("return window.refreshed")) >= 2)
        took, long = browser.execute_script("return [window.refreshed, window.long]")
        assert max(took) < REFRESH_MS * SLACK
        assert all(one < REFRESH_MS * SLACK for one in long), long
        assert page.text("#fold-all") == "Close all"
        page.find("#fold-all").click()
        page.until(lambda: page.all(".pool.open") == [])

        # One is opened with the keyboard, stays open when the page is loaded again, and is closed.
        browser.execute_script("document.querySelector('[data-pool=pool03] .fold').focus()")
        ActionChains(browser).send_keys(Keys.ENTER).perform()
        page.until(lambda: page.all('[data-pool="pool03"].open .plot path'))
        browser.refresh()
        page.until(lambda: page.all('[data-pool="pool03"].open .plot path'))
        assert len(page.all(".pool.open")) == 1
        page.find('[data-pool="pool03"] .fold').send_keys(Keys.SPACE)
        page.until(lambda: page.all(".pool.open") == [])

        # What a person looks for is found, in the order that is wanted.
        page.find("#pool-search").send_keys("1 thread")
        page.until_text("#pool-count", "11 of 20 pools")
        page.find("#pool-search").clear()
        page.find("#pool-search").send_keys(" ")
        page.until_text("#pool-count", "20 pools")
        page.find("#pool-sort option[value=errors]").click()
        page.until(lambda: browser.execute_script(NAMES, "[data-pool] h3")[0] == "pool07")
        page.find("#route-sort option[value=errors]").click()
        page.until(lambda: page.text("tr[data-route] th") == "many/part07/task007")
        assert page.text("tr[data-route] [data-cell=errors]") == "3"
        assert page.text("#totals div:nth-child(4) dd") == str(WORKERS)
        page.find("#more-routes").click()
        page.until(lambda: len(page.all("tr[data-route]")) == 125)
        page.find("#route-search").send_keys("pool07 task1")
        page.until_text("#route-count", "5 of 500 routes")
        assert len(page.all("tr[data-route]")) == 5

        # An error leads to its route, and to where calls of it are.
        page.find("details.error summary").click()
        page.until(lambda: "task 7 was told to fail" in page.text("details.error pre"))
        assert page.text("details.error .route") == "many/part07/task007"
        page.click("Where its calls are… many/part07/task007")
        page.until_text("#stack [data-part=calls]", "No call of it runs now.")
        page.find("#stack .primary").click()
        page.find("details.error .links a").click()
        page.until_text("#route-count", "1 of 500 routes")
        assert page.text("tr[data-route] th") == "many/part07/task007"
        assert page.mistakes() == []
        browser.execute_script("location.hash = ''; scrollTo(0, 0); sessionStorage.clear()")
        pictures(browser, url)

    def pictures(browser: Any, url: str) -> None:
        for name, width, scheme in LOOKS:
            screen(browser, width, 900, scheme)
            page = Page(browser, url)
            page.until(lambda page=page: len(page.all("tr[data-route]")) == 25)
            page.until(lambda page=page: page.text("#totals dd") != "0/s")
            wide, _ = browser.execute_script(SIZE)
            assert wide <= width, f"{name}: the page is {wide} wide"
            file = IMAGES / f"console-many-{name}.png"
            if writes:
                file.write_bytes(browser.get_screenshot_as_png())
            assert file.is_file(), "docs/how-to/console.md shows it"

    async with serving(ExecutorConsole, Many, executors=many_pools("thread")) as site:

        async def call(path: str, seconds: float) -> None:
            while not enough.is_set():
                await site.get(f"/{path}", seconds=seconds)

        # Threads begin when they are needed: two hundred calls at once, and some go on.
        await asyncio.gather(*(site.get(f"/{path}", seconds=0.5) for path in paths()[:WORKERS]))
        for _ in range(3):
            await site.get(f"/{paths()[7]}", fail="true")
        pool_06 = paths()[6::POOLS]
        working = [asyncio.create_task(call(path, 1.0)) for path in [*paths()[:8], *pool_06[:9]]]
        try:
            with chromium(tmp_path / "profile") as browser:
                await asyncio.to_thread(use, browser, url_of(site))
        finally:
            enough.set()
            await asyncio.gather(*working)
