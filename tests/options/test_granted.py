# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How many CPUs and how much memory are granted: affinity, control groups, Python's own word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from genro_executor_plugin.options.checks import check_option
from genro_executor_plugin.options.granted import (
    cpu_quota,
    granted_cpus,
    granted_memory,
    limit_groups,
)

GB = 2**30


def machine(
    root: Path, group: str, mounts: list[str], files: dict[str, str], memory: int = 64 * GB
) -> Path:
    """A machine's files below ``root``: a process in ``group``, with what is mounted where."""
    process = root / "proc" / "self"
    process.mkdir(parents=True)
    (process / "cgroup").write_text(group)
    numbered = enumerate(mounts, 30)
    (process / "mountinfo").write_text("".join(f"{n} 25 0:26 {line}\n" for n, line in numbered))
    (root / "proc" / "meminfo").write_text(
        f"MemTotal:       {memory // 1024} kB\nMemFree:         1 kB\n"
    )
    for name, content in files.items():
        path = root / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


V2 = ["/ /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"]
V1 = [
    "/ /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755",
    "/ /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
    "/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
]
V1_IN_A_CONTAINER = [
    "/docker/4f2a /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct",
    "/docker/4f2a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
]
OF_V1 = "7:cpu,cpuacct:/docker/4f2a\n5:memory:/docker/4f2a\n1:name=systemd:/docker/4f2a\n"
UNLIMITED_V1 = f"{2**63 - 4096}\n"

QUOTAS = [
    ("0::/\n", V2, {"cpu.max": "200000 100000\n"}, 2.0),
    ("0::/\n", V2, {"cpu.max": "150000 100000\n"}, 1.5),
    ("0::/\n", V2, {"cpu.max": "max 100000\n"}, None),
    ("0::/\n", V2, {}, None),
    ("0::/\n", V2, {"cpu.max": "nonsense\n"}, None),
    (
        "0::/kube/pod/app\n",
        V2,
        {"kube/cpu.max": "800000 100000", "kube/pod/app/cpu.max": "400000 100000"},
        4.0,
    ),
    (
        "0::/kube/pod/app\n",
        V2,
        {"kube/cpu.max": "50000 100000", "kube/pod/app/cpu.max": "max 100000"},
        0.5,
    ),
    (
        OF_V1,
        V1,
        {
            "cpu,cpuacct/docker/4f2a/cpu.cfs_quota_us": "300000\n",
            "cpu,cpuacct/docker/4f2a/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/docker/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/docker/cpu.cfs_period_us": "100000\n",
        },
        3.0,
    ),
    (
        OF_V1,
        V1_IN_A_CONTAINER,
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "25000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "50000\n",
        },
        0.5,
    ),
    (f"{OF_V1}0::/docker/4f2a\n", [*V1, *V2], {"docker/4f2a/cpu.max": "100000 100000"}, 1.0),
    ("0::/../outside\n", V2, {"cpu.max": "200000 100000\n"}, 2.0),
    ("", [], {}, None),
    ("0::/\n", ["broken", "/ /sys/fs/cgroup rw - cgroup2"], {}, None),
]


@pytest.mark.parametrize(("group", "mounts", "files", "quota"), QUOTAS)
def test_the_quota_is_the_smallest_of_all_groups_around_the_process(
    tmp_path: Path, group: str, mounts: list[str], files: dict[str, str], quota: float | None
) -> None:
    root = machine(tmp_path, group, mounts, files)
    assert cpu_quota(root) == quota
    affinity = len(os.sched_getaffinity(0))
    expected = affinity if quota is None else min(affinity, max(1, -(-quota // 1)))
    assert granted_cpus(root) == expected


def test_where_there_is_no_proc_nothing_is_limited(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert granted_memory(tmp_path) is None
    assert list(limit_groups("cpu", tmp_path)) == []


MEMORY = [
    ("0::/\n", V2, {"memory.max": "max\n"}, 64 * GB),
    ("0::/a/b\n", V2, {"a/memory.max": f"{2 * GB}\n", "a/b/memory.max": f"{3 * GB}\n"}, 2 * GB),
    (OF_V1, V1, {"memory/docker/4f2a/memory.limit_in_bytes": f"{GB}\n"}, GB),
    (OF_V1, V1_IN_A_CONTAINER, {"memory/memory.limit_in_bytes": UNLIMITED_V1}, 64 * GB),
]


@pytest.mark.parametrize(("group", "mounts", "files", "granted"), MEMORY)
def test_granted_memory_is_the_smallest_limit(
    tmp_path: Path, group: str, mounts: list[str], files: dict[str, str], granted: int
) -> None:
    assert granted_memory(machine(tmp_path, group, mounts, files)) == granted


@pytest.mark.parametrize("option", ["memory_limit", "max_memory_per_child"])
def test_a_limit_in_per_cent_is_a_share_of_the_memory_that_is_granted(option: str) -> None:
    granted = granted_memory()
    assert granted is not None
    assert check_option("here", option, "25%") == granted // 4
    assert check_option("here", option, " 0.5 % ") == int(granted * 0.005)


def cpus_told(*flags: str, **environment: str) -> int:
    """What a Python that is started with ``flags`` and ``environment`` is granted."""
    code = "from genro_executor_plugin.options.granted import granted_cpus; print(granted_cpus())"
    inherited = {**os.environ}
    inherited.pop("PYTHON_CPU_COUNT", None)
    done = subprocess.run(
        [sys.executable, *flags, "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_python_can_be_told_how_many_cpus_there_are() -> None:
    affinity = len(os.sched_getaffinity(0))
    assert cpus_told(PYTHON_CPU_COUNT="7") == 7
    assert cpus_told("-X", "cpu_count=5", PYTHON_CPU_COUNT="7") == 5
    assert cpus_told(PYTHON_CPU_COUNT="default") <= affinity
    assert cpus_told("-E", PYTHON_CPU_COUNT="7") <= affinity


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """A real control group that grants half a CPU; for tests that run as root."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a control group")
    groups = list(limit_groups("cpu"))
    for version, folder in groups:
        group = folder / f"genro-executor-test-{os.getpid()}"
        try:
            group.mkdir()
            if version == 2:
                (group / "cpu.max").write_text("50000 100000")
            else:
                (group / "cpu.cfs_period_us").write_text("100000")
                (group / "cpu.cfs_quota_us").write_text("50000")
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no control group with a limit for CPUs can be made here")


def test_a_real_control_group_is_read(limited_group: Path) -> None:
    code = (
        "import os, sys\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "from genro_executor_plugin.options.granted import cpu_quota, granted_cpus\n"
        "print(cpu_quota(), granted_cpus())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(limited_group / "cgroup.procs")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0.5 1\n"
