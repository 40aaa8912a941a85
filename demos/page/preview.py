"""What a link to the page shows elsewhere (Open Graph): our title and words, and a picture of the first map.

Gradio's page comes with tags of its own, one set before the page's title is known; they are taken out.
"""

from __future__ import annotations

import html
import io
import re
from typing import Any

import numpy as np
import torch
from PIL import Image
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from latent_vizae.decoders.contract import is_slow
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.queues import Queues
from latent_vizae.sharing.tiles import reduced, sheet_of

__all__ = ["ADDRESS", "LinkPreview", "map_picture", "picture_route"]

ADDRESS = "/latent-map/preview.jpg"
WIDTH, HEIGHT = 1200, 600
COLUMNS, SLOW_COLUMNS = 12, 4
"""Images side by side; fewer of a slow decoder."""
FOREIGN = re.compile(rb'\s*<meta\s+(?:property="og:|name="twitter:)[^>]*>')
CHARSET = re.compile(rb'<meta charset="?utf-8"?\s*/?>')


def map_picture(fitted: FittedMap) -> bytes:
    """A map in images, 1200 x 600 pixels, JPEG: its middle, twice as wide as high where it has two dimensions."""
    m, dim = fitted.latent_map, fitted.latent_map.v.dim
    m.render(m.v.points[:1])  # which times it
    columns = SLOW_COLUMNS if is_slow(m.decoder) else COLUMNS
    rows, side = columns // 2, WIDTH // columns
    x = (torch.arange(columns) + 0.5) / columns * 2 - 1
    y = (0.5 - (torch.arange(rows) + 0.5) / rows) if dim > 1 else torch.zeros(rows)
    points = torch.zeros(rows * columns, dim)
    points[:, 0] = x.repeat(rows) if dim > 1 else torch.linspace(-1, 1, rows * columns)
    if dim > 1:
        points[:, 1] = y.repeat_interleave(columns)
    sheet = sheet_of(reduced(m.render(points), side, side), columns)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sheet)).convert("RGB").save(file, "JPEG", quality=85)
    return file.getvalue()


def picture_route(fitted: FittedMap, queues: Queues) -> Route:
    """The route of the picture; it is made when it is first asked for."""
    made: list[bytes] = []

    async def picture(request: Any) -> Response:
        if not made:
            made.append(await queues.run("layer", fitted.latent_map.decoder, map_picture, fitted))
        return Response(made[0], media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    return Route(ADDRESS, picture)


class LinkPreview:
    """Puts our tags into the page's HTML.

    Args:
        app: that serves the page.
        title: of the page.
        text: what it is, in a sentence or two.
    """

    def __init__(self, app: ASGIApp, title: str, text: str) -> None:
        self._app, self._title, self._text = app, title, text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; only an answer of HTML is touched."""
        if (
            scope["type"] != "http"
            or scope["method"] != "GET"
            or scope["path"].rstrip("/") != scope.get("root_path", "")
        ):
            return await self._app(scope, receive, send)
        start: Message = {}
        body = bytearray()

        async def pass_on(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                if not self._is_page(start):
                    await send(start)
            elif not self._is_page(start):
                await send(message)
            else:
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    page = self._marked(bytes(body), scope)
                    kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
                    await send({**start, "headers": [*kept, (b"content-length", str(len(page)).encode())]})
                    await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, pass_on)

    @staticmethod
    def _is_page(start: Message) -> bool:
        headers = dict(start.get("headers", ()))
        return headers.get(b"content-type", b"").startswith(b"text/html") and b"content-encoding" not in headers

    def _marked(self, page: bytes, scope: Scope) -> bytes:
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scheme = given.get("x-forwarded-proto", scope["scheme"]).split(",")[0].strip()
        host = given.get("x-forwarded-host", given.get("host", "")).split(",")[0].strip()
        address = f"{scheme}://{host}{scope.get('root_path', '')}"
        graph = {
            "title": self._title, "description": self._text, "type": "website", "url": address + "/",
            "image": address + ADDRESS, "image:width": str(WIDTH), "image:height": str(HEIGHT),
        }  # fmt: skip
        tags = [f'<meta property="og:{name}" content="{html.escape(value)}">' for name, value in graph.items()]
        tags += [f'<meta name="description" content="{html.escape(self._text)}">']
        tags += ['<meta name="twitter:card" content="summary_large_image">']
        ours = "\n".join(["", *tags]).encode()
        return CHARSET.sub(lambda found: found.group() + ours, FOREIGN.sub(b"", page), count=1)
