# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A server whose connection is cut in the middle of its calls: what has not come has not begun."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nats.aio.client
import pytest
import worker_functions as wf
from agents import SECRET, agent, nats_server

from genro_executor_plugin.portable.packing import CallPacker
from genro_executor_plugin.remote.envelope import Seal
from genro_executor_plugin.remote.messages import CallMessage, Kind, pack, read

pytestmark = pytest.mark.once


async def test_a_call_that_was_cut_off_is_told_as_not_begun_and_does_not_begin_late(
    tmp_path: Path,
) -> None:
    marks = tmp_path / "marks"
    with nats_server() as where, agent(where.url, "s", "--pool", "max_workers=2") as program:
        name = program.until_it_says(r"agent (\w+) serves")[1]
        client, seal, packer = nats.aio.client.Client(), Seal("me", SECRET.encode()), CallPacker()
        heard: asyncio.Queue[tuple[int, tuple[Any, ...]]] = asyncio.Queue()

        async def arrived(message: Any) -> None:
            envelope = seal.open(message.data, ("me",))
            heard.put_nowait((envelope.kind, read(envelope)))

        async def tell(kind: Kind, body: tuple[Any, ...]) -> None:
            await client.publish(f"s.agent.{name}", seal.seal(kind, name, pack(body)))

        async def call(number: int) -> None:
            packed = packer.pack(wf.record, (str(marks), number), {})
            definitions = [
                (d.key, d.version, d.owner, d.kind, d.payload) for d in packed.definitions
            ]
            limits = False, None, None, False
            message = CallMessage(number, "record", "m", *limits, definitions, packed.payload, b"")
            await tell(Kind.CALL, message[:-1])

        await client.connect(where.url)
        try:
            await client.subscribe("s.server.me", cb=arrived)
            await call(2)  # number 1 was lost on its way
            assert (await heard.get())[1][0] == 2
            await tell(Kind.AWAITED, (2, [1]))
            kind, body = await heard.get()
            assert (kind, body[:2]) == (Kind.NOT_BEGUN, (1, "not begun"))
            await call(1)  # it has come after all: by now it may run elsewhere
            await call(3)
            assert (await heard.get())[1][0] == 3
            await tell(Kind.AWAITED, (3, [1]))
            assert (await heard.get())[1][:2] == (1, "not begun")
        finally:
            await client.close()
        assert marks.stat().st_size == 2
