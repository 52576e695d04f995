# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How an application with pools is tested: here that of ``pdf_reports.py``.

Shows a real server for a test, the check that a route ran in its pool, and the same test in the
test's own process, where patches and coverage reach.

Run it with ``pytest examples/testing``.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from pdf_reports import Reports

POOLS = {"pdf": {"max_workers": 1}}


def test_a_report_is_made_in_the_pool(executor_server):
    site = executor_server(Reports, executors=POOLS)
    with site.ran_in("pdf", "reports/report"):
        answer = site.get("/reports/report", title="Sales", lines=3)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/pdf"


def test_the_ping_needs_no_pool(executor_server):
    site = executor_server(Reports, executors=POOLS)
    with site.ran_in(None, "reports/ping"):
        assert site.get("/reports/ping").json() == {"pid": os.getpid()}


@pytest.mark.usefixtures("executor_bypass")
def test_a_report_in_this_process(executor_server, monkeypatch):
    site = executor_server(Reports, executors=POOLS)
    monkeypatch.setattr("pdf_reports.FPDF.output", lambda self: b"%PDF- of the test")
    with site.ran_in("pdf", "reports/report"):
        assert site.get("/reports/report").text == "%PDF- of the test"
