# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every example starts, answers over HTTP and ends on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from programs import started

EXAMPLES = Path(__file__).parents[1] / "examples"


def makes_reports(client: httpx.Client, server_pid: int) -> None:
    report = client.get("/reports/report", params={"title": "Sales", "lines": 20})
    assert report.headers["content-type"] == "application/pdf"
    assert report.content.startswith(b"%PDF-")
    assert client.get("/reports/ping").json() == {"pid": server_pid}
    assert client.get("/reports/offload?enabled=false").json()["updated"] == ["report"]
    assert client.get("/reports/report?lines=1").content.startswith(b"%PDF-")


def keeps_orders(client: httpx.Client, server_pid: int) -> None:
    assert client.get("/orders/list").json() == []
    client.get("/orders/add", params={"item": "tea", "quantity": 3}).raise_for_status()
    assert client.get("/orders/list").json() == [{"item": "tea", "quantity": 3}]
    slow = client.get("/orders/slow").json()
    assert slow["sum"] == 500000500000
    assert "-db-" in slow["thread"]


def counts_primes(client: httpx.Client, server_pid: int) -> None:
    one = client.get("/numbers/primes", params={"below": 1000}).json()
    assert one["primes"] == 168
    assert one["pid"] != server_pid
    parts = client.get("/numbers/table", params={"below": 1000, "parts": 4}).json()
    assert [part["first"] for part in parts] == [0, 250, 500, 750]
    assert sum(part["primes"] for part in parts) == 168
    pi = client.get("/numbers/pi", params={"terms": 1000}).json()["pi"]
    assert pi == pytest.approx(3.14159, abs=0.01)


CALLS: dict[str, Callable[[httpx.Client, int], None]] = {
    "blocking_database": keeps_orders,
    "pdf_reports": makes_reports,
    "plain_functions": counts_primes,
}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_runs(name: str) -> None:
    """It serves on the port it is given, does what it shows, and leaves nothing behind."""
    with started(EXAMPLES / f"{name}.py", "0", finds_tests=False) as example:
        example.until_it_serves()
        with httpx.Client(base_url=example.url, timeout=90) as client:
            CALLS[name](client, example.pid)
        example.descendants()
        example.signal(signal.SIGINT)
        code = example.wait()
        # uvicorn raises the signal again after its shutdown: the program ends as by Ctrl-C.
        assert code in (0, -signal.SIGINT), example.log
        until_shutdown, complete, _ = example.log.partition("Application shutdown complete")
        assert complete, until_shutdown
        assert "Traceback" not in until_shutdown
        assert not example.left()


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_example_says_what_it_shows_and_how_to_try_it(name: str) -> None:
    """The first lines of the file are for the person who opens it."""
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    docstring = text.split('"""')[1]
    assert "Shows " in docstring
    assert f"python examples/{name}.py [port]" in docstring
    assert "curl" in docstring
