# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Signed messages: whatever is wrong with one, it is refused before anything of it is read."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genro_executor_plugin import ExecutorConfigError
from genro_executor_plugin.remote.access import SECRET_VARIABLE, Access, check_url, read_secret
from genro_executor_plugin.remote.envelope import CLOCK_SECONDS, RefusedError, Seal
from genro_executor_plugin.remote.messages import Kind, pack, unpack
from genro_executor_plugin.remote.refusals import Refusals
from genro_executor_plugin.remote.subjects import Subjects, check_subject
from genro_executor_plugin.remote.versions import CodeVersion, digest_of

SECRET = b"a secret of the tests, long enough"

MANY = settings(max_examples=int(os.environ.get("GENRO_EXECUTOR_MESSAGES", "50")), deadline=None)


class Detonated(Exception):
    """What a test's pickle does when somebody reads it."""


def detonate() -> None:
    raise Detonated


class Bomb:
    def __reduce__(self) -> Any:
        return detonate, ()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def two(secret: bytes | None = SECRET, clock: Any = None) -> tuple[Seal, Seal]:
    options = {} if clock is None else {"clock": clock}
    return Seal("server", secret, **options), Seal("agent", SECRET, **options)


def reason_of(seal: Seal, data: bytes) -> str:
    with pytest.raises(RefusedError) as caught:
        unpack(seal.open(data, ("agent", "*")).body)
    return caught.value.reason


@MANY
@given(body=st.binary(max_size=2000), kind=st.sampled_from(list(Kind)))
def test_what_was_sent_arrives_once(body: bytes, kind: Kind) -> None:
    server, agent = two()
    data = server.seal(kind, "agent", body)
    found = agent.open(data, ("agent", "*"))
    assert (found.kind, found.sender, found.recipient, found.body) == (
        *(kind, "server", "agent", body),
    )
    assert reason_of(agent, data) == "replayed"


@MANY
@given(place=st.integers(0, 10_000), change=st.integers(1, 255), cut=st.integers(0, 10_000))
def test_an_altered_or_cut_message_is_refused(place: int, change: int, cut: int) -> None:
    server, agent = two()
    data = server.seal(Kind.CALL, "agent", pickle.dumps((Bomb(),)))
    altered = bytearray(data)
    altered[place % len(data)] ^= change
    assert reason_of(agent, bytes(altered)) in ("foreign", "signature")
    assert reason_of(agent, data[: cut % len(data)]) in ("foreign", "signature")
    assert reason_of(agent, data + bytes([change])) == "signature"


@MANY
@given(data=st.binary(max_size=500))
def test_random_bytes_are_refused(data: bytes) -> None:
    _, agent = two()
    assert reason_of(agent, data) == "foreign"
    assert reason_of(agent, b"GXN2" + data) in ("foreign", "signature")


@MANY
@given(secret=st.one_of(st.none(), st.binary(min_size=16, max_size=64)))
def test_another_secret_is_refused(secret: bytes | None) -> None:
    server, agent = two(secret)
    expected = "none" if secret == SECRET else "signature"
    data = server.seal(Kind.CALL, "agent", pickle.dumps((Bomb(),)))
    assert expected == "none" or reason_of(agent, data) == expected


def test_a_message_to_somebody_else_is_refused() -> None:
    server, agent = two()
    assert reason_of(agent, server.seal(Kind.CALL, "another", b"")) == "recipient"


@pytest.mark.parametrize("apart", [CLOCK_SECONDS + 1, -CLOCK_SECONDS - 1])
def test_a_message_out_of_its_time_is_refused(apart: float) -> None:
    clock = Clock()
    server, agent = two(clock=clock)
    data = server.seal(Kind.CALL, "agent", pack(()))
    clock.now += apart
    assert reason_of(agent, data) == "clock"


@MANY
@given(order=st.permutations(range(12)))
def test_messages_that_overtake_each_other_are_taken_once_each(order: list[int]) -> None:
    server, agent = two()
    sent = [server.seal(Kind.CALL, "agent", pack((number,))) for number in range(12)]
    for number in order:
        assert unpack(agent.open(sent[number], ("agent",)).body) == (number,)
    assert {reason_of(agent, data) for data in sent} == {"replayed"}


def test_a_message_from_far_behind_is_refused() -> None:
    server, agent = two()
    first = server.seal(Kind.CALL, "agent", b"")
    for _ in range(2000):
        agent.open(server.seal(Kind.CALL, "agent", b""), ("agent",))
    assert reason_of(agent, first) == "replayed"


def test_many_sessions_are_forgotten_when_they_are_old_and_not_before() -> None:
    clock = Clock()
    _, agent = two(clock=clock)
    kept = Seal("server", SECRET, clock).seal(Kind.CALL, "agent", b"")
    agent.open(kept, ("agent",))
    for _ in range(1100):
        agent.open(Seal("server", SECRET, clock).seal(Kind.CALL, "agent", b""), ("agent",))
    assert reason_of(agent, kept) == "replayed"
    assert len(agent._seen) > 1000
    clock.now += CLOCK_SECONDS + 1
    agent.open(Seal("server", SECRET, clock).seal(Kind.CALL, "agent", b""), ("agent",))
    assert len(agent._seen) == 1
    assert reason_of(agent, kept) == "clock"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.floats(allow_nan=False),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below) | st.tuples(below),
    max_leaves=20,
)


@MANY
@given(body=st.lists(PLAIN).map(tuple))
def test_plain_data_is_read_as_it_was(body: tuple[Any, ...]) -> None:
    assert unpack(pack(body)) == body


@pytest.mark.parametrize("body", [Bomb(), (Bomb(),), [1], (Path("/tmp"),), {"a": os.system}])
def test_a_body_with_anything_else_is_refused_and_never_run(body: Any) -> None:
    server, agent = two()
    data = server.seal(Kind.CALL, "agent", pickle.dumps(body))
    assert reason_of(agent, data) == "body"


def test_refused_messages_are_counted_and_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    refusals = Refusals("pool 'heavy'", clock)
    with caplog.at_level(logging.WARNING, "genro_executor_plugin"):
        for _ in range(100):
            refusals.add("tasks.agents", RefusedError("signature", "its signature is wrong"))
        refusals.add("tasks.ask", RefusedError("signature", "its signature is wrong"))
        assert [record.args[1] for record in caplog.records if record.args] == [
            *("tasks.agents", "tasks.ask"),
        ]
        clock.now += 61
        refusals.add("tasks.agents", RefusedError("signature", "its signature is wrong"))
        for number in range(1000):
            refusals.add(f"tasks.{number}", RefusedError("foreign", "it is none"))
    assert refusals.counts == {"signature": 102, "foreign": 1000}
    assert "'tasks.agents' was refused: its signature is wrong (102 of this sort" in caplog.text
    assert len(refusals._logged) <= 256


# -- secrets, addresses, subjects, code --------------------------------------------------------


def test_without_a_secret_nobody_starts_but_who_has_written_it_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    file = tmp_path / "secret"
    with pytest.raises(ExecutorConfigError, match=r"pool 'p': there is no secret .*insecure=True"):
        read_secret("pool 'p'", None, False)
    with pytest.raises(ExecutorConfigError, match=r"cannot be read from .*No such file"):
        read_secret("pool 'p'", str(file), False)
    file.write_bytes(b"short\n")
    with pytest.raises(ExecutorConfigError, match="has 5 bytes and can be guessed"):
        read_secret("pool 'p'", str(file), False)
    with pytest.raises(ExecutorConfigError, match="contradict each other"):
        read_secret("pool 'p'", str(file), True)
    file.write_bytes(SECRET + b"\n")
    assert read_secret("pool 'p'", str(file), False) == SECRET
    monkeypatch.setenv(SECRET_VARIABLE, "another secret, long enough")
    assert read_secret("pool 'p'", None, False) == b"another secret, long enough"
    assert read_secret("pool 'p'", None, True) is None


@pytest.mark.parametrize(
    "url", ["", 3, "worker:4222", "http://worker", "nats://", "nats://a:99999", "nats://a,,"]
)
def test_an_address_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(ValueError, match="give the address of a NATS server"):
        check_url(url)


def test_an_address_with_a_password_is_refused_and_a_file_has_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="login="):
        check_url("nats://me:mine@worker:4222")
    file = tmp_path / "login"
    file.write_text("me:mine\n")
    access = Access.of({"url": "nats://a:1, tls://b:2", "login": str(file)})
    assert access.as_arguments() == {
        "servers": ["nats://a:1", "tls://b:2"],
        "user": "me",
        "password": "mine",
    }
    file.write_text("token\n")
    assert access.as_arguments()["token"] == "token"


@pytest.mark.parametrize("subject", ["", ".", "a..b", "a.*", "a.>", "a b", "a\r\nPUB", "x" * 200])
def test_a_subject_that_is_none_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="give a subject"):
        check_subject(subject)
    assert Subjects(check_subject("tasks.heavy")).agent("a") == "tasks.heavy.agent.a"


def test_code_differs_by_version_and_by_the_source_of_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "digested"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("VALUE = 1\n")
    before = digest_of("digested")
    mine = CodeVersion.here()
    there = CodeVersion.from_dict(CodeVersion.here(["digested"]).as_dict())
    assert mine.difference(there, {"digested": before}) == ""
    assert mine.difference(there, {"digested": None}) == ""
    (package / "part.py").write_text("VALUE = 2\n")
    after = digest_of("digested")
    assert "the source of module digested differs" in mine.difference(there, {"digested": after})
    older = CodeVersion("cpython 3.10", mine.package, mine.cloudpickle, {})
    assert f"python is {mine.python} here and cpython 3.10 there" in mine.difference(older, {})
    assert there.serves("digested.part")
    assert not there.serves("digested_not")
    assert mine.serves("anything")
    with pytest.raises(ImportError, match="no module 'nothing_at_all'"):
        CodeVersion.here(["nothing_at_all"])
    assert digest_of("math") is not None
