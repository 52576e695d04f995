# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whoever can publish to NATS and has no secret runs nothing, and ends nothing."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats.aio.client
import pytest
import worker_functions as wf
from agents import SECRET, agent, nats_server, pool_options
from waiting import until

from genro_executor_plugin import NatsExecutor
from genro_executor_plugin.remote.envelope import Seal
from genro_executor_plugin.remote.messages import CallMessage, Kind, pack

pytestmark = pytest.mark.once

MESSAGES = int(os.environ.get("GENRO_EXECUTOR_MESSAGES", "300"))


class Trap:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (self.file,)


def nonsense(chosen: random.Random, heard: list[bytes], trap: bytes) -> bytes:
    """A message of a stranger: random, altered, cut, sent again, or signed with another secret."""
    real = chosen.choice(heard)
    altered = bytearray(real)
    altered[chosen.randrange(len(real))] ^= chosen.randrange(1, 256)
    other = Seal("server", b"another secret, long enough")
    call = CallMessage(1, "f", "m", False, None, None, False, [(1, 1, 1, 1, trap)], trap, trap)
    return chosen.choice(
        [
            chosen.randbytes(chosen.randrange(200)),
            b"GXN2" + chosen.randbytes(chosen.randrange(200)),
            bytes(altered),
            real[: chosen.randrange(len(real))],
            real,
            real * 2,
            trap,
            other.seal(Kind.CALL, "*", pack(call)),
            other.seal(chosen.choice(list(Kind)), "*", trap),
        ]
    )


@asynccontextmanager
async def stranger(url: str) -> AsyncIterator[nats.aio.client.Client]:
    """Somebody who can publish."""
    client = nats.aio.client.Client()
    await client.connect(url)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.timeout(240 + MESSAGES / 50)
async def test_messages_of_strangers_run_nothing_and_end_nothing(tmp_path: Path) -> None:
    chosen, marks = random.Random(7), tmp_path / "marks"
    trap = pickle.dumps(Trap(str(tmp_path / "trap")))
    with nats_server() as server, agent(server.url, "open", "--pool", "max_workers=1") as program:
        heard: list[tuple[str, bytes]] = []

        async def listen(message: Any) -> None:
            heard.append((message.subject, message.data))

        async with (
            stranger(server.url) as client,
            NatsExecutor("heavy", **pool_options(server.url, "open")) as pool,
        ):
            await client.subscribe("open.>", cb=listen)
            for number in range(5):
                assert await pool.submit(wf.record, str(marks), number) == number
            await until(lambda: sum(".server." in subject for subject, _ in heard) > 5)
            subjects, real = sorted({subject for subject, _ in heard}), [data for _, data in heard]
            for number in range(MESSAGES):
                data = nonsense(chosen, real, trap)
                await client.publish(chosen.choice(subjects), data)
                if number % 50 == 0:
                    assert await pool.submit(wf.echo, number) == number
            for subject, data in heard[:1000]:  # each where it was, once more
                await client.publish(subject, data)
            await client.flush()
            assert await pool.submit(wf.answer) == 42
            assert marks.stat().st_size == 5
            assert not (tmp_path / "trap").exists()
            counts = pool._engine._dispatcher.exchange.refusals.counts  # type: ignore[attr-defined]
            assert counts["replayed"] >= 5
            assert counts["signature"]
            assert counts["foreign"]
            assert pool.metrics["workers"] == 1
        program.signal(15)
        assert await asyncio.to_thread(program.wait) == 0
    for reason in ("signature is wrong", "a second time", "no message of this protocol"):
        subjects_told = program.log.count(f"was refused: it{'s' if 'is wrong' in reason else ''}")
        assert reason in program.log
        assert subjects_told < 20
    assert "Traceback" not in program.log


async def test_what_is_signed_and_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Somebody with the secret and another version of the protocol breaks nothing either."""
    with nats_server() as server, agent(server.url, "odd", "--pool", "max_workers=1") as program:
        name = program.until_it_says(r"agent (\w+) serves")[1]
        async with (
            stranger(server.url) as client,
            NatsExecutor("heavy", **pool_options(server.url, "odd")) as pool,
        ):
            assert await pool.submit(wf.answer) == 42
            exchange = pool._engine._dispatcher.exchange  # type: ignore[attr-defined]
            seal = Seal("odd", SECRET.encode())
            for kind in (*Kind, 99):
                for body in (
                    pack(()),
                    pack((1,)),
                    pack(("a", "b", "c")),
                    pickle.dumps([Path("/")]),
                ):
                    for subject, recipient in (
                        (f"odd.agent.{name}", name),
                        (f"odd.server.{exchange.name}", exchange.name),
                        ("odd.agents", "*"),
                        ("odd.ask", "*"),
                    ):
                        await client.publish(subject, seal.seal(kind, recipient, body))
            await client.flush()
            assert await pool.submit(wf.answer) == 42
            assert exchange.refusals.counts["body"] > 50
            assert "is told to end" not in program.log  # LEAVE with a number is no LEAVE
        program.signal(15)
        assert await asyncio.to_thread(program.wait) == 0
    assert "Traceback" not in program.log, program.log
