# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The page in a real browser while something is wrong: a call that hangs, a server that is gone.

With ``GENRO_EXECUTOR_SHOTS`` in the environment, a folder, pictures of it are written there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from browser import chromium
from servers import Site, serving
from test_console_page import POOLS, Page, url_of

from genro_executor_plugin import ExecutorConsole

pytestmark = pytest.mark.once


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
