"""The picture under the pointer, over a WebSocket: a browser's fetch costs it several milliseconds, a message one."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import anyio
import anyio.to_thread
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from latent_vizae.demos.page.pictures import encoded_images
from latent_vizae.demos.page.steering import Steering

__all__ = ["ADDRESS", "live_route"]

ADDRESS = "/latent-map/live"
MOST_VISITORS, MOST_CHARACTERS, SILENCE = 256, 4096, 900
"""Sockets at a time, characters of a question, and seconds without one after which a socket is closed."""
MOST_AT_ONCE = 4
"""Pictures decoded at a time, of all visitors: slow decoders leave the page's own threads alone, memory is bounded."""


def answer(steering: Steering, question: str | None) -> bytes:
    """What lies at one point of a map, or what a sample becomes that moves along directions.

    Args:
        steering: of this page.
        question: JSON, ``[map id, point, pin or null]``, or ``[map id, directions id, label or null, start, steps]``
            as `Steering.moved` takes them; None where it was no text.

    Returns:
        Length of the header (4 bytes, little endian), the header as JSON (``support, height, width, channels`` and
        ``kind``, "raw" or "jpeg", of a moved sample also its ``point``; or ``error``), the picture.
    """
    try:
        asked = json.loads(question) if question is not None else None
        if not isinstance(asked, list) or len(asked) not in (3, 5):
            raise ValueError(
                "A question is, as JSON, a map, a point and a pin, or a map, directions, a set, a start and steps."
            )
        moved = {}
        if len(asked) == 3:
            _, support, images = steering.maps.images_at(asked[0], [asked[1]], asked[2])
        else:
            where, support, images = steering.moved_at(*asked)
            moved = {"point": where[0].tolist()}
        kind, (picture,) = encoded_images(images)
        shape = dict(zip(("channels", "height", "width"), images.shape[1:], strict=True))
        return _message({**shape, "kind": kind, "support": support[0].item(), **moved}, picture)
    except (json.JSONDecodeError, RecursionError) as error:
        return _message({"error": f"A question is JSON: {error}."})
    except (ValueError, TypeError) as error:
        return _message({"error": str(error)})


def _message(header: dict[str, Any], picture: bytes = b"") -> bytes:
    words = json.dumps(header).encode()
    return struct.pack("<I", len(words)) + words + picture


async def _refuse(socket: WebSocket, code: int, words: str) -> None:
    await socket.send_bytes(_message({"error": words}))
    await socket.close(code, words)


def live_route(steering: Steering, most: int = MOST_VISITORS) -> WebSocketRoute:
    """The route that answers each visitor one question at a time; without it, the page asks as Gradio does."""
    visitors = 0
    decoding = anyio.CapacityLimiter(MOST_AT_ONCE)

    async def live(socket: WebSocket) -> None:
        nonlocal visitors
        visitors += 1
        try:
            await socket.accept()
            if visitors > most:
                return await _refuse(socket, 1013, "Too many visitors at a time; try again later.")
            while True:
                message = await asyncio.wait_for(socket.receive(), SILENCE)
                if message["type"] == "websocket.disconnect":
                    return
                question = message.get("text")
                if len(question or "") > MOST_CHARACTERS:
                    return await _refuse(socket, 1009, f"A question has at most {MOST_CHARACTERS} characters.")
                await socket.send_bytes(await anyio.to_thread.run_sync(answer, steering, question, limiter=decoding))
        except asyncio.TimeoutError:
            await socket.close(1000, "Silent for long; ask again on a new socket.")
        except (WebSocketDisconnect, RuntimeError):
            pass  # gone, while the answer was on its way
        finally:
            visitors -= 1

    return WebSocketRoute(ADDRESS, live)
