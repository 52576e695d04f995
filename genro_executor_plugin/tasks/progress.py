# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the code of a long job calls, wherever it runs: how far it is, and whether to end.

Both find the running call by themselves. Outside of one they do nothing, so that code which
uses them also runs in a test or in a script.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

from ..worker import running

__all__ = ["CANCEL", "PROGRESS", "cancelled", "progress"]

PROGRESS = "progress"
"""The channel on which a call says how far it is."""

CANCEL = "cancel"
"""The channel on which a call is asked to end."""


def progress(fraction: float | None = None, message: str = "", **data: Any) -> None:
    """Say how far the running job is.

    Args:
        fraction: from 0 to 1, ``None`` if that cannot be told. A little more or less, as sums of
            floats come out, is taken for the end or the beginning.
        message: what is being done.
        data: anything else to show, as JSON can have it; other values become their text.
    """
    call = running.current()
    if call is not None:
        if fraction is not None:
            # Nothing here may be the reason that hours of work fail.
            fraction = None if math.isnan(fraction) else min(max(float(fraction), 0.0), 1.0)
        shown = json.dumps(data, default=str) if data else ""
        call.send(PROGRESS, (fraction, str(message), shown, time.time()))


def cancelled() -> bool:
    """Whether the running job was asked to end. It should then clean up and return soon."""
    call = running.current()
    return call is not None and call.was_told(CANCEL)
