# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The page in a real browser while something is wrong: a call that hangs, a server that is gone.

With ``GENRO_EXECUTOR_SHOTS`` in the environment, a folder, pictures of it are written there.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from browser import chromium
from servers import Site, serving
from test_console_page import POOLS, Page, url_of

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.options.granted import has_gil

pytestmark = pytest.mark.once

NEVER = "\N{EN DASH}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        yield site


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path / "profile") as browser:
        yield browser


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("GENRO_EXECUTOR_SHOTS")
    if folder:
        page.browser.save_screenshot(f"{folder}/{name}.png")


async def test_a_person_asks_where_a_call_is(site: Site, browser: Any, gate: Any) -> None:
    """A worker that runs nothing has nothing to ask for."""
    call = asyncio.create_task(site.client.get("/works/hold", params={"path": gate.path}))
    pid = await gate.entered()

    def look() -> Page:
        page = Page(browser, url_of(site))
        page.click(f"Stack in process {pid}")
        page.until(lambda: "in hold" in page.text("#stack pre"))
        assert page.text("#stack h3") == "hold"
        picture(page, "stack")
        return page

    page = await asyncio.to_thread(look)
    gate.release()
    assert (await call).status_code == 200

    def look_again() -> None:
        page.find("#stack [data-part=again]").click()
        page.until(lambda: page.text("#stack [data-part=calls]") == "No call runs there now.")
        page.find("#stack .primary").click()
        button = page.find(f'[aria-label="Stack in process {pid}"]')
        page.until(lambda: not button.is_displayed())
        assert not page.mistakes()

    await asyncio.to_thread(look_again)


async def test_an_answer_that_stops_half_way_and_a_server_that_is_gone_are_shown(
    site: Site, browser: Any
) -> None:
    """The page goes on asking, and what is old has no colour that speaks of now."""
    await site.json("/works/report")

    def look() -> Page:
        page = Page(browser, url_of(site))
        page.until_text("#health", "healthy")
        server = page.text("#server")
        assert f"process {os.getpid()}, version " in server
        gil = "with" if has_gil() else "without"
        assert f", Python {platform.python_version()} {gil} the GIL, up for " in server
        assert " since " in server
        # An answer that is cut off, and one that never ends, each for one question.
        page.browser.execute_script(CUT_OFF)
        page.until(lambda: page.find("#trouble").is_displayed())
        page.until(lambda: not page.find("#trouble").is_displayed())
        page.until_text("#health", "healthy")
        page.browser.execute_script("window.fetch = () => Promise.reject(new TypeError());")
        page.until(lambda: "stale" in page.find("html").get_attribute("class"))
        assert page.text("#health") == "not known"
        assert page.find("#trouble").is_displayed()
        assert page.browser.title == "Executors: no answer"
        colours = page.browser.execute_script(COLOURS)
        assert len(set(colours)) == 1, colours
        picture(page, "stale")
        page.browser.execute_script("window.fetch = window.real;")
        page.until_text("#health", "healthy")
        assert "stale" not in page.find("html").get_attribute("class")
        assert page.browser.title == "Executors"
        return page

    await asyncio.to_thread(look)


CUT_OFF = """
window.real = window.fetch.bind(window);
window.fetch = async (...asked) => {
  window.fetch = window.real;
  const body = new ReadableStream({ pull(one) { one.error(new TypeError("cut off")); } });
  return new Response(body, { status: 200, headers: { "content-type": "application/json" } });
};
"""

COLOURS = """
return [...document.querySelectorAll("#health, [data-part=state]")].map(
  (one) => getComputedStyle(one).color + getComputedStyle(one).backgroundColor);
"""


async def test_refusals_and_the_queue_are_seen(browser: Any, gate: Any) -> None:
    """A pool that refuses calls is not simply healthy, and a route says how many it was."""
    full = {"max_workers": 1, "max_pending": 1, "on_overload": "fail"}
    refused: list[int] = []
    goes_on = True

    async with serving(ExecutorConsole, Works, executors={**POOLS, "pdf": full}) as site:
        held = asyncio.create_task(site.client.get("/works/hold", params={"path": gate.path}))
        await gate.entered()

        async def ask() -> None:
            while goes_on:
                refused.append((await site.get("/works/report")).status_code)
                await asyncio.sleep(0.05)

        def look() -> None:
            page = Page(browser, url_of(site))
            page.until_text("#health", "healthy, refuses calls")
            page.until_text('[data-pool="pdf"] [data-part=state]', "refuses calls")
            row = '[data-route="works/report"]'
            page.until(lambda: page.text(f"{row} [data-cell=refused]") > "0")
            assert page.text(f"{row} [data-cell=calls]") not in ("0", NEVER)
            assert page.text('[data-route="works/query"] [data-cell=calls]') == NEVER
            plots = page.text('[data-pool="pdf"] [data-part=plots]')
            assert "refused" in plots
            assert "queue p95" in plots
            picture(page, "refusing")

        asking = asyncio.create_task(ask())
        try:
            await asyncio.to_thread(look)
        finally:
            goes_on = False
            await asking
            gate.release()
            await held
        assert set(refused) == {503}


async def test_a_refused_edit_keeps_what_was_typed(site: Site, browser: Any) -> None:
    await site.json("/works/report")

    def look() -> None:
        page = Page(browser, url_of(site))
        page.click("Change works/report")
        page.browser.execute_script("document.querySelector('#edit form').noValidate = true")
        for name, typed in (("timeout", "-3"), ("retries", "2")):
            field = page.find(f"#edit [name={name}]")
            field.clear()
            field.send_keys(typed)
        page.find("#edit .primary").click()
        page.until(lambda: page.find("#edit [data-part=refused]").is_displayed())
        assert "-3" in page.text("#edit [data-part=refused]")
        assert page.find("#edit [name=timeout]").get_attribute("value") == "-3"
        assert page.find("#edit [name=retries]").get_attribute("value") == "2"
        picture(page, "refused-edit")
        field = page.find("#edit [name=timeout]")
        field.clear()
        field.send_keys("3")
        page.find("#edit .primary").click()
        page.said("Done")
        page.until_text('[data-route="works/report"] [data-cell=timeout]', "3 s")

    await asyncio.to_thread(look)
