# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.installed``: which version of the package is measured from here.

Prints one line of JSON: the version, and the file that the package was imported from in this
process and in a worker of a pool.
"""

from __future__ import annotations

import asyncio
import json

import genro_executor_plugin
from benchmarks.functions import package_file
from genro_executor_plugin import ProcessExecutor


async def main() -> dict[str, str]:
    """The version and both files."""
    pool = ProcessExecutor("installed", max_workers=1)
    try:
        in_worker: str = await pool.submit(package_file)
    finally:
        await pool.shutdown()
    version = genro_executor_plugin.__version__
    return {"version": version, "server": package_file(), "worker": in_worker}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())), flush=True)
