# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the code of a long job calls: to report its progress, and to learn whether to end.

Both functions find the running call by themselves. Outside of a job they do nothing, so that
code which calls them also runs in a test or in a script.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

from ..worker import running
from ..worker.running import PROGRESS
from .texts import MAX_DATA_CHARS, MAX_MESSAGE_CHARS, cut

__all__ = ["CANCEL", "PROGRESS", "cancelled", "progress"]

CANCEL = "cancel"
"""The message channel on which a call is asked to end."""


def progress(fraction: float | None = None, message: str = "", **data: Any) -> None:
    """Report the progress of the running job.

    Args:
        fraction: from 0 to 1, ``None`` if it is unknown. A value outside of this range, as sums
            of floats may come out, counts as 0 or 1.
        message: what is being done, cut at 4,000 characters.
        data: anything else to show, as JSON values; other values are converted to text, among
            them numbers that are not finite (``"NaN"``). What takes more than 16,000 characters
            is replaced by ``{"cut": ...}`` with a part of it.
    """
    call = running.current()
    if call is not None:
        if fraction is not None:
            # A wrong fraction must not fail a job that has run for hours.
            fraction = None if math.isnan(fraction) else min(max(float(fraction), 0.0), 1.0)
        shown = json.dumps(data, default=str) if data else ""
        if "NaN" in shown or "Infinity" in shown:  # which Python reads, and a browser does not
            shown = json.dumps(json.loads(shown, parse_constant=str))
        if len(shown) > MAX_DATA_CHARS:
            shown = json.dumps({"cut": cut(shown, MAX_DATA_CHARS // 2)})
        message = cut(str(message), MAX_MESSAGE_CHARS)
        call.send(PROGRESS, (fraction, message, shown, time.time()))


def cancelled() -> bool:
    """Whether the running job was asked to end. It should then clean up and return soon."""
    call = running.current()
    return call is not None and call.was_told(CANCEL)
