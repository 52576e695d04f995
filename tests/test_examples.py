# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every example starts, answers over HTTP and ends on Ctrl-C, and is short enough to be read."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image
from programs import RunningProgram, started

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


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


def reads_digits(client: httpx.Client, server_pid: int) -> None:
    seen = client.get("/digits/sample?number=7").json()
    assert seen["read"] in range(10)
    assert seen["worker"] != server_pid
    assert client.get("/digits/accuracy").json()["accuracy"] > 0.85


def makes_thumbnails(client: httpx.Client, server_pid: int) -> None:
    photo = io.BytesIO()
    Image.new("RGB", (1200, 800), "teal").save(photo, "PNG")
    upload = {"file": ("photo.png", photo.getvalue(), "image/png")}
    small = client.post("/images/thumbnail?side=150", files=upload)
    assert small.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(small.content)) as image:
        assert image.size == (150, 100)
    wrong = {"file": ("photo.png", b"no image", "image/png")}
    assert client.post("/images/thumbnail", files=wrong).status_code == 400
    assert client.post("/images/thumbnail?side=0", files=upload).status_code == 400
    assert client.get("/images/thumbnail").status_code == 400


def streams_tables(client: httpx.Client, server_pid: int) -> None:
    rows = client.get("/tables/squares?rows=2500").text.splitlines()
    assert rows[0] == "number,square"
    assert rows[-1] == "2500,6250000"
    assert len(rows) == 2501
    with client.stream("GET", "/tables/squares?rows=100000000") as endless:
        assert next(endless.iter_text()).startswith("number,square")


def asks_legacy_drivers(client: httpx.Client, server_pid: int) -> None:
    in_threads = client.get("/legacy/in_threads?seconds=0").json()
    assert in_threads["pid"] == server_pid
    in_processes = client.get("/legacy/in_processes?seconds=0").json()
    assert in_processes["pid"] != server_pid


def reports_as_a_job(client: httpx.Client, server_pid: int) -> None:
    assert "<button>" in client.get("/reports/start").text
    job = client.post("/reports/yearly?year=2026").json()
    assert "yearly" in client.get(job["page_url"]).text
    with client.stream("GET", job["events_url"]) as events:
        for _ in events.iter_lines():  # until the job has ended
            pass
    assert client.get(job["result_url"]).json() == {"year": 2026, "months": 12}


CALLS: dict[str, Callable[[httpx.Client, int], None]] = {
    "blocking_database": keeps_orders,
    "csv_stream": streams_tables,
    "legacy_driver": asks_legacy_drivers,
    "long_job": reports_as_a_job,
    "pdf_reports": makes_reports,
    "plain_functions": counts_primes,
    "preloaded_model": reads_digits,
    "thumbnails": makes_thumbnails,
}

PARTS = {"digits_model"}
"""Modules of an example that are no program."""


def ends_in_order(example: RunningProgram) -> None:
    example.descendants()
    example.signal(signal.SIGINT)
    code = example.wait()
    # uvicorn raises the signal again after its shutdown: the program ends as by Ctrl-C.
    assert code in (0, -signal.SIGINT), example.log
    until_shutdown, complete, _ = example.log.partition("Application shutdown complete")
    assert complete, until_shutdown
    assert "Traceback" not in until_shutdown
    assert not example.left()


@pytest.mark.parametrize("name", sorted({path.stem for path in EXAMPLES.glob("*.py")} - PARTS))
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    """It serves on the port it is given, does what it shows, and leaves nothing behind."""
    if name == "preloaded_model":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra 'examples')")
    state = {"JOBS": str(tmp_path / "jobs")}
    with started(EXAMPLES / f"{name}.py", "0", finds_tests=False, **state) as example:
        example.until_it_serves()
        with httpx.Client(base_url=example.url, timeout=90) as client:
            CALLS[name](client, example.pid)
        ends_in_order(example)


def test_the_stock_server_runs() -> None:
    config = EXAMPLES / "stock_server" / "config.py"
    serve = ("-m", "genro_asgi", "serve", config)
    with started(*serve, finds_tests=False, PORT="0") as example:
        example.until_it_serves()
        with httpx.Client(base_url=example.url, timeout=90) as client:
            found = client.get("/primes/below?number=1000").json()
            assert found["primes"] == 168
            assert found["pid"] != example.pid
            assert client.get("/_executors/").status_code in (200, 303, 401)
        ends_in_order(example)


def test_the_server_of_the_container_runs(tmp_path: Path) -> None:
    folder = EXAMPLES / "container"
    state = {"JOBS": str(tmp_path / "jobs"), "PYTHONPATH": str(EXAMPLES)}
    with started(folder / "serve.py", "0", finds_tests=False, **state) as example:
        example.until_it_serves()
        local = example.url.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=local, timeout=90) as client:
            assert client.post("/reports/yearly").status_code == 202
        assert (tmp_path / "jobs.key").is_file()
        ends_in_order(example)
    copied = [
        name
        for line in (folder / "Containerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ")
        for name in line.split()[1:-1]
    ]
    assert copied == ["container/serve.py", "long_job.py"]
    assert all((EXAMPLES / name).is_file() for name in copied)


def test_the_example_of_tests_passes(tmp_path: Path) -> None:
    tests = EXAMPLES / "testing"
    pytest_options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path)
    with started("-m", "pytest", *pytest_options, tests, finds_tests=False) as run:
        assert run.wait(120) == 0, run.log
    assert "3 passed" in run.log


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    """Whoever opens it reads it in a few minutes."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 82, "80 and the licence"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_example_says_what_it_shows_and_how_to_try_it(name: str) -> None:
    """The first lines of the file are for the person who opens it."""
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    docstring = text.split('"""')[1]
    assert "Shows " in docstring
    assert f"python examples/{name}.py [port]" in docstring
    assert "curl" in docstring
