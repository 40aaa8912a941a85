"""The picture under the pointer, over a WebSocket: a browser's fetch costs it several milliseconds, a message one."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import anyio.to_thread
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from latent_vizae.demos.maps import Maps, encoded_images

__all__ = ["ADDRESS", "live_route"]

ADDRESS = "/latent-map/live"
MOST_VISITORS, MOST_CHARACTERS, SILENCE = 256, 4096, 900
"""Sockets at a time, characters of a question, and seconds without one after which a socket is closed."""


def answer(maps: Maps, question: str) -> bytes:
    """What lies at one point of a map.

    Args:
        maps: of this page.
        question: JSON, ``[map id, point, pin or null]``.

    Returns:
        Length of the header (4 bytes, little endian), the header as JSON (``support, height, width, channels`` and
        ``kind``, "raw" or "jpeg"; or ``error``), the picture.
    """
    picture = b""
    try:
        if len(question) > MOST_CHARACTERS:
            raise ValueError(f"A question has at most {MOST_CHARACTERS} characters.")
        asked = json.loads(question)
        if not isinstance(asked, list) or len(asked) != 3:
            raise ValueError("A question is a map, a point and a pin.")
        _, support, images = maps.images_at(asked[0], [asked[1]], asked[2])
        kind, (picture,) = encoded_images(images)
        shape = dict(zip(("channels", "height", "width"), images.shape[1:], strict=True))
        header: dict[str, Any] = {**shape, "kind": kind, "support": support[0].item()}
    except (ValueError, TypeError, RecursionError) as error:
        header = {"error": str(error)}
    words = json.dumps(header).encode()
    return struct.pack("<I", len(words)) + words + picture


def live_route(maps: Maps) -> WebSocketRoute:
    """The route that answers each visitor one question at a time; without it, the page asks as Gradio does."""
    visitors = 0

    async def live(socket: WebSocket) -> None:
        nonlocal visitors
        if visitors >= MOST_VISITORS:
            return await socket.close(1013, "Too many visitors.")
        visitors += 1
        try:
            await socket.accept()
            while True:
                question = await asyncio.wait_for(socket.receive_text(), SILENCE)
                await socket.send_bytes(await anyio.to_thread.run_sync(answer, maps, question))
        except (WebSocketDisconnect, asyncio.TimeoutError, KeyError, RuntimeError):
            pass  # gone, silent, or no text: the page opens another
        finally:
            visitors -= 1

    return WebSocketRoute(ADDRESS, live)
