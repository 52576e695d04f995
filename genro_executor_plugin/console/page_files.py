# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The files of the console's pages."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["PARTS", "page_file"]

PARTS = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "errors.js": "text/javascript",
    "flame.css": "text/css",
    "flame.html": "text/html",
    "flame.js": "text/javascript",
    "joblist.js": "text/javascript",
    "jobs.js": "text/javascript",
    "model.js": "text/javascript",
    "past.css": "text/css",
    "past.js": "text/javascript",
    "plots.js": "text/javascript",
    "pools.js": "text/javascript",
    "processes.js": "text/javascript",
    "profile.js": "text/javascript",
    "routes.js": "text/javascript",
    "stacks.js": "text/javascript",
    "view.js": "text/javascript",
}
"""What the pages load, and its media types. No other file is ever served."""


def page_file(name: str) -> str:
    """The text of the file ``name`` of the pages."""
    return files(__package__).joinpath("resources", name).read_text(encoding="utf-8")
