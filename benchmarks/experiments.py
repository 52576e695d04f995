# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the engine is measured for: the experiments, who takes part, and the goals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.figures import Metric, Target
from benchmarks.peers import PEERS

__all__ = ["EXPERIMENTS", "Experiment", "Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of a table.

    Attributes:
        title: what a reader calls it.
        pool: a key of ``PEERS``, ``-`` for a yardstick.
        loop: the event loop it runs on.
        measure: the name of its measurement, empty for the experiment's.
    """

    title: str
    pool: str
    loop: str = "asyncio"
    measure: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One table before it was measured.

    Attributes:
        key: its short name.
        title: what is measured.
        about: how.
        measure: the name of the measurement.
        variants: who takes part; the first one is ours.
        metrics: the columns.
        targets: the goals.
        absent: why a peer takes no part, by its key.
        needs: a module without which nothing of it can be measured.
        whole: all of them take part even where others are left out to save time.
        longer: how much longer than others it has to be measured to mean anything.
    """

    key: str
    title: str
    about: str
    measure: str
    variants: tuple[Variant, ...]
    metrics: tuple[Metric, ...]
    targets: tuple[Target, ...]
    absent: dict[str, str] = field(default_factory=dict)
    needs: str = ""
    whole: bool = False
    longer: float = 1.0

    def compared(self) -> set[str]:
        """The titles of the variants that a goal is about."""
        return {
            title
            for target in self.targets
            for title in (target.subject, target.against)
            if title is not None
        }


def _variants(pools: Iterable[str], *more: Variant, uvloop: bool = True) -> tuple[Variant, ...]:
    ours, *others = (Variant(PEERS[pool].title, pool) for pool in ("ours", *pools))
    on_uvloop = [Variant(f"{ours.title} (uvloop)", "ours", "uvloop")] if uvloop else []
    return (ours, *on_uvloop, *others, *more)


_OURS = PEERS["ours"].title
_FORK = PEERS["fork"].title
_FORKSERVER = PEERS["forkserver"].title
_RAW = "raw socketpair, blocking"
_LOOP = "bare event loop and socketpair"
_IDEAL = "two forked loops (the ideal)"
_BARE = "bare forkserver child"

_ALL = tuple(key for key in PEERS if key != "ours")
_DAILY = ("fork", "pebble", "mpire", "anyio")
_NO_PIDS = "does not apply: it does not tell its workers' pids"
_LATENCY = (Metric("p50_us", "p50, us"), Metric("p99_us", "p99, us"))
_RATE = (Metric("per_second", "calls/s"),)
_NEXT = (
    Metric("next_ms", "next good call, ms", 1),
    Metric("failed", "calls that failed before it", 1),
)


def _no_op_targets(how: str) -> tuple[Target, ...]:
    return tuple(
        Target(f"no-op p50, {how}, against {against}", "p50_us", limit, _OURS, against)
        for against, limit in ((_FORK, 0.20), (PEERS["anyio"].title, 0.35), (_RAW, 2.0))
    )


def _killed(key: str, which: str, limit: float) -> Experiment:
    target = Target(f"next good call after a kill of {which}", "next_ms", limit, _OURS, unit="ms")
    return Experiment(
        key,
        f"Time to the next good call after SIGKILL of {which}",
        "Both workers idle; calls are made at once, one after the other, until one succeeds.",
        key.replace("-", "_"),
        _variants(("fork", "loky", "pebble"), uvloop=False),
        _NEXT,
        (target,),
        {"mpire": _NO_PIDS, "aiomultiprocess": _NO_PIDS, "anyio": _NO_PIDS, "dask": _NO_PIDS},
    )


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "no-op-pinned",
        "No-op, one call after the other, everything on one CPU",
        "What is left is work: nothing runs in parallel and nothing waits for another CPU to wake.",
        "pinned",
        _variants(
            ("fork", "anyio"),
            Variant(_LOOP, "-", measure="loop_pinned"),
            Variant(_RAW, "-", measure="raw_pinned"),
        ),
        _LATENCY,
        _no_op_targets("pinned to one CPU"),
    ),
    Experiment(
        "no-op-unpinned",
        "No-op, one call after the other, the system places the processes",
        "The same with every CPU that was granted.",
        "sequential",
        _variants(
            ("fork", "anyio"),
            Variant(_LOOP, "-", measure="loop"),
            Variant(_RAW, "-", measure="raw"),
        ),
        _LATENCY,
        _no_op_targets("unpinned"),
    ),
    Experiment(
        "no-op-throughput",
        "No-op, 64 callers, two workers",
        "Every caller makes its next call when it has the result of its last one.",
        "throughput",
        _variants(_ALL),
        _RATE,
        (
            Target(
                f"no-op throughput, against {_FORK}", "per_second", 8.0, _OURS, _FORK, at_least=True
            ),
            Target(
                "no-op throughput, against pebble",
                "per_second",
                4.0,
                _OURS,
                "pebble",
                at_least=True,
            ),
        ),
        whole=True,
    ),
    Experiment(
        "work",
        "1 ms of work, 64 callers, two workers",
        "A call uses 1 ms of CPU time; the ideal is two forked loops that do the same amount.",
        "work",
        _variants(_DAILY, Variant(_IDEAL, "-", measure="ideal")),
        _RATE,
        (
            Target(
                "1 ms of work, against the ideal", "per_second", 0.85, _OURS, _IDEAL, at_least=True
            ),
        ),
    ),
    Experiment(
        "payload",
        "10 MB in (bytes), 10 MB out (numpy array), one call after the other",
        "The gap is how late a task that wants to wake every millisecond is at worst; the idle one "
        "is that of the same loop without calls, for the same time.",
        "payload",
        _variants(_DAILY),
        (
            Metric("p50_ms", "p50, ms", 1),
            Metric("gap_ms", "worst loop gap, ms", 1),
            Metric("idle_gap_ms", "idle loop, ms", 1),
            Metric("added_gap_ms", "difference, ms", 1),
        ),
        (
            Target(f"10 MB in and out, against {_FORK}", "p50_ms", 0.20, _OURS, _FORK),
            Target(
                "worst loop gap meanwhile, more than idle", "added_gap_ms", 5.0, _OURS, unit="ms"
            ),
        ),
        needs="numpy",
    ),
    Experiment(
        "mixed",
        "Short calls (1 ms) while a long one (500 ms) runs, two workers",
        "Both use a CPU; a short call every few milliseconds, one long call always under way.",
        "mixed",
        _variants(("fork", "pebble", "anyio")),
        (Metric("p99_ms", "short ones' p99, ms", 1), Metric("p50_ms", "p50, ms", 1)),
        (Target("short calls' p99 beside a long one", "p99_ms", 5.0, _OURS, unit="ms"),),
        longer=1.5,
    ),
    Experiment(
        "overdue",
        "A call over its limit of 100 ms, two workers under load",
        "How much later than that its caller has the error; eight callers make calls of 1 ms "
        "meanwhile. The wait for a worker is in it.",
        "overdue",
        _variants(("pebble",)),
        (Metric("worst_ms", "worst, ms", 1), Metric("p50_ms", "p50, ms", 1)),
        (
            Target(
                "a call over its limit is ended, worst lateness", "worst_ms", 50.0, _OURS, unit="ms"
            ),
        ),
        longer=4,
    ),
    Experiment(
        "cold",
        "First result of a cold pool",
        "From making the pool to the first result, in a process that has imported what it needs.",
        "cold",
        _variants(("forkserver", "spawn"), uvloop=False),
        (Metric("first_ms", "first result, ms", 1),),
        (Target(f"first result, against {_FORKSERVER}", "first_ms", 1.2, _OURS, _FORKSERVER),),
    ),
    _killed("killed-one", "one worker", 10.0),
    _killed("killed-both", "both workers", 60.0),
    Experiment(
        "memory",
        "Memory of an idle worker for plain functions",
        "Unique set size after some calls; beside them is what else the pool keeps running.",
        "memory",
        _variants(("forkserver", "loky"), Variant(_BARE, "-", measure="bare_child"), uvloop=False),
        (Metric("worker_mb", "a worker, MB", 1), Metric("beside_mb", "beside them, MB", 1)),
        (
            Target(
                "idle worker's memory, more than a bare forkserver child",
                "worker_mb",
                5.0,
                _OURS,
                _BARE,
                difference=True,
                unit="MB",
            ),
        ),
        dict.fromkeys(("mpire", "aiomultiprocess", "anyio", "dask"), _NO_PIDS),
    ),
    Experiment(
        "state",
        "A no-op handler of an application that holds 1 MB",
        "Against one that holds nothing: in a tuple, in a list that is declared constant, and in a "
        "list that might have changed. The last one is compared with pickling that list once.",
        "state",
        (Variant(_OURS, "ours"),),
        (
            Metric("none_us", "without state, us"),
            Metric("fixed_ratio", "in a tuple, x", 2),
            Metric("constant_ratio", "declared constant, x", 2),
            Metric("pickling_us", "one pickling, us"),
            Metric("picklings", "in a list, picklings more", 2),
        ),
        (
            Target("no-op with 1 MB that cannot change, against none", "fixed_ratio", 1.3, _OURS),
            Target("no-op with 1 MB declared constant, against none", "constant_ratio", 1.3, _OURS),
            Target("no-op with 1 MB in a list, picklings more", "picklings", 1.0, _OURS),
        ),
    ),
)
"""In the order in which they are shown."""
