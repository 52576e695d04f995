# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The oldest releases that ``pyproject.toml`` allows, as requirements for pip.

``python -m tests.oldest_releases FILE`` writes them; ``tox run -e oldest`` installs them and runs
the tests of what depends on them most. What only tests and documentation need is not among them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

EXTRAS = ("demo", "uvloop", "otel", "prometheus", "nats", "completion")
"""The extras whose oldest releases are installed together. kajenn is a host of its own, and Ray
takes half a gigabyte."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<oldest>[\d.]+)(,<[\d.]+)?(;.*)?")


def oldest_releases() -> list[str]:
    """Each dependency with exactly its lower bound.

    Raises:
        ValueError: a dependency has none.
    """
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    found = []
    for line in [*project["dependencies"], *(one for name in EXTRAS for one in extras[name])]:
        parts = _REQUIREMENT.fullmatch(line.replace(" ", ""))
        if parts is None:
            raise ValueError(f"{line!r} in pyproject.toml has no lower bound")
        found.append(f"{parts['name']}=={parts['oldest']}")
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(oldest_releases()) + "\n")
