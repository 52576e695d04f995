# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""axe-core finds nothing on any page of the console, in light, dark and narrow."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from axe import axe_script, violations
from browser import chromium
from press import Press
from selenium.webdriver.common.by import By
from servers import serving, until_answered
from test_console_page import LOOKS, POOLS, Page, screen, url_of

from genro_executor_plugin import ExecutorConsole

pytestmark = pytest.mark.once

SUBMIT = """
const done = arguments[arguments.length - 1];
fetch(arguments[0], {method: "POST"}).then((answer) => answer.json()).then(done);
"""

OPEN_ALL = "for (const one of document.querySelectorAll('#one details')) one.open = true"


async def test_every_view_of_the_console_passes(tmp_path: Path, gate: Any) -> None:
    script = axe_script(tmp_path)
    pools = {**POOLS, "jobs": {"executor_type": "thread", "max_workers": 4}}
    settings = {"path": tmp_path / "store", "pool": "jobs", "shutdown_timeout": 0.2}
    found: dict[str, list[str]] = {}

    def look(browser: Any, view: str, but: str = "", looks: Any = LOOKS) -> None:
        for name, width, scheme in looks:
            screen(browser, width, 900, scheme)
            # What is dark differs in colours alone.
            only = "color-contrast" if name == "dark" else ""
            lines = violations(browser, script, only=only, but=but)
            if lines:
                found[f"{view}, {name}"] = lines
        screen(browser, 1280, 900, "light")

    def use(browser: Any, url: str, root: str) -> None:
        page = Page(browser, url)

        def press(selector: str) -> None:
            # What is shown moves while the first answers come in.
            browser.execute_script("arguments[0].click()", page.find(selector))

        job = browser.execute_async_script(SUBMIT, f"{root}/press/held?gate={gate.path}")
        failed = browser.execute_async_script(SUBMIT, f"{root}/press/broken")
        page.until(lambda: page.all(f'tr[data-job="{job["task_id"]}"]'))
        press("details.error summary")
        page.until(lambda: page.text("details.error pre"))
        page.until(lambda: page.all('[data-pool="db"] .plot'))
        press('[data-pool="db"] details summary')
        press("#past summary")
        press("#in-server summary")
        look(browser, "the console")
        browser.execute_script("document.getElementById('pools').classList.add('lots')")
        press('[data-pool="pdf"] .fold')
        page.until(lambda: page.find('[data-pool="pdf"] .line').is_displayed())
        look(browser, "pools that are closed")
        press('[aria-label="Change works/report"]')
        page.find("#edit[open]")
        look(browser, "the dialog of a route", looks=LOOKS[:2])
        press("#edit [value='']")
        press(f'[aria-label="Cancel job {job["task_id"]}"]')
        page.find("#cancel[open]")
        look(browser, "the dialog that asks twice", looks=LOOKS[:2])
        press("#cancel [value='']")
        press('[aria-label="Where its calls are… works/fail"]')
        page.until(lambda: page.text("#stack [data-part=calls]"))
        look(browser, "the dialog of stacks", looks=LOOKS[:2])
        press("#stack .primary")
        browser.execute_script("window.fetch = () => Promise.reject(new TypeError());")
        page.until(lambda: "stale" in page.find("html").get_attribute("class"))
        look(browser, "the console without its server", looks=LOOKS[:2])

        browser.get(f"{root}/_executors/jobs")
        page.until(lambda: len(page.all("#job-list tr")) == 2)
        look(browser, "the list of jobs")
        press("#job-list [type=checkbox]")
        press("#actions [data-action=forget]")
        page.until(lambda: page.all("#sure[open]") or page.text("#said"))
        look(browser, "a question about jobs", looks=LOOKS[:2])
        for name, one in (("that runs", job), ("that failed", failed)):
            browser.get(f"{root}/_executors/jobs?job={one['task_id']}")
            page.until(lambda: page.text("#one-state"))
            browser.execute_script(OPEN_ALL)
            look(browser, f"a job {name}")
        browser.get(f"{root}/_executors/profile")
        page.until(lambda: browser.find_elements(By.CSS_SELECTOR, "#ask option"))
        look(browser, "the page of profiles")
        for name, one in (("that runs", job), ("that failed", failed)):
            browser.get(f"{root}/_tasks/page/{one['task_id']}")
            # It works without a script, and then nothing else can ask again.
            look(browser, f"the progress page of a job {name}", but="meta-refresh")

    async with serving(ExecutorConsole, Works, Press, executors=pools, long_tasks=settings) as site:
        await site.json("/works/report")
        await site.get("/works/query")
        await site.get("/works/fail")
        samples = site.app("_executors").samples
        await until_answered(lambda: asyncio.sleep(0, samples.of("db")))
        root = str(site.client.base_url).rstrip("/")
        with chromium(tmp_path / "profile") as browser:
            await asyncio.to_thread(use, browser, url_of(site), root)
        gate.release()
    told = [f"{view}: {line}" for view, lines in found.items() for line in lines]
    assert not told, "\n".join(told)
