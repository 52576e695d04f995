# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the console's page costs with 20 pools, 500 routes and 200 workers, as figures.

``python -m tests.page_figures [thread|process]``: the bytes that a tab receives per second while
nothing happens, and while all routes are called; how soon there is something to see, and how long
a refresh keeps the page. ``tox run -e page`` has 200 real worker processes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent / "console"))
from apps.many import POOLS, WORKERS, Many, many_pools, paths
from browser import chromium
from servers import Site, serving
from test_console_page import Page, url_of
from test_page_at_scale import FIRST_VIEW, WATCH

from genro_executor_plugin import ExecutorConsole

REFRESHES = 5
CALLERS = 8

RECEIVED = """
const found = performance.getEntriesByType("resource");
return found.reduce((sum, one) => sum + (one.name.includes("/updates") ? one.transferSize : 0), 0);
"""


def figures_of(browser: Any, page: Page) -> str:
    """What the page did and received during some refreshes."""
    browser.execute_script("window.refreshed.length = window.long.length = 0")
    received, begun = browser.execute_script(RECEIVED), time.monotonic()
    page.until(lambda: len(browser.execute_script("return window.refreshed")) >= REFRESHES)
    seconds = time.monotonic() - begun
    rate = (browser.execute_script(RECEIVED) - received) / seconds
    took, long = browser.execute_script("return [window.refreshed, window.long]")
    tasks = ", ".join(f"{one:.0f} ms" for one in long) or "none"
    return (
        f"{rate / 1000:6.2f} KB/s; a refresh takes the page {statistics.median(took):.1f} ms, "
        f"at most {max(took):.1f}; long tasks: {tasks}"
    )


def look(browser: Any, url: str, how: str, *, fresh: bool) -> None:
    """Print the figures of the overview, and of the page with all pools open."""
    if fresh:
        page = Page(browser, url)
        first = page.until(lambda: browser.execute_script(FIRST_VIEW))
        print(f"first view after {first:.0f} ms", flush=True)
        browser.execute_script(WATCH)
    else:
        page = Page.__new__(Page)
        page.browser = browser
    print(f"{how}, the overview:      {figures_of(browser, page)}", flush=True)
    page.find("#fold-all").click()
    page.until(lambda: len(page.all(".pool.open .meters")) == POOLS)
    print(f"{how}, all pools open:    {figures_of(browser, page)}", flush=True)
    page.find("#fold-all").click()


async def call_all(site: Site, enough: asyncio.Event) -> None:
    """Call every route again and again."""

    async def call(part: int) -> None:
        while not enough.is_set():
            for path in paths()[part::CALLERS]:
                await site.get(f"/{path}")
                if enough.is_set():
                    return

    await asyncio.gather(*(call(part) for part in range(CALLERS)))


async def main(kind: str) -> None:
    """Serve the largest site with pools of this kind, and print the figures of its page."""
    enough = asyncio.Event()
    async with serving(ExecutorConsole, Many, executors=many_pools(kind)) as site:
        await asyncio.gather(*(site.get(f"/{path}", seconds=0.5) for path in paths()[:WORKERS]))
        snapshot = await site.json("/_executors/snapshot")
        workers = sum(pool["workers"] for pool in snapshot["pools"])
        routes = sum(1 for route in snapshot["routes"] if route["pool"])
        print(f"{len(snapshot['pools'])} pools, {routes} routes, {workers} workers ({kind})")
        plain = await site.client.get("/_executors/snapshot", headers={"accept-encoding": ""})
        print(f"the whole snapshot: {len(plain.content) / 1000:.0f} KB")
        with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
            await asyncio.to_thread(look, browser, url_of(site), "idle", fresh=True)
            calling = asyncio.create_task(call_all(site, enough))
            try:
                await asyncio.to_thread(look, browser, url_of(site), "busy", fresh=False)
            finally:
                enough.set()
                await calling


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "thread"))
