# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The page that makes profiles, in a real browser: from a route's row to a page that is saved.

With ``GENRO_EXECUTOR_SCREENSHOTS=1`` in the environment it writes the picture in ``docs/images``.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from apps.profiled_app import Bench
from browser import chromium
from servers import serving, until_answered
from test_console_page import IMAGES, url_of
from test_profile_route import called, check_speedscope
from waiting import until

from genro_executor_plugin import ExecutorConsole

pytestmark = pytest.mark.once


async def in_page(browser: Any, script: str) -> Any:
    return await asyncio.to_thread(browser.execute_script, script)


async def fact(browser: Any, expression: str) -> Any:
    """What ``expression`` is in the page as soon as that is true."""
    return await until_answered(lambda: in_page(browser, f"return {expression}"), 0.02)


def complaints(browser: Any) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


async def test_a_route_is_profiled_looked_at_and_saved(tmp_path: Path) -> None:
    async with serving(ExecutorConsole, Bench, executors={"cpus": {"max_workers": 2}}) as site:
        with chromium(tmp_path / "profile", width=1100, height=780) as browser:
            where = {"behavior": "allow", "downloadPath": str(tmp_path)}
            browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
            await asyncio.to_thread(browser.get, url_of(site))
            link = "document.querySelector('a[aria-label=\"Profile bench/compute\"]')"
            await fact(browser, link)
            await in_page(browser, f"{link}.click()")
            await fact(browser, "document.querySelector('#ask [name=route]')?.value")
            chosen = await in_page(browser, "return document.querySelector('[name=route]').value")
            assert chosen == "bench/compute"

            async with called(site, "/bench/compute"):
                await in_page(
                    browser,
                    "const form = document.getElementById('ask');"
                    "form.elements.seconds.value = 0.6; form.requestSubmit()",
                )
                boxes = await fact(
                    browser,
                    "[...document.querySelectorAll('.flame-box')].map((box) => box.textContent)",
                )
            assert boxes[:3] == ["bench/compute", "Bench.compute", "computes"]
            assert "hot" in boxes
            first = await in_page(
                browser, "return document.querySelector('.flame-lines tbody tr').textContent"
            )
            assert "hot" in first
            assert "profiled.py:" in first

            if os.environ.get("GENRO_EXECUTOR_SCREENSHOTS") == "1":
                picture = await asyncio.to_thread(browser.get_screenshot_as_png)
                (IMAGES / "profile.png").write_bytes(picture)
            await in_page(
                browser,
                "[...document.querySelectorAll('.flame-box')]"
                ".find((box) => box.textContent === 'computes').click()",
            )
            wide = await in_page(
                browser,
                "const boxes = [...document.querySelectorAll('.flame-box')];"
                "return boxes.map((box) => [box.textContent, box.style.width])",
            )
            assert ["computes", "100%"] in wide
            for button, name in (("save-page", "html"), ("save-file", "json")):
                await in_page(browser, f"document.getElementById('{button}').click()")
                await until((tmp_path / f"profile-bench-compute.{name}").exists)
            check_speedscope(json.loads((tmp_path / "profile-bench-compute.json").read_text()))
            assert complaints(browser) == []

            saved = tmp_path / "profile-bench-compute.html"
            await asyncio.to_thread(browser.get, saved.as_uri())
            again = await fact(
                browser,
                "[...document.querySelectorAll('.flame-box')].map((box) => box.textContent)",
            )
            assert again == boxes
            fetched = await in_page(
                browser, "return performance.getEntriesByType('resource').map((one) => one.name)"
            )
            assert [one for one in fetched if not one.startswith("data:")] == []
            assert complaints(browser) == []
