"""The picture under the pointer, over a WebSocket: a browser's fetch costs it several milliseconds, a message one."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from functools import partial
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from torch import Tensor

from latent_vizae.demos.page.kept import GoneError
from latent_vizae.demos.page.pictures import encoded_images
from latent_vizae.demos.page.pointers import picture_at
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import Steering

__all__ = ["ADDRESS", "live_route"]

ADDRESS = "/latent-map/live"
MOST_VISITORS, MOST_CHARACTERS, SILENCE = 256, 4096, 900
"""Sockets at a time, characters of a question, and seconds without one after which a socket is closed."""
logger = logging.getLogger(__name__)


async def answer(steering: Steering, queues: Queues, question: str | None) -> bytes:
    """What lies at one point of a map, or what a sample becomes that moves along directions.

    Args:
        steering: of this page.
        queues: of this page.
        question: JSON, ``[map id, point, pin or null]``, perhaps with ``[detail, variant]`` behind, or
            ``[map id, directions id, label or null, start, steps]`` as `Steering.moved` takes them; None where it was
            no text.

    Returns:
        Length of the header (4 bytes, little endian), the header as JSON (``support, height, width, channels`` and
        ``kind``, "raw" or "jpeg", of a moved sample also its ``point``; or ``error``, with ``gone`` where there
        is no such map), the picture. What goes wrong here and not with the question is logged.
    """
    try:
        asked = json.loads(question) if question is not None else None
        if not isinstance(asked, list) or len(asked) not in (3, 4, 5):
            raise ValueError(
                "A question is, as JSON, a map, a point and a pin, or a map, directions, a set, a start and steps."
            )
        try:
            f_d = steering.maps.get(asked[0]).latent_map.decoder
        except GoneError as error:
            return _message({"error": str(error), "gone": True})
        ask = partial(queues.run, "picture")
        if len(asked) == 3 and asked[2] is None:
            support, image = await picture_at(steering.maps, queues, *asked[:2])
            return _told(image, support)
        if len(asked) < 5:
            _, support, image = await ask(f_d, steering.maps.images_at, asked[0], [asked[1]], *asked[2:])
            return _told(image, support)
        where, support, image = await ask(f_d, steering.moved_at, *asked)
        return _told(image, support, where)
    except (json.JSONDecodeError, RecursionError) as error:
        return _message({"error": f"A question is JSON: {error}."})
    except ValueError as error:
        return _message({"error": str(error)})
    except Exception:
        logger.exception("A picture under the pointer could not be made.")
        return _message({"error": "Something went wrong here; it was noted. Other places of the map may work."})


def _told(image: Tensor, support: Tensor, where: Tensor | None = None) -> bytes:
    kind, (picture,) = encoded_images(image)
    shape = dict(zip(("channels", "height", "width"), image.shape[1:], strict=True))
    moved = {} if where is None else {"point": where[0].tolist()}
    return _message({**shape, "kind": kind, "support": support[0].item(), **moved}, picture)


def _message(header: dict[str, Any], picture: bytes = b"") -> bytes:
    words = json.dumps(header).encode()
    return struct.pack("<I", len(words)) + words + picture


async def _send(socket: WebSocket, message: bytes) -> None:
    """Send an answer.

    Raises:
        WebSocketDisconnect: the visitor has left.
    """
    try:
        await socket.send_bytes(message)
    except RuntimeError as error:  # the server's, on a socket that it has closed
        raise WebSocketDisconnect(1006, str(error)) from error


async def _refuse(socket: WebSocket, code: int, words: str) -> None:
    await _send(socket, _message({"error": words}))
    await socket.close(code, words)


def live_route(steering: Steering, queues: Queues, most: int = MOST_VISITORS) -> WebSocketRoute:
    """The route that answers each visitor one question at a time; without it, the page asks as Gradio does."""
    visitors = 0

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
                await _send(socket, await answer(steering, queues, question))
        except asyncio.TimeoutError:
            await socket.close(1000, "Silent for long; ask again on a new socket.")
        except WebSocketDisconnect:
            pass  # gone, while the answer was on its way
        finally:
            visitors -= 1

    return WebSocketRoute(ADDRESS, live)
