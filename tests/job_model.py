# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A model of one long job, and whether a history of what was told of it can have happened.

A history is a list of ``Event``: what somebody asked or did, when that began and ended, and what
was answered. ``contradiction`` looks for an order of the events in which each takes place at one
moment between its begin and its end, and each answer is what the model would have given
(linearizability). The model has steps that nobody sees, so it is in one of several states.

What is unknown counts for the package: an event without an end may have taken place at any time
after its begin, or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Event", "Promises", "contradiction"]

_SHOWN = 25
"""How many events before and after a contradiction are shown."""

FINAL = ("succeeded", "failed", "cancelled", "lost")

_UNFINISHED = ("claimed", "running", "returned", "raised")
"""What is told as "running": not begun, in its code, and its code is over."""


class Promises(NamedTuple):
    """What is promised of a job when it is submitted.

    Attributes:
        repeatable: whether it may run again when its server has ended.
        retried: whether it may run again when it has raised.
    """

    repeatable: bool = False
    retried: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was asked of a job or happened to it.

    Attributes:
        what: ``submit``, ``status``, ``result``, ``ask`` (to end), ``retry``, ``forget``; ``run``,
            ``return`` and ``raise`` (a run of its code, named by ``answer``); ``strike`` (a worker
            was killed), ``end`` (a server was killed or stopped).
        begin: when it began.
        end: when it was answered, infinite if it never was.
        answer: what was answered, a state first, or ``done`` or ``refused``; the token of a run.
        by: who asked.
    """

    what: str
    begin: float
    end: float = math.inf
    answer: str = ""
    by: str = ""

    def __str__(self) -> str:
        told = f" -> {self.answer}" if self.answer else ""
        return f"{self.begin:9.4f} to {self.end:9.4f}: {self.what}{told} {self.by}".rstrip()


class _Job(NamedTuple):
    """A state of the model.

    Attributes:
        phase: ``absent``, ``queued``, one of ``_UNFINISHED`` or of ``FINAL``.
        token: its latest run.
        asked: whether it was asked to end.
        orphaned: whether the server that has it has ended, and nobody has seen to that.
        struck: whether the worker that has it was killed.
    """

    phase: str = "absent"
    token: str = ""
    asked: bool = False
    orphaned: bool = False
    struck: bool = False

    @property
    def told(self) -> str:
        return "running" if self.phase in _UNFINISHED else self.phase

    def to(self, phase: str) -> _Job:
        return self._replace(phase=phase, orphaned=False, struck=False)


def _unseen(job: _Job, promises: Promises) -> Iterator[_Job]:
    """The states to which ``job`` may come by itself."""
    phase = job.phase
    if phase == "queued":
        yield job._replace(phase="claimed", token="")
    if phase not in _UNFINISHED:
        return
    if job.asked:
        yield job.to("cancelled")
    if job.orphaned:
        if phase == "claimed" or (promises.repeatable and not job.asked):
            yield job.to("queued")
        if not promises.repeatable:
            yield job.to("lost")
    if phase == "claimed":
        yield job.to("queued")  # its pool has refused it
    if phase == "returned" and not job.asked:
        yield job.to("succeeded")
    if phase == "raised" or job.struck:
        yield job.to("failed")
        if promises.retried:
            yield job.to("queued")


def _after(job: _Job, event: Event) -> Iterator[_Job]:
    """The states in which ``job`` may be after ``event``; none if that cannot take place here."""
    phase, answer = job.phase, event.answer
    match event.what:
        case "submit":
            yield _Job("queued") if phase == "absent" else job
        case "status":
            if not answer or job.told == answer.partition(" ")[0]:
                yield job
        case "result":
            state, _, token = answer.partition(" ")
            waits = state == "waits" and phase in ("queued", *_UNFINISHED)
            told = phase == state and (phase != "succeeded" or token == job.token)
            if not answer or waits or told:
                yield job
        case "ask":
            if phase == "queued" and not job.asked:
                yield job.to("cancelled")
            else:
                yield job._replace(asked=True) if phase in ("queued", *_UNFINISHED) else job
        case "retry":
            if phase in FINAL and answer != "refused":
                yield _Job("queued")
            # The call of a job that has succeeded or was cancelled is not kept.
            if answer != "done" and phase not in ("failed", "lost"):
                yield job
        case "forget":
            if phase in FINAL and answer != "refused":
                yield _Job()
            if answer != "done" and phase not in FINAL:
                yield job
        case "run":
            if phase == "claimed":
                yield job._replace(phase="running", token=answer)
        case "return" | "raise":
            if phase == "running" and job.token == answer:
                yield job._replace(phase=f"{event.what}ed" if event.what == "return" else "raised")
            elif job.token != answer or phase in ("queued", "absent", *FINAL):
                yield job  # a run that was given up goes on until its worker ends
        case "strike":
            yield job
            if phase in _UNFINISHED:
                yield job._replace(struck=True)
        case "end":
            yield job
            if phase in _UNFINISHED:
                yield job._replace(orphaned=True)
        case _:
            raise ValueError(f"an event of an unknown kind: {event.what}")


@dataclass(frozen=True, slots=True)
class _Moment:
    """A state of the model, and which of the events that are under way have taken place."""

    job: _Job = field(default_factory=_Job)
    done: frozenset[int] = frozenset()


def _reachable(
    moments: Iterable[_Moment], open_events: dict[int, Event], promises: Promises
) -> set[_Moment]:
    """Everything that may be the case after ``moments`` while ``open_events`` are under way."""
    found = set(moments)
    left = list(found)
    while left:
        moment = left.pop()
        following = {_Moment(job, moment.done) for job in _unseen(moment.job, promises)}
        unanswered: set[str] = set()
        for number, event in open_events.items():
            if number in moment.done or (event.end == math.inf and event.what in unanswered):
                continue
            done = moment.done | {number}
            after = {_Moment(job, done) for job in _after(moment.job, event)}
            if event.end == math.inf:
                # Of several that are alike one has taken place first; and without an effect it
                # might as well not have taken place.
                unanswered.add(event.what)
                after.discard(_Moment(moment.job, done))
            following |= after
        left += following - found
        found |= following
    return found


def contradiction(events: Iterable[Event], promises: Promises) -> str:
    """The first answer that no order of the events explains, with the history; empty for none."""
    unanswered = ("status", "result")
    history = sorted(
        (event for event in events if event.end != math.inf or event.what not in unanswered),
        key=lambda event: event.begin,
    )
    steps = [(event.begin, False, number) for number, event in enumerate(history)]
    # At one time, what begins comes first: events that touch may be in either order.
    steps += [
        (event.end, True, number) for number, event in enumerate(history) if event.end != math.inf
    ]
    moments: set[_Moment] = {_Moment()}
    open_events: dict[int, Event] = {}
    for _, ends, number in sorted(steps):
        if not ends:
            open_events[number] = history[number]
            continue
        reached = _reachable(moments, open_events, promises)
        moments = {
            _Moment(moment.job, moment.done - {number})
            for moment in reached
            if number in moment.done
        }
        if not moments:
            before = sorted({moment.job.phase for moment in reached})
            told = "\n".join(map(str, history[max(0, number - _SHOWN) : number + _SHOWN]))
            return (
                f"no order explains this event:\n{history[number]}\nbefore it, the job "
                f"was {' or '.join(before)}. What was seen of it about then:\n{told}"
            )
        del open_events[number]
    return ""
