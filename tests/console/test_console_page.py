# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The console's page in a real browser: what it shows, what its controls do, how it looks.

With ``GENRO_EXECUTOR_SCREENSHOTS=1`` in the environment the last test writes the pictures in
``docs/images``; without it checks the same pages and writes nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from browser import chromium
from press import Press
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from servers import Site, serving

from genro_executor_plugin import ExecutorConsole

pytestmark = pytest.mark.once

IMAGES = Path(__file__).parents[2] / "docs" / "images"

POOLS: dict[str, Any] = {
    "pdf": {"max_workers": 2, "timeout": 30.0, "max_memory_per_child": "512MB"},
    "db": {"executor_type": "thread", "max_workers": 16},
}
AUTH = {
    "basic": {
        "ada": {"password": "pw", "tags": "SERVER_ADMIN"},
        "bob": {"password": "pw", "tags": "STAFF"},
    }
}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        yield site


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path / "profile") as browser:
        yield browser


def test_without_a_browser_it_is_skipped_and_in_ci_it_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"), chromium(tmp_path):
        pass
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no chromium"), chromium(tmp_path):
        pass


class Page:
    """The page as a person uses it. Every method waits until it is so."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        browser.get(url)

    def until(self, fact: Callable[[], Any]) -> Any:
        def now(_: Any) -> Any:
            return fact()

        return WebDriverWait(self.browser, 60, 0.02).until(now)

    def find(self, selector: str) -> WebElement:
        found: WebElement = self.until(lambda: self.all(selector))[0]
        return found

    def all(self, selector: str) -> list[WebElement]:
        found: list[WebElement] = self.browser.find_elements(By.CSS_SELECTOR, selector)
        return found

    def text(self, selector: str) -> str:
        return str(self.browser.execute_script(
            "return document.querySelector(arguments[0])?.textContent ?? ''", selector
        ))  # fmt: skip

    def click(self, name: str) -> None:
        """Click what has the accessible name ``name``."""
        # What is inside of a pool comes after its line, and moves what is below.
        self.until(lambda: not self.all(".pool.open [data-part=inside]:empty"))
        self.find(f'[aria-label="{name}"]').click()

    def said(self, text: str) -> None:
        """Wait until the page says that ``text`` is done."""
        self.until(lambda: text in self.text("#said"))

    def until_text(self, selector: str, text: str) -> None:
        self.until(lambda: self.text(selector) == text)

    def mistakes(self) -> list[Any]:
        return [line for line in self.browser.get_log("browser") if line["level"] == "SEVERE"]


def url_of(site: Site, user: str = "") -> str:
    address = str(site.client.base_url)
    if user:
        return f"{address.replace('://', f'://{user}@')}/_executors/"
    return f"{address}/_executors/?token={site.app('_executors').token.value}"


async def some_work(site: Site) -> None:
    for _ in range(3):
        await site.json("/works/report", pages=3)
    await site.json("/works/invoices/render", number=2)
    await site.get("/works/fail")
    await site.get("/works/query")


async def test_the_page_shows_what_the_snapshot_has(site: Site, browser: Any) -> None:
    await some_work(site)
    snapshot = await site.json("/_executors/snapshot")

    def look() -> None:
        page = Page(browser, url_of(site))
        page.until_text("#health", "healthy")
        page.until(lambda: len(page.all("[data-part=options]")) == len(snapshot["pools"]))
        for pool in snapshot["pools"]:
            card = f'[data-pool="{pool["name"]}"]'
            assert page.text(f"{card} h3") == pool["name"]
            assert page.text(f"{card} [data-part=kind]") == pool["kind"]
            assert page.text(f"{card} [data-part=state]") == "healthy"
            for outcome in ("completed", "failed"):
                if pool[outcome] or outcome == "completed":
                    shown = page.text(f"{card} [data-outcome={outcome}] b")
                    assert shown == str(pool[outcome])
            shown = page.text(f"{card} [data-part=busy]")
            assert shown == f"{pool['busy']} of {pool['max_workers']}"
            pids = [row.get_attribute("data-pid") for row in page.all(f"{card} tr[data-pid]")]
            assert sorted(pids) == sorted(str(one["pid"]) for one in pool["worker_states"])
            assert page.text(f"{card} [data-part=options]").count("max_pending") == 1
        routes = {route["path"]: route for route in snapshot["routes"] if route["pool"]}
        rows = {row.get_attribute("data-route"): row for row in page.all("tr[data-route]")}
        assert set(rows) == set(routes)
        for path, route in routes.items():
            row = f'tr[data-route="{path}"]'
            assert page.text(f"{row} [data-cell=pool]") == route["pool"]
            done = sum(route["outcomes"].values())
            told = [page.text(f"{row} [data-cell={cell}]") for cell in ("calls", "errors")]
            never = "\N{EN DASH}"
            assert told == ([str(done), str(route["outcomes"]["failed"])] if done else [never] * 2)
        (error,) = snapshot["errors"]
        page.find("details.error summary").click()
        page.until(lambda: page.text("details.error pre"))
        assert page.find("details.error .message").text == error["message"]
        assert page.find("details.error pre").text == error["traceback"]
        assert "works.py" in error["traceback"]
        elsewhere = "return performance.getEntriesByType('resource').map(entry => entry.name)"
        for name in browser.execute_script(elsewhere):
            assert name.startswith(str(site.client.base_url)), name
        assert page.mistakes() == []

    await asyncio.to_thread(look)


async def test_controls_of_a_route_do_what_they_say(site: Site, browser: Any) -> None:
    router = site.app("works").route._plugins_by_name["executor"]

    def use() -> None:
        page = Page(browser, url_of(site))
        row = 'tr[data-route="works/report"]'
        switch = page.find(f"{row} [role=switch]")
        assert switch.get_attribute("aria-checked") == "true"
        switch.click()
        page.said("route works/report: disabled=True")
        page.until(lambda: switch.get_attribute("aria-checked") == "false")
        assert router.configuration("report")["disabled"] is True
        switch.send_keys(Keys.SPACE)
        page.until(lambda: switch.get_attribute("aria-checked") == "true")
        assert router.configuration("report")["disabled"] is False

        page.click("Change works/report")
        dialog = page.find("#edit[open]")
        dialog.find_element(By.NAME, "timeout").send_keys("2.5")
        dialog.find_element(By.CSS_SELECTOR, "select[name=pool] option[value=cpu]").click()
        dialog.find_element(By.CSS_SELECTOR, "button[value=save]").click()
        page.until_text(f"{row} [data-cell=pool]", "cpu")
        page.until_text(f"{row} [data-cell=timeout]", "2.5 s")
        assert router.configuration("report")["timeout"] == 2.5

        page.click("Change works/query")  # a thread cannot be killed: refused, with the reason
        dialog = page.find("#edit[open]")
        dialog.find_element(By.NAME, "timeout").send_keys("1", Keys.ENTER)
        page.until(lambda: page.all("#edit[open]") == [])
        assert page.mistakes() == []

    await asyncio.to_thread(use)


async def test_controls_of_a_pool_do_what_they_say(site: Site, browser: Any) -> None:
    first = (await site.json("/works/report"))["pid"]
    pool = site.server.get_executor("pdf")

    def use() -> None:
        page = Page(browser, url_of(site))
        card = '[data-pool="pdf"]'
        size = page.find(f"{card} .resize input")
        size.clear()
        size.send_keys("3", Keys.ENTER)
        page.said("pool pdf: max_workers=3 (was 2)")
        assert pool.pool_options.max_workers == 3
        for begin, state in (("Pause", "paused"), ("Drain", "draining")):
            page.click(f"{begin} pool pdf")
            page.until_text(f"{card} [data-part=state]", state)
            page.until_text("#health", "not healthy")
            assert (pool.paused, pool.draining) == (state == "paused", state == "draining")
            page.click("Resume pool pdf")
            page.until_text(f"{card} [data-part=state]", "healthy")
            assert (pool.paused, pool.draining) == (False, False)
        page.click("Restart pool pdf")
        page.said("pool pdf: restarting")
        page.until(lambda: first not in pool.pids)
        page.until(lambda: page.all("#change-list li"))
        assert len(page.all("#change-list li")) == 6
        assert "by a client at 127.0.0.1" in page.text("#change-list li")
        assert page.all('[data-pool="db"] [data-part=restart]')[0].is_displayed() is False
        assert page.mistakes() == []

    await asyncio.to_thread(use)


async def test_a_worker_is_killed_after_asking_twice(site: Site, browser: Any, gate: Any) -> None:
    held = asyncio.create_task(site.client.get("/works/hold", params={"path": gate.path}))
    pid = await gate.entered()
    pool = site.server.get_executor("pdf")

    def use() -> None:
        page = Page(browser, url_of(site))
        row = f'tr[data-pid="{pid}"]'
        page.until_text(f"{row} [data-cell=state]", "busy")
        assert "hold" in page.text(f"{row} [data-cell=runs]")
        page.click(f"Kill worker {pid}")
        dialog = page.find("#kill[open]")
        assert str(pid) in dialog.text
        assert "hold" in dialog.text
        # What has the focus is the harmless button; Enter and Escape both keep the worker.
        ActionChains(browser).send_keys(Keys.ENTER).perform()
        page.until(lambda: page.all("#kill[open]") == [])
        page.click(f"Kill worker {pid}")
        ActionChains(browser).send_keys(Keys.ESCAPE).perform()
        page.until(lambda: page.all("#kill[open]") == [])
        assert pid in pool.pids
        page.click(f"Kill worker {pid}")
        page.find("#kill[open] button.danger").click()
        page.said(f"worker {pid} killed")
        page.until(lambda: page.all(row) == [])
        assert page.mistakes() == []

    await asyncio.to_thread(use)
    assert (await held).status_code == 500
    assert pid not in pool.pids


async def test_a_stranger_sees_no_page_and_no_data(browser: Any) -> None:
    async with serving(ExecutorConsole, Works, executors=POOLS, auth=AUTH) as site:
        await site.json("/works/report")

        def look() -> None:
            for user in ("", "bob:pw"):
                browser.get(url_of(site, user))
                source = browser.page_source
                assert "pdf" not in source
                assert "works/report" not in source
                assert not browser.find_elements(By.ID, "pool-list")
            browser.get("about:blank")
            page = Page(browser, url_of(site, "ada:pw"))
            page.until_text('[data-pool="pdf"] h3', "pdf")

        await asyncio.to_thread(look)


async def test_a_page_whose_server_goes_says_so(browser: Any) -> None:
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        page = await asyncio.to_thread(Page, browser, url_of(site))
        await asyncio.to_thread(page.until_text, "#health", "healthy")
    await asyncio.to_thread(page.until, lambda: "does not answer" in page.text("#trouble"))


async def test_everything_has_a_name_and_the_keyboard_reaches_it(site: Site, browser: Any) -> None:
    await some_work(site)

    def look() -> None:
        page = Page(browser, url_of(site))
        page.until(lambda: len(page.all("tr[data-route]")) == 6)
        nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        seen = set()
        for node in nodes:
            role = node.get("role", {}).get("value")
            if not node.get("ignored") and role in (
                "button", "switch", "spinbutton", "link", "image", "meter", "table", "dialog",
            ):  # fmt: skip
                seen.add(role)
                assert node.get("name", {}).get("value"), node
        assert {"button", "switch", "spinbutton", "link", "meter", "table"} <= seen
        wanted = [
            one for one in page.all("main button, main input, main summary") if one.is_displayed()
        ]
        reached = set()
        for _ in range(len(wanted) + 10):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            reached.add(browser.switch_to.active_element)
        assert set(wanted) <= reached
        # A refresh every two seconds must not take the focus away.
        last = page.find('[aria-label="Change works/report"]')
        browser.execute_script("arguments[0].focus()", last)
        asked = "return performance.getEntries().filter(e => e.name.includes('/updates')).length"
        times = browser.execute_script(asked)
        page.until(lambda: browser.execute_script(asked) > times + 1)
        assert browser.switch_to.active_element == last

    await asyncio.to_thread(look)


LOOKS = (("light", 1280, "light"), ("dark", 1280, "dark"), ("narrow", 400, "light"))


async def test_it_looks_right_in_light_dark_and_narrow(site: Site, browser: Any, gate: Any) -> None:
    writes = os.environ.get("GENRO_EXECUTOR_SCREENSHOTS") == "1"
    console = site.app("_executors")
    await site.get("/works/die")

    def look() -> None:
        for name, width, scheme in LOOKS:
            screen(browser, width, 900, scheme)
            page = Page(browser, url_of(site))
            page.until(lambda page=page: page.all('[data-cell="state"].busy'))
            page.until(lambda page=page: page.all(".plot path.area"))
            page.until(lambda page=page: page.text("#freshness"))
            shown = browser.execute_script(
                "const style = getComputedStyle(document.body), root = document.documentElement;"
                "return [root.scrollWidth, root.scrollHeight, style.backgroundColor, style.color]"
            )
            assert shown[0] <= width, f"{name}: the page is {shown[0]} wide"
            light, dark = _brightness(shown[2]), _brightness(shown[3])
            assert (light > dark) == (scheme == "light")
            assert abs(light - dark) > 150, "text that can be read"
            screen(browser, width, shown[1], scheme)
            picture = browser.get_screenshot_as_png()
            assert len(picture) > 20_000
            if writes:
                IMAGES.mkdir(exist_ok=True)
                (IMAGES / f"console-{name}.png").write_bytes(picture)
            assert (IMAGES / f"console-{name}.png").is_file(), "docs/how-to/console.md shows it"
            assert page.mistakes() == []

    enough = asyncio.Event()
    work = asyncio.create_task(_work(site, enough))
    try:
        async with asyncio.timeout(200):
            while len(console._history.of("db")) < (60 if writes else 2):
                await site.get("/works/ping")
                await asyncio.sleep(0.05)
        held = asyncio.create_task(site.client.get("/works/hold", params={"path": gate.path}))
        await gate.entered()
        await asyncio.to_thread(look)
        gate.release()
        await held
    finally:
        enough.set()
        await work


async def _work(site: Site, enough: asyncio.Event) -> None:
    """Work of every kind until it is enough."""

    async def again(path: str, pause: float, **parameters: Any) -> None:
        while not enough.is_set():
            await site.get(path, **parameters)
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), pause)

    await asyncio.gather(
        *(again("/works/report", 0.03 + 0.01 * number, pages=90 * number) for number in range(4)),
        again("/works/invoices/render", 0.1, number=700),
        again("/works/query", 0.1, seconds=0.03),
        again("/works/query", 0.2, seconds=0.12),
        again("/works/fail", 9.0),
    )


def screen(browser: Any, width: int, height: int, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )


def _brightness(colour: str) -> float:
    red, green, blue = (float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3])
    return 0.3 * red + 0.6 * green + 0.1 * blue


async def test_a_long_job_shows_its_progress_and_is_cancelled_after_asking_twice(
    browser: Any, gate: Any, tmp_path: Path
) -> None:
    pools = {"jobs": {"max_workers": 1}}
    settings = {"path": tmp_path / "store", "pool": "jobs", "cancel_grace": 0.2}
    async with serving(ExecutorConsole, Press, executors=pools, long_tasks=settings) as site:

        def before() -> Page:
            page = Page(browser, url_of(site))
            page.until(lambda: page.text("#pools"))
            assert page.all("#jobs:not([hidden])") == []  # nobody has used one
            return page

        page = await asyncio.to_thread(before)
        answer = await site.client.post("/press/held", params={"gate": gate.path})
        job = answer.json()["task_id"]
        await gate.entered()

        def use() -> None:
            row = f'tr[data-job="{job}"]'
            page.until_text(f"{row} [data-cell=message]", "25 % · at the gate")
            page.until_text(f"{row} [data-cell=state]", "running")
            bar = page.find(f"{row} [role=progressbar]")
            assert bar.get_attribute("aria-valuenow") == "25"
            page.click(f"Cancel job {job}")
            page.find("#cancel[open]")
            ActionChains(browser).send_keys(Keys.ESCAPE).perform()
            page.until(lambda: page.all("#cancel[open]") == [])
            page.until_text(f"{row} [data-cell=state]", "running")
            page.click(f"Cancel job {job}")
            page.find("#cancel[open] button.danger").click()
            page.until_text(f"{row} [data-cell=state]", "cancelled")
            assert page.mistakes() == []

        await asyncio.to_thread(use)
