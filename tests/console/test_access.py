# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Who may use the console, decided for requests as they come, without a server that serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from apps.works import Works
from host import HTTPUnsupportedMediaType
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import built

from genro_executor_plugin import ExecutorConfigError
from genro_executor_plugin.console.access import RULE, Access, check_change, who_asks
from genro_executor_plugin.console.token import (
    TOKEN_HEADER,
    TOKEN_VARIABLE,
    ConsoleToken,
    declared_token,
)

SECRET = "a-token-of-the-tests"


@pytest.fixture
def token() -> ConsoleToken:
    return ConsoleToken(SECRET)


def request(*headers: tuple[bytes, bytes], **scope: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "headers": list(headers), **scope}


def with_token(value: str, **scope: Any) -> dict[str, Any]:
    return request((TOKEN_HEADER.encode(), value.encode()), **scope)


def avatar(*tags: str) -> Any:
    return SimpleNamespace(identity="ann", tags=tags)


@pytest.fixture
async def free() -> AsyncIterator[Any]:
    async with built(Works) as server:
        yield server


async def test_without_authentication_whoever_has_the_token_may(
    free: Any, token: ConsoleToken
) -> None:
    access = Access()
    assert access.tags_of(request(), free, token) == []
    assert access.tags_of(with_token(SECRET), free, token) == [RULE]
    assert access.tags_of(with_token(SECRET + "x"), free, token) == []
    assert Access(open=True).tags_of(request(), free, token) == [RULE]


async def test_an_identity_needs_the_tag_and_the_token_is_nothing_then(
    free: Any, token: ConsoleToken
) -> None:
    access = Access(tag="ops")
    assert access.tags_of(request(auth=avatar("ops", "x")), free, token) == [RULE]
    for tags in ((), ("x",), (RULE,), ("OPS",)):
        assert access.tags_of(request(auth=avatar(*tags)), free, token) == ["-"]
        assert access.tags_of(with_token(SECRET, auth=avatar(*tags)), free, token) == ["-"]


async def test_with_authentication_the_token_is_nothing(token: ConsoleToken) -> None:
    async with built(Works, auth={"basic": {"ann": {"password": "secret"}}}) as server:
        scope = with_token(SECRET, auth=None)
        assert Access().tags_of(scope, server, token) == []


@pytest.mark.parametrize(
    "options",
    [{"metrics": "ope"}, {"health": None}, {"open": 1}, {"open": "yes"}, {"metrics": True},
     {"tag": ""}, {"tag": "  "}, {"tag": "a,b"}, {"tag": None}, {"tag": 5}],
)  # fmt: skip
def test_what_is_no_choice_is_refused_by_name(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ExecutorConfigError, match=f"ExecutorConsole: {name}="):
        Access(**options)
    assert Access(metrics="closed", health="closed", open=False, tag="ops").tag == "ops"


def test_who_asks_is_told_by_name_and_address() -> None:
    assert who_asks(request(client=("1.2.3.4", 5))) == "a client at 1.2.3.4"
    assert who_asks(request()) == "a client at an unknown address"
    asked = request(client=("1.2.3.4", 5), auth=avatar())
    assert who_asks(asked) == "ann from 1.2.3.4"


@pytest.mark.parametrize("media", [b"application/json", b" Application/JSON ; charset=utf-8"])
def test_a_change_is_a_json_document(media: bytes) -> None:
    check_change(request((b"content-type", media)))
    for other in (b"text/plain", b"application/jsonx", b"", b"text/plain; application/json"):
        with pytest.raises(HTTPUnsupportedMediaType):
            check_change(request((b"content-type", other)))
    with pytest.raises(HTTPUnsupportedMediaType):
        check_change(request())


def test_a_cookie_has_the_token_as_well(token: ConsoleToken) -> None:
    name = token.cookie
    assert name.startswith("genro_executor_")
    assert len(name) == len("genro_executor_") + 12
    assert ConsoleToken("another-token-here").cookie != name
    for cookies in (f"{name}={SECRET}", f"a=b; {name}={SECRET}", f"{name}=x;{name}={SECRET} ; c"):
        assert token.is_in(request((b"cookie", cookies.encode())))
    assert token.is_in(request((b"cookie", b"a=b"), (b"cookie", f"{name}={SECRET}".encode())))
    for cookies in (f"{name}x={SECRET}", f"{name}={SECRET}x", SECRET, f"x={SECRET}", name, ""):
        assert not token.is_in(request((b"cookie", cookies.encode())))
    # A header says it all: a wrong one is not made good by a cookie.
    wrong = request((TOKEN_HEADER.encode(), b"x"), (b"cookie", f"{name}={SECRET}".encode()))
    assert not token.is_in(wrong)
    assert token.set_cookie(secure=False) == (
        f"{name}={SECRET}; HttpOnly; SameSite=Strict".encode()
    )
    assert token.set_cookie(secure=True).endswith(b"; SameSite=Strict; Secure")


def test_tokens_are_random_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ConsoleToken().value != ConsoleToken().value
    assert len(ConsoleToken().value) == 32
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert declared_token(None) is None
    assert declared_token(SECRET) == SECRET
    monkeypatch.setenv(TOKEN_VARIABLE, "")
    assert declared_token(None) is None
    monkeypatch.setenv(TOKEN_VARIABLE, SECRET[::-1])
    assert declared_token(None) == SECRET[::-1]
    assert declared_token(SECRET) == SECRET
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(ExecutorConfigError, match=rf"{TOKEN_VARIABLE}=\.\.\. is no token"):
        declared_token(None)
    for wrong in ("short", "x" * 257, f"{SECRET} ", f"{SECRET}\n", SECRET.encode(), 5, True):
        with pytest.raises(ExecutorConfigError, match=r"token=\.\.\. is no token") as caught:
            declared_token(wrong)
        assert SECRET not in str(caught.value)


@settings(max_examples=150, derandomize=True)
@given(st.lists(st.binary(max_size=60), max_size=3), st.none() | st.binary(max_size=40))
def test_whatever_cookies_and_headers_say_nobody_gets_in(
    cookies: list[bytes], header: bytes | None
) -> None:
    headers = [(b"cookie", value) for value in cookies]
    if header is not None:
        headers.append((TOKEN_HEADER.encode(), header))
    assert ConsoleToken(SECRET).is_in(request(*headers)) is False


@settings(max_examples=100, derandomize=True)
@given(st.text(max_size=300))
def test_whatever_is_given_as_a_token_is_one_or_is_refused(given_text: str) -> None:
    try:
        declared = declared_token(given_text)
    except ExecutorConfigError:
        return
    assert declared == given_text
    assert ConsoleToken(given_text).matches(given_text)
