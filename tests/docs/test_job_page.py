# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The page of docs/how-to/jobs-in-a-browser.md does in a real browser what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from doc_blocks import ROOT, blocks_of
from programs import started
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PAGE = ROOT / "docs" / "how-to" / "jobs-in-a-browser.md"
WAIT_SECONDS = 60.0

WATCH = """
window.seen = [];
new MutationObserver(() => {
  const text = document.getElementById("text").textContent;
  window.seen.push([text, document.getElementById("bar").value]);
}).observe(document.getElementById("text"), {childList: true});
"""
"""Notes every text that is shown with the bar's value: none comes and goes unseen."""


def seen(browser: Any) -> list[list[Any]]:
    shown: list[list[Any]] = browser.execute_script("return window.seen")
    return shown


@pytest.mark.once
@pytest.mark.timeout(300)
def test_progress_result_and_cancel_are_shown(tmp_path: Path) -> None:
    """The bar follows the job, its result is shown at the end, and a job can be cancelled."""
    for block in blocks_of(PAGE.name, PAGE.read_text(encoding="utf-8")):
        if block.said("file") == ["jobs.py"]:
            (tmp_path / "jobs.py").write_text(block.text.replace("8000", "0"), encoding="utf-8")
    with (
        started("jobs.py", cwd=tmp_path, XDG_STATE_HOME=str(tmp_path / "state")) as server,
        chromium(tmp_path / "profile") as browser,
    ):
        server.until_it_serves()
        wait = WebDriverWait(browser, WAIT_SECONDS, poll_frequency=0.05)
        browser.get(f"{server.url}/jobs/page")
        browser.execute_script(WATCH)
        browser.find_element(By.ID, "start").click()
        wait.until(lambda _: '"pages":12' in seen(browser)[-1][0] if seen(browser) else False)
        assert any(text == "month 12" and value == 1 for text, value in seen(browser))

        browser.execute_script("window.seen = []")
        browser.find_element(By.ID, "start").click()
        wait.until(lambda _: any("month" in text for text, _ in seen(browser)))
        browser.find_element(By.ID, "cancel").click()
        wait.until(lambda _: seen(browser)[-1][0] == "cancelled")
