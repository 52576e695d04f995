# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What one submitter has in the store is nobody else's loss: buckets, keys, and texts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
from genro_routes import route
from servers import Site, serving

from genro_executor_plugin import (
    ExecutorApplication,
    RemoteError,
    TaskError,
    progress,
)
from genro_executor_plugin.tasks.fingerprints import fingerprint
from genro_executor_plugin.tasks.limits import network_of
from genro_executor_plugin.tasks.texts import (
    MAX_DATA_CHARS,
    MAX_MESSAGE_CHARS,
    MAX_TRACEBACK_CHARS,
    cut,
)

USERS = {"basic": {name: {"password": "pw", "tags": "user"} for name in ("ann", "bob")}}


class Desk(ExecutorApplication):
    mount = "desk"

    @route(executor="jobs", executor_background=True)
    def stamp(self, text: str) -> str:
        return f"stamped {text}"

    @route(executor="jobs", executor_background=True)
    def print(self, text: str) -> str:
        return f"printed {text}"


@asynccontextmanager
async def desk(folder: Path, *, auth: bool = True, **settings: Any) -> AsyncIterator[Site]:
    options: dict[str, Any] = {"auth": USERS} if auth else {"middleware": {"session": False}}
    async with serving(
        Desk,
        executors={"jobs": {"max_workers": 1}},
        long_tasks={"path": folder / "store", "pool": "jobs", **settings},
        **options,
    ) as site:
        yield site


async def stamp(
    site: Site, text: str = "x", *, user: str = "", key: str = "", path: str = "stamp"
) -> Any:
    """The answer to a request of ``user``; without one, of a visitor who sends no cookie."""
    site.client.cookies.clear()
    return await site.client.post(
        f"/desk/{path}",
        params={"text": text},
        headers={"idempotency-key": key} if key else {},
        auth=(user, "pw") if user else None,
    )


@pytest.mark.parametrize("sessions", [True, False])
async def test_a_stranger_uses_up_what_strangers_have_and_nothing_else(
    sessions: bool, tmp_path: Path
) -> None:
    async with desk(tmp_path, auth=sessions, max_jobs_per_anonymous=3) as site:
        own = site.app("desk").tasks
        for _ in range(3):
            assert (await stamp(site)).status_code == 202
        assert (await stamp(site)).status_code == 429
        assert await own.result(await own.submit(tf.add, 1, 1)) == 2
        if sessions:
            assert (await stamp(site, user="ann")).status_code == 202
    async with desk(tmp_path, auth=sessions, max_jobs_per_anonymous=3) as site:
        await site.server.long_tasks.list()
        assert (await stamp(site)).status_code == 429  # counted after a restart, too


async def test_the_size_of_what_a_stranger_stores_is_limited(tmp_path: Path) -> None:
    async with desk(tmp_path, auth=False, max_bytes_per_anonymous="1kB") as site:
        assert (await stamp(site, "x" * 2000)).status_code == 429
        own = site.app("desk").tasks
        assert await own.result(await own.submit(tf.length, bytes(2000))) == 2000
        assert (await stamp(site)).status_code == 202


async def test_forgetting_gives_the_strangers_room_back(tmp_path: Path) -> None:
    async with desk(tmp_path, auth=False, max_jobs_per_anonymous=1) as site:
        first = (await stamp(site)).json()
        assert (await stamp(site)).status_code == 429
        await site.app("desk").tasks.result(first["task_id"])
        await site.app("desk").tasks.forget(first["task_id"])
        assert (await stamp(site)).status_code == 202


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_what_one_client_has_many_of_counts_as_one(address: str, network: str) -> None:
    assert network_of(address) == network


# -- keys -----------------------------------------------------------------------------------------


async def test_a_key_of_a_stranger_is_not_the_applications(tmp_path: Path) -> None:
    async with desk(tmp_path, auth=False) as site:
        poisoned = (await stamp(site, "poison", key="bill")).json()["task_id"]
        tasks = site.app("desk").tasks.options(key="bill")
        own = await tasks.submit(tf.add, 1, 1)
        assert own != poisoned
        assert await tasks.result(own) == 2


async def test_a_key_gives_the_same_call_again_and_no_other(tmp_path: Path) -> None:
    async with desk(tmp_path) as site:
        first = await stamp(site, "one", user="ann", key="k")
        again = await stamp(site, "one", user="ann", key="k")
        assert first.json()["task_id"] == again.json()["task_id"]
        other_arguments = await stamp(site, "two", user="ann", key="k")
        other_target = await stamp(site, "one", user="ann", key="k", path="print")
        assert (other_arguments.status_code, other_target.status_code) == (409, 409)
        others = await stamp(site, "two", user="bob", key="k")
        assert others.json()["task_id"] != first.json()["task_id"]
        # The job of the first call is what it was.
        tasks = site.app("desk").tasks
        assert await tasks.result(first.json()["task_id"]) == "stamped one"
        own = tasks.options(key="k", eta=timedelta(hours=1))
        await own.submit(tf.add, 1, 1)
        with pytest.raises(TaskError, match="was used for a call of"):
            await own.submit(tf.add, 1, 2)


def test_equal_arguments_are_the_same_call_whatever_their_pickles() -> None:
    text = "".join(["sha", "red"])
    shared, apart = [text, text], [text, "".join(["sha", "red"])]
    assert fingerprint("f", (shared,), {}) == fingerprint("f", (apart,), {})
    assert fingerprint("f", (), {"a": 1, "b": 2}) == fingerprint("f", (), {"b": 2, "a": 1})
    one, other = {0, 8}, {8, 0}  # they collide: the first one that comes is in front
    assert list(one) != list(other)
    assert fingerprint("f", (one,), {}) == fingerprint("f", (other,), {})
    different = [("f", (1,)), ("f", (True,)), ("f", ("1",)), ("f", ([1],)), ("g", (1,))]
    different += [("f", ((1,),)), ("f", (b"1",)), ("f", ({1},)), ("f", ("1, 2",)), ("f", (1, 2))]
    assert len({fingerprint(title, args, {}) for title, args in different}) == len(different)


# -- texts ----------------------------------------------------------------------------------------


def report_much() -> str:
    progress(0.5, "m" * 100_000, data="d" * 100_000)
    return "done"


def fail_at_length() -> None:
    raise LookupError("x" * 1_000_000)


def fail_with_a_surrogate() -> None:
    raise LookupError("\udcff")


def fail_with_the_chain(depth: int) -> None:
    try:
        raise ValueError("y" * 3000)
    except ValueError:
        if depth:
            fail_with_the_chain(depth - 1)
        raise


async def test_texts_of_a_job_are_cut(tmp_path: Path) -> None:
    async with desk(tmp_path, max_result_bytes="50kB") as site:
        tasks = site.app("desk").tasks
        job = await tasks.submit(report_much)
        await tasks.result(job)
        told = (await tasks.status(job)).progress
        assert len(told.message) < MAX_MESSAGE_CHARS + 100
        assert 0 < len(told.data["cut"]) < MAX_DATA_CHARS
        for func, *args in ((fail_at_length,), (fail_with_a_surrogate,), (fail_with_the_chain, 30)):
            job = await tasks.submit(func, *args)
            # What would take more than max_result_bytes arrives as what it said.
            with pytest.raises((LookupError, ValueError, RemoteError)) as caught:
                await tasks.result(job)
            assert len(str(caught.value)) < 10_000
            failure = (await tasks.status(job)).failure
            assert len(failure.message) < MAX_MESSAGE_CHARS + 100
            assert len(failure.traceback) < MAX_TRACEBACK_CHARS + 100


def test_a_text_that_is_cut_keeps_its_ends() -> None:
    assert cut("short", 100) == "short"
    assert cut("a" * 500 + "z" * 500, 10) == "aaaaa [... 990 characters cut ...] zzzzz"
    assert cut("\ud800", 10) == "\\ud800"
