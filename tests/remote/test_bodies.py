# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a message says is judged as a whole: a body of another shape is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from genro_executor_plugin.remote.envelope import Envelope, RefusedError
from genro_executor_plugin.remote.messages import Kind, pack, read
from genro_executor_plugin.remote.versions import CodeVersion

CODE = CodeVersion.here(["json"]).as_dict()

BODIES: dict[Kind, tuple[Any, ...]] = {
    Kind.ANNOUNCEMENT: ("host", 17, 4, 2, True, CODE, "", 0.0),
    Kind.QUESTION: (12.5,),
    Kind.CALL: (1, "f", "m", False, None, 2.5, False, [(1, 2, 3, 4, b"d")], b"p"),
    Kind.END: (1,),
    Kind.TELL: (1,),
    Kind.AWAITED: (3, [1, 2]),
    Kind.WANT: (),
    Kind.RETURN: (),
    Kind.LEAVE: (True,),
    Kind.HANDLED: (5, 7),
    Kind.ANSWER: (1, 0),
    Kind.NOT_BEGUN: (1, "lost", 2, ""),
    Kind.MESSAGE: (1, 17, 0),
    Kind.GRANT: (2,),
    Kind.RECORD: (1, 0, 3, 0),
    Kind.PART: (1, 0, 2, 20, 9, 9),
    Kind.TAKEN: (1, 2),
}

WRONG = (
    *(None, True, 1, -1, 1.5, math.nan, math.inf, -math.inf, 0.0, "text", b"bytes", (), [1.5]),
    *([True], [-1], [(1, 2, 3, 4)], [(1, 2, 3, 4, "d")], [[1, 2, 3, 4, b"d"]], {}, CODE),
    *({**CODE, "modules": {"json": 1}}, {**CODE, "modules": []}, {**CODE, "python": None}),
)


TAILS = {Kind.CALL, Kind.TELL, Kind.ANSWER, Kind.MESSAGE, Kind.RECORD, Kind.PART}


def letter(kind: int, body: tuple[Any, ...], tail: bytes = b"") -> Envelope:
    return Envelope(kind, "somebody", "agent", pack(body), 0.0, tail)


@pytest.mark.parametrize("kind", Kind)
def test_a_body_is_read_if_it_is_of_its_kind_and_refused_otherwise(kind: Kind) -> None:
    body = BODIES[kind]
    if kind in TAILS:
        assert read(letter(kind, body, b"tail")) == (*body, b"tail")
    else:
        assert read(letter(kind, body)) == body
        with pytest.raises(RefusedError, match=f"{kind.name} of 'somebody' has a tail of 4 bytes"):
            read(letter(kind, body, b"tail"))
    refused: list[RefusedError] = []
    for place, right in enumerate(body):
        for wrong in WRONG:
            if type(wrong) is not type(right):
                try:
                    read(letter(kind, (*body[:place], wrong, *body[place + 1 :])))
                except RefusedError as error:
                    refused.append(error)
    assert len(refused) >= 14 * len(body)
    assert {error.reason for error in refused} <= {"body"}
    assert all(f"of {kind.name} of 'somebody' is a" in str(error) for error in refused)
    for other in (*((body[:-1],) if body else ()), (*body, 1)):
        with pytest.raises(RefusedError, match=rf"has {len(body)} parts here, and {len(other)} "):
            read(letter(kind, other))


def test_what_has_the_right_type_and_no_sense_is_refused() -> None:
    for kind, body in (
        (Kind.LEAVE, (1,)),
        (Kind.AWAITED, (3, [True])),
        (Kind.END, (-1,)),
        (Kind.QUESTION, (math.nan,)),
        (Kind.CALL, (*BODIES[Kind.CALL][:4], 0.0, *BODIES[Kind.CALL][5:])),
        (Kind.CALL, (*BODIES[Kind.CALL][:7], [(1, 2, 3, 4)], b"p")),
        (Kind.ANNOUNCEMENT, (*BODIES[Kind.ANNOUNCEMENT][:5], {**CODE, "more": 1}, "", 0.0)),
    ):
        with pytest.raises(RefusedError):
            read(letter(kind, body))
    with pytest.raises(RefusedError, match="no kind 99"):
        read(letter(99, (1,)))
