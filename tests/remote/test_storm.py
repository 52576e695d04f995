# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A storm of messages against a living agent and a living server, drawn by hypothesis.

Signed ones that make no sense, and ones that were altered, cut, sent again, signed with another
secret, too large or random: nothing of them is executed, each is counted, both sides stay up.
``tox run -e remote-faults`` sends 50,000.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
from pathlib import Path
from typing import Any

import nats.aio.client
import pytest
import worker_functions as wf
from agents import SECRET, agent, nats_server, pool_options
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from waiting import until

from genro_executor_plugin import NatsExecutor
from genro_executor_plugin.remote.envelope import Seal
from genro_executor_plugin.remote.messages import Kind, pack

pytestmark = pytest.mark.once

MESSAGES = int(os.environ.get("GENRO_EXECUTOR_MESSAGES", "2000"))

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=3,
)
SIGNED = st.tuples(
    st.just("signed"),
    # LEAVE is left out: with a flag it makes sense, and the agent would end.
    st.sampled_from([*(kind for kind in Kind if kind is not Kind.LEAVE), 0, 99]),
    st.lists(PLAIN, max_size=5),
    st.binary(max_size=50),
)
MESSAGE = st.one_of(
    SIGNED,
    st.tuples(st.just("random"), st.binary(max_size=300)),
    st.tuples(st.just("altered"), st.integers(0), st.integers(0), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0), st.integers(0)),
    st.tuples(st.just("again"), st.integers(0)),
    st.tuples(st.just("secret"), st.sampled_from(Kind), st.binary(max_size=50)),
    st.tuples(st.just("large"), st.sampled_from([2**31, 2**62, 2**80]), st.integers(0, 5)),
)


class Trap:
    """A pickle that leaves a folder behind when it is read."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


class Storm:
    """What somebody sends who has heard all that was said, and has the secret or has not."""

    def __init__(self, heard: list[bytes], trap: bytes) -> None:
        self._heard, self._trap = heard, trap
        self._seal = Seal("odd", SECRET.encode())
        self._other = Seal("odd", b"another secret, long enough")

    def data(self, message: tuple[Any, ...], recipient: str) -> bytes:
        match message:
            case "signed", kind, body, tail:
                return self._seal.seal(kind, recipient, pack(tuple(body)), tail)
            case "random", content:
                return bytes(content)
            case "altered", which, place, change:
                altered = bytearray(self._heard[which % len(self._heard)])
                altered[place % len(altered)] ^= change
                return bytes(altered)
            case "cut", which, length:
                real = self._heard[which % len(self._heard)]
                return real[: length % len(real)]
            case "again", which:
                return self._heard[which % len(self._heard)]
            case "secret", kind, tail:
                return self._other.seal(kind, recipient, self._trap, tail)
            case "large", size, lane:
                head = pack((lane, 0, 2**20, int(Kind.ANSWER), size, size))
                return self._seal.seal(Kind.PART, recipient, head, self._trap)
        raise AssertionError(message)


@pytest.mark.timeout(240 + MESSAGES / 50)
async def test_a_storm_runs_nothing_ends_nothing_and_is_counted(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(str(tmp_path / "trap")))
    loop, heard, client = asyncio.get_running_loop(), [], nats.aio.client.Client()
    with nats_server() as where, agent(where.url, "storm", "--pool", "max_workers=2") as program:
        name = program.until_it_says(r"agent (\w+) serves")[1]
        await client.connect(where.url)

        async def listen(message: Any) -> None:
            heard.append(message.data)

        async def refused_there() -> int:
            answer = await client.request(f"$SRV.STATS.genro-executor.{name}", timeout=30)
            (endpoint,) = json.loads(answer.data)["endpoints"]
            return sum(endpoint["data"]["refused_messages"].values())

        try:
            async with NatsExecutor("heavy", **pool_options(where.url, "storm")) as pool:
                listening = await client.subscribe("storm.>", cb=listen)
                for number in range(3):
                    assert await pool.submit(wf.echo, number) == number
                await until(lambda: len(heard) > 6)
                await listening.unsubscribe()
                exchange = pool._engine._dispatcher.exchange  # type: ignore[attr-defined]
                storm, to_agent, to_server = Storm(heard, trap), 0, 0

                ready: list[tuple[str, bytes]] = []

                async def publish_ready() -> None:
                    for subject, data in ready:
                        await client.publish(subject, data)
                    ready.clear()

                def publish() -> None:
                    asyncio.run_coroutine_threadsafe(publish_ready(), loop).result()

                @settings(
                    max_examples=MESSAGES,
                    phases=[Phase.generate],
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                )
                @given(message=MESSAGE, is_to_agent=st.booleans())
                def send(message: tuple[Any, ...], is_to_agent: bool) -> None:
                    nonlocal to_agent, to_server
                    recipient = name if is_to_agent else exchange.name
                    subject = f"storm.{'agent' if is_to_agent else 'server'}.{recipient}"
                    ready.append((subject, storm.data(message, recipient)))
                    if len(ready) == 50:
                        publish()
                    if message[0] != "signed":  # few of these may make sense
                        to_agent, to_server = to_agent + is_to_agent, to_server + (not is_to_agent)

                await asyncio.to_thread(send)
                await asyncio.to_thread(publish)
                await client.flush()
                assert await pool.submit(wf.answer) == 42
                assert to_agent + to_server > MESSAGES / 3
                await until(lambda: exchange.refusals.counts.total() >= to_server)
                while await refused_there() < to_agent:  # noqa: ASYNC110 - another process counts
                    await asyncio.sleep(0.05)
                assert {"signature", "foreign", "replayed"} < exchange.refusals.counts.keys()
                assert not (tmp_path / "trap").exists()
        finally:
            await client.close()
        program.signal(15)
        assert await asyncio.to_thread(program.wait) == 0
    assert "Traceback" not in program.log
    assert program.log.count("was refused") < 60  # once for each source in a minute
