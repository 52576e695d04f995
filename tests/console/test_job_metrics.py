# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The metrics of long jobs: how many there are, how late they are, what was refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers import Site, serving
from worker_functions import add

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.errors import TaskLimitError
from genro_executor_plugin.tasks.options import TaskOptions


async def scraped(site: Site) -> dict[tuple[str, ...], float]:
    site.app("_executors")._job_totals = None  # an answer of some seconds ago would do for a scrape
    site.app("_executors")._exposition = None
    text = (await site.get("/_executors/metrics")).text
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_jobs_are_told_by_pool_and_state_and_how_late_they_are(tmp_path: Path) -> None:
    options = {"path": str(tmp_path), "max_jobs_per_submitter": 3}
    pools = {"pdf": {"max_workers": 1, "executor_type": "thread"}}
    async with serving(ExecutorConsole, executors=pools, long_tasks=options) as site:
        assert ("genro_executor_job_store_up",) not in await scraped(site)
        tasks, pool = site.server.long_tasks, site.server.get_executor("pdf")
        done = tasks.submit(add, (2,), {}, TaskOptions(pool="pdf"))
        assert await tasks.result(await done) == 3
        pool.pause()
        for _ in range(2):
            await tasks.submit(add, (2,), {}, TaskOptions(pool="pdf", eta=1.0))
        with pytest.raises(TaskLimitError):
            tasks.submit(add, (2,), {}, TaskOptions(pool="pdf"))
        found = await scraped(site)
        assert found["genro_executor_jobs_unseen", "pdf"] == 0
        assert found["genro_executor_job_store_up",] == 1
        assert found["genro_executor_jobs", "pdf", "succeeded"] == 1
        assert found["genro_executor_jobs_accepted_total", "pdf"] == 3
        assert found["genro_executor_jobs_rejected_total", "pdf"] == 1
        assert found["genro_executor_paused", "pdf"] == 1
        assert found["genro_executor_healthy", "pdf"] == 0
        assert ("genro_executor_job_oldest_waiting_seconds", "pdf") in found
        assert ("genro_executor_job_schedule_lag_seconds", "pdf") in found
        pool.resume()
