# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A long job with a progress page for the user who has started it.

Shows a route that answers at once with 202 and goes on as a job, which survives a restart of the
server; ``page_url`` of that answer is a page with its progress that needs no JavaScript. The jobs
are kept in the folder ``jobs`` beside this file, or in the one that ``JOBS`` names.

Start it with ``python examples/long_job.py [port]``, then open
http://127.0.0.1:8000/reports/start in a browser, or try::

    curl -c cookies -X POST 'http://127.0.0.1:8000/reports/yearly?year=2026'
    curl -b cookies http://127.0.0.1:8000/_tasks/
"""

import os
import sys
import time
from pathlib import Path

from genro_routes import route

from genro_executor_plugin import ExecutorApplication, ExecutorServer, cancelled, progress

START = """<!DOCTYPE html>
<title>Yearly report</title>
<button>Make the report</button>
<script>
document.querySelector("button").onclick = async () => {
  const job = await (await fetch("/reports/yearly?year=2026", {method: "POST"})).json();
  location = job.page_url;
};
</script>
"""


class Reports(ExecutorApplication):
    mount = "reports"

    @route(media_type="text/html")
    async def start(self) -> str:
        return START

    @route(executor="reports", executor_background=True)
    def yearly(self, year: int = 2026) -> dict[str, int]:
        """Twelve months of work; a cancelled job ends after the month that it is at."""
        done = 0
        for month in range(1, 13):
            if cancelled():
                break
            time.sleep(0.2)
            done = month
            progress(month / 12, f"month {month}")
        return {"year": int(year), "months": done}


if __name__ == "__main__":
    folder = os.environ.get("JOBS") or str(Path(__file__).parent / "jobs")
    server = ExecutorServer(
        applications=[Reports],
        executors={"reports": {"max_workers": 2}},
        long_tasks={"path": folder},
    )
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
