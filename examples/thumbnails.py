# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Thumbnails of uploaded images, made in worker processes.

Shows an upload that crosses to a worker, and a pool that protects the server: a small
``max_pending`` for images that wait in memory, and a limit of time and memory for each. It needs
Pillow (``pip install "genro-executor-plugin[examples]"``).

Start it with ``python examples/thumbnails.py [port]``, then try::

    curl -F file=@photo.jpg -o small.jpg 'http://127.0.0.1:8000/images/thumbnail?side=200'
"""

import io
import sys
from typing import Any

from genro_asgi import RoutedApplication
from genro_asgi.exceptions import HTTPBadRequest
from genro_routes import route
from PIL import Image, UnidentifiedImageError

from genro_executor_plugin import ExecutorServer


class Images(RoutedApplication):
    mount = "images"

    @route(executor="images", media_type="image/jpeg")
    def thumbnail(self, file: Any = None, side: int = 200) -> bytes:
        """The image as a JPEG that is at most ``side`` pixels wide and high."""
        if file is None or not 1 <= int(side) <= 2_000:
            raise HTTPBadRequest("send an image as the field 'file', and a side of 1 to 2000")
        try:
            with Image.open(io.BytesIO(file.data)) as image:
                image.thumbnail((int(side), int(side)))
                small = io.BytesIO()
                image.convert("RGB").save(small, "JPEG", quality=85)
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise HTTPBadRequest(f"this is no image that can be read: {error}") from error
        return small.getvalue()


if __name__ == "__main__":
    server = ExecutorServer(
        applications=[Images],
        executors={
            "images": {
                "max_workers": 2,
                "max_pending": 8,
                "on_overload": "fail",
                "timeout": 20.0,
                "memory_limit": "1GB",
            }
        },
    )
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
