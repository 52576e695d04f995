# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server of ``Containerfile``: long jobs whose store and key are on a volume.

Shows what differs in a container: the server listens on every address of it, and what has to
outlive the container is in the folder that ``JOBS`` names.

Start it without a container with ``JOBS=/tmp/jobs python examples/container/serve.py [port]``, and
``examples`` in ``PYTHONPATH``, then try::

    curl -X POST 'http://127.0.0.1:8000/reports/yearly?year=2026'
"""

import os
import sys
from pathlib import Path

from long_job import Reports

from genro_executor_plugin import ExecutorServer

if __name__ == "__main__":
    folder = Path(os.environ["JOBS"])
    server = ExecutorServer(
        applications=[Reports],
        executors={"reports": {}},  # a worker for each CPU that the container has
        long_tasks={"path": str(folder), "key_file": str(folder.with_name("jobs.key"))},
    )
    server.serve(host="0.0.0.0", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
