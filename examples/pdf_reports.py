# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Reports as PDF, made in a pool of worker processes.

Shows a route in a pool, a time limit, and offloading switched off and on while the server runs.
It needs fpdf2 (``pip install "genro-executor-plugin[demo]"``).

Start it with ``python examples/pdf_reports.py [port]``, then try::

    curl -o report.pdf 'http://127.0.0.1:8000/reports/report?title=Sales&lines=200'
    curl 'http://127.0.0.1:8000/reports/offload?enabled=false'

The last line of the report says which process made it: a worker, or the server.
"""

import os
import sys

from fpdf import FPDF
from genro_routes import route

from genro_executor_plugin import ExecutorApplication, ExecutorServer


class Reports(ExecutorApplication):
    mount = "reports"

    @route(executor="pdf", executor_timeout=30, media_type="application/pdf")
    def report(self, title: str = "Report", lines: int = 100) -> bytes:
        """Make the report: pure computing, in a worker."""
        pdf = FPDF()
        pdf.set_font("helvetica", size=10)
        pdf.add_page()
        pdf.cell(text=title, new_x="LMARGIN", new_y="NEXT")
        with pdf.table() as table:
            for number in range(1, lines + 1):
                row = table.row()
                for value in (number, number**2, number**3):
                    row.cell(f"{value:,}")
        pdf.cell(text=f"made by process {os.getpid()}")
        return bytes(pdf.output())

    @route()
    async def offload(self, enabled: bool = True) -> dict[str, object]:
        """Say where reports are made from now on: in a worker, or in the server (to debug)."""
        return self.router.configure("report", executor_disabled=not enabled)

    @route()
    async def ping(self) -> dict[str, int]:
        """Answer at once, whatever the workers do."""
        return {"pid": os.getpid()}


if __name__ == "__main__":
    server = ExecutorServer(
        applications=[Reports],
        executors={"pdf": {"max_workers": 2, "max_pending": 20, "on_overload": "fail"}},
    )
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
