# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is told of jobs while workers and servers are killed can have been: a model agrees.

First what the model finds; then a short history, and one of a broken store. The long ones are
``tox run -e histories``.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from job_histories import broken_by, play
from job_model import Event, Promises, contradiction

ONCE = Promises()
REPEATABLE = Promises(repeatable=True)
RETRIED = Promises(retried=True)


def told(*words: str, promises: Promises = ONCE) -> str:
    """What is wrong with events that follow one another, each ``what`` or ``what:answer``."""
    events = []
    for number, word in enumerate(words):
        what, _, answer = word.partition(":")
        events.append(Event(what, float(number), number + 0.5, answer))
    return contradiction(events, promises)


RUN = ("submit", "run:a", "return:a")

CAN_HAVE_BEEN = {
    "a job that is run": (*RUN, "status:succeeded", "result:succeeded a", "result:succeeded a"),
    "one that waits": ("status:absent", "submit", "status:queued", "status:queued", "result:waits"),
    "a key that is used again": ("submit", "submit", "run:a", "submit", "status:running"),
    "one that raises": ("submit", "run:a", "raise:a", "status:failed", "result:failed"),
    "a worker that is killed": ("submit", "run:a", "strike", "status:failed"),
    "a server that is killed": ("submit", "run:a", "end", "status:lost", "result:lost"),
    "a server that is killed before": ("submit", "end", "status:queued", *RUN[1:]),
    "one that its server had not begun": ("submit", "status:running", "end", "status:lost"),
    "a run that outlives its server": ("submit", "run:a", "end", "status:lost", "return:a"),
    "cancelled before it began": ("submit", "ask", "status:cancelled", "result:cancelled"),
    "cancelled while it ran": ("submit", "run:a", "ask", "status:running", "status:cancelled"),
    "asked to end too late": (*RUN, "status:succeeded", "ask", "result:succeeded a"),
    "run again": ("submit", "run:a", "end", "status:lost", "retry:done", "run:b", "return:b",
                  "result:succeeded b"),
    "not run again": (*RUN, "status:succeeded", "retry:refused", "result:succeeded a"),
    "forgotten": (*RUN, "result:succeeded a", "forget:done", "status:absent", "submit"),
    "not forgotten": ("submit", "forget:refused", "status:queued"),
}  # fmt: skip

CANNOT_HAVE_BEEN = {
    "lost": ("submit", "status:absent"),
    "lost with its server": ("submit", "end", "status:absent"),
    "known before it was submitted": ("status:queued", "submit"),
    "back from a final state": (*RUN, "status:succeeded", "status:running"),
    "another final state": (*RUN, "status:succeeded", "status:cancelled"),
    "another result": (*RUN, "result:succeeded a", "result:succeeded b"),
    "the result of no run": ("submit", "result:succeeded a"),
    "a result before it has returned": ("submit", "run:a", "status:succeeded", "return:a"),
    "run twice": ("submit", "run:a", "run:b"),
    "run when it has ended": (*RUN, "status:succeeded", "run:b"),
    "run after its server was killed": ("submit", "run:a", "end", "run:b"),
    "run though it was cancelled": ("submit", "ask", "status:cancelled", "run:a"),
    "succeeded though it was asked to end": ("submit", "run:a", "ask", "return:a", "status:running",
                                             "status:succeeded"),
    "lost with its server there": ("submit", "run:a", "status:lost"),
    "failed and has not raised": (*RUN, "status:failed"),
    "failed and was not killed": ("submit", "run:a", "status:failed"),
    "cancelled by nobody": ("submit", "status:cancelled"),
    "retried and is what it was": ("submit", "run:a", "end", "status:lost", "retry:done",
                                   "status:lost"),
    "retried with its old result": ("submit", "run:a", "raise:a", "status:failed", "retry:done",
                                    "run:b", "return:b", "result:succeeded a"),
    "a retry refused that was not to be": ("submit", "run:a", "end", "status:lost",
                                           "retry:refused"),
    "forgotten while it runs": ("submit", "run:a", "forget:done"),
    "forgotten and there": (*RUN, "status:succeeded", "forget:done", "status:succeeded"),
    "not forgotten though it has ended": (*RUN, "status:succeeded", "forget:refused"),
}  # fmt: skip


@pytest.mark.parametrize("words", CAN_HAVE_BEEN.values(), ids=CAN_HAVE_BEEN)
def test_the_model_explains_what_is_promised(words: tuple[str, ...]) -> None:
    assert not told(*words)


@pytest.mark.parametrize("words", CANNOT_HAVE_BEEN.values(), ids=CANNOT_HAVE_BEEN)
def test_the_model_explains_nothing_else(words: tuple[str, ...]) -> None:
    assert "no order explains" in told(*words)


def test_only_a_repeatable_job_runs_again_when_its_server_has_ended() -> None:
    words = ("submit", "run:a", "end", "run:b", "return:b", "result:succeeded b")
    assert told(*words)
    assert not told(*words, promises=REPEATABLE)
    assert told("submit", "run:a", "run:b", promises=REPEATABLE)


def test_only_a_job_with_retries_runs_again_when_it_has_raised() -> None:
    words = ("submit", "run:a", "raise:a", "run:b", "return:b", "result:succeeded b")
    assert told(*words)
    assert not told(*words, promises=RETRIED)
    assert told("submit", "run:a", "return:a", "run:b", promises=RETRIED)


def test_what_happens_at_one_time_may_be_in_either_order() -> None:
    submit = Event("submit", 0, 10)
    assert not contradiction([submit, Event("status", 1, 2, "absent")], ONCE)
    assert not contradiction([submit, Event("status", 1, 2, "queued")], ONCE)
    queued, absent = Event("status", 1, 2, "queued"), Event("status", 3, 4, "absent")
    assert contradiction([submit, queued, absent], ONCE)


def test_what_was_not_answered_may_have_been_at_any_later_time_or_never() -> None:
    submit = Event("submit", 0, math.inf)
    absent = Event("status", 1, 2, "absent")
    queued, running = Event("status", 3, 4, "queued"), Event("status", 5, 6, "running")
    assert not contradiction([submit, absent], ONCE)
    assert not contradiction([submit, absent, queued, running], ONCE)
    assert contradiction([submit, queued, Event("status", 5, 6, "absent")], ONCE)
    ask = Event("ask", 7, math.inf)
    assert not contradiction([submit, queued, ask, Event("status", 8, 9, "cancelled")], ONCE)
    assert contradiction([submit, queued, Event("status", 5, 6, "cancelled"), ask], ONCE)


async def test_a_history_with_kills_can_have_been(tmp_path: Path) -> None:
    figures = await play(tmp_path, seconds=1, seed=1)
    assert figures["jobs"] >= 5


def test_a_store_that_runs_lost_jobs_again_is_found() -> None:
    found = broken_by("lost-jobs-do-not-run-again", "--seconds", "0")
    assert "no order explains" in found
