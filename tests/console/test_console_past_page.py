# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The history on the console's page, in a real browser: ranges, pools, markers, a table.

With ``GENRO_EXECUTOR_SCREENSHOTS=1`` in the environment the picture in ``docs/images`` is written;
with ``GENRO_EXECUTOR_SHOTS``, a folder, pictures of it are written there.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from browser import chromium
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from servers import Site, serving
from test_console_page import IMAGES, POOLS, Page, screen, url_of

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.console.past.figures import Entry, Figures, Marker
from genro_executor_plugin.console.past.file import HistoryFile
from genro_executor_plugin.console.past.tables import ALL_POOLS

pytestmark = pytest.mark.once

HOUR = 3600.0

LOOKS = (
    ("console-history-dark", 1280, "dark"),
    ("console-history-narrow", 400, "light"),
    ("console-history-light", 1280, "light"),
)

ASKED = """
return performance.getEntriesByType("resource")
  .filter((one) => one.name.includes("history?")).length;
"""

NO_DISK = """
window.real = window.fetch.bind(window);
window.fetch = async (url, ...more) => String(url).includes("history?")
  ? new Response('{"error": "no disk"}', { status: 503 }) : window.real(url, ...more);
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path / "profile") as browser:
        yield browser


def three_days(path: Path) -> None:
    """A history of a server that was busy by day, was down for two hours, and had its troubles."""
    now = time.time()
    entries = []
    for minute in range(72 * 60):
        at = now - 60.0 * minute - 45
        if 20 * HOUR < now - at < 22 * HOUR:
            continue
        for pool, much in (("pdf", 1.0), ("db", 4.0), (ALL_POOLS, 5.0)):
            day = max(0.02, math.sin(at / 86400 * 2 * math.pi)) * much
            done, late = int(120 * day) + minute % 7, 3 if minute % 400 < 12 else 0
            outcomes = (done, late, 40 if late and pool != "db" else 0, 0, 0, 0)
            slow = 120 + minute % 5 + (20 if late else 0)
            runs = {slow: done, slow + 12: done // 12 + 1}
            entries.append(
                Entry(at, pool, "", Figures(60.0, outcomes, 60 * day, 30 * late, 9 * late, runs))
            )
    process = "process 4711 on shop-1, Python 3.13.1"
    markers = [
        Marker(now - 60 * HOUR, "start", f"server started: {process}, version 0.1.0"),
        Marker(now - 23 * HOUR, "crash", "2 calls of shop/invoice in pool pdf crashed: no memory"),
        Marker(now - 22 * HOUR, "end", f"server ended: {process}"),
        Marker(now - 20 * HOUR, "start", f"server started: {process}, version 0.1.1"),
        Marker(now - 600, "change", "pool pdf: max_workers=4 (was 2)", "ada from 10.0.0.7"),
    ]
    file = HistoryFile(path, ours=True)
    for begin in range(0, len(entries), 3000):
        file.write(entries[begin : begin + 3000], [], now)
    file.write([], markers, now)


def picture(page: Page, name: str) -> None:
    part = page.find("#past")
    page.browser.execute_script("arguments[0].scrollIntoView()", part)
    if folder := os.environ.get("GENRO_EXECUTOR_SHOTS"):
        part.screenshot(f"{folder}/{name}.png")
    if os.environ.get("GENRO_EXECUTOR_SCREENSHOTS") == "1" and name == "console-history-light":
        part.screenshot(str(IMAGES / f"{name}.png"))


async def test_a_person_looks_at_last_night(tmp_path: Path, browser: Any) -> None:
    path = tmp_path / "history.sqlite"
    await asyncio.to_thread(three_days, path)
    async with serving((ExecutorConsole, {"history": path}), Works, executors=POOLS) as site:
        await site.json("/works/report")
        await asyncio.to_thread(look, site, browser)


def look(site: Site, browser: Any) -> None:
    page = Page(browser, url_of(site))
    page.until_text("#health", "healthy")
    assert browser.execute_script(ASKED) == 0  # nobody has opened it
    summary = page.find("#past summary")
    summary.send_keys(Keys.ENTER)
    page.until(lambda: "calls completed" in page.text("#past [data-part=says]"))
    assert page.text("#past .marks li:first-child").startswith(tuple("0123456789"))
    kinds = [one.text for one in page.all("#past .marks .pill")]
    assert kinds == ["start", "change"]
    assert "by ada from 10.0.0.7" in page.text("#past .marks")

    # With the keyboard: the arrows choose another range.
    chosen = page.find("#past input[value='1h']")
    chosen.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    page.until(lambda: "Each point stands for 5 min." in page.text("#past [data-part=says]"))
    kinds = [one.text for one in page.all("#past .marks .pill")]
    assert kinds == ["start", "change", "start", "end", "crash"]
    assert len(page.all("#past .plot:first-child line.mark")) == 5
    titles = [one.get_attribute("textContent") for one in page.all("#past line.is-crash title")]
    assert "2 calls of shop/invoice in pool pdf crashed: no memory" in titles[0]
    # Two hours without a server are a gap, not a line at zero.
    assert len(page.all("#past .plot:first-child path.line.one")) == 2
    middle = page.find("#past .plot:first-child svg")
    ActionChains(browser).move_to_element(middle).perform()
    page.until(lambda: page.all("#past text.pointed"))
    ActionChains(browser).move_to_element(page.find("h1")).perform()
    page.until(lambda: not page.all("#past text.pointed"))
    for name, width, scheme in LOOKS:
        screen(browser, width, 1000, scheme)
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, f"{name} scrolls sideways"
        picture(page, name)

    together = page.text("#past [data-part=says]")
    page.find("#past option[value=pdf]").click()
    page.until(lambda: page.text("#past [data-part=says]") not in ("", together))
    assert [one.get_attribute("value") for one in page.all("#past option")] == ["", "db", "pdf"]
    page.find("#past [data-part=figures] summary").click()
    page.until(lambda: len(page.all("#past tbody tr")) in (288, 289, 290))
    cells = page.all("#past tbody tr:nth-child(3) td")
    assert cells[0].text.endswith("/s")
    page.find("#past input[value='72h']").click()
    page.until(lambda: "Each point stands for 15 min." in page.text("#past [data-part=says]"))
    labels = [svg.get_attribute("aria-label") for svg in page.all("#past svg")]
    assert all(" from " in label and "at most" in label for label in labels)
    reachable = browser.execute_script(
        "return [...document.querySelectorAll('#past input, #past select, #past summary')]"
        ".filter(one => one.tabIndex < 0).length"
    )
    assert reachable == 0

    # While the server cannot answer, the figures stay and the page says why.
    rows = len(page.all("#past tbody tr"))
    browser.execute_script(NO_DISK)
    page.find("#past input[value='72h']").find_element(By.XPATH, "../../label[1]/input").click()
    page.until_text("#past [data-part=trouble]", "no disk")
    assert len(page.all("#past tbody tr")) == rows
    assert page.mistakes() == []


async def test_a_server_without_a_history_says_so_on_its_page(tmp_path: Path, browser: Any) -> None:
    async with serving((ExecutorConsole, {"history": "off"}), Works, executors=POOLS) as site:

        def see() -> None:
            page = Page(browser, url_of(site))
            page.find("#past summary").click()
            page.until(lambda: "keeps no history" in page.text("#past [data-part=trouble]"))

        await asyncio.to_thread(see)
