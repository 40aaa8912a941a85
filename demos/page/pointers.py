"""Pictures under pointers: those that wait for the same map are decoded together.

Together, 32 pictures of the first map take a sixth of the time that they take one by one. A slow decoder's are decoded
one by one: together, the first would come as late as the last. The same point is decoded once for all who ask, also
for those who ask later where the decoder is slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from torch import Tensor

from latent_vizae.decoders.contract import is_slow
from latent_vizae.demos.page.checks import checked_points
from latent_vizae.demos.page.fitted import FittedMap, Question
from latent_vizae.demos.page.maps import MOST_POINTS, Maps
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.supports import measure_cycles, support_of

__all__ = ["picture_at"]

SECONDS = 0.05
"""As many pictures are decoded together as this is enough for."""


async def picture_at(maps: Maps, queues: Queues, map_id: Any, point: Any) -> tuple[Tensor, Tensor]:
    """The support (1,) of a point of a map and its image (1, C, H, W).

    Raises:
        ValueError: there is no such map or point, or very many wait for its decoder.
    """
    fitted = maps.get(map_id)
    checked_points([point], fitted.latent_map.v.dim, 1, 1)
    if (known := fitted.pictures.find(str(_key(point)))) is not None:
        return known
    question = Question(point)
    fitted.questions.append(question)
    try:
        while not question.taken:  # by this visitor's turn, or by another one's before
            await queues.run("picture", fitted.latent_map.decoder, _answer, fitted)
    except BaseException:  # refused, or gone
        with contextlib.suppress(ValueError):
            fitted.questions.remove(question)
        raise
    if fitted.cycles_measured is None:
        fitted.cycles_measured = asyncio.ensure_future(
            queues.run("layer", fitted.latent_map.decoder, measure_cycles, fitted)
        )
    return await asyncio.wrap_future(question.answer)


def _answer(fitted: FittedMap) -> None:
    """Answer the questions that have waited longest."""
    most = max(1, min(MOST_POINTS, int(SECONDS / fitted.seconds)))
    questions: list[Question] = []
    while fitted.questions and len(questions) < most:
        try:
            questions.append(fitted.questions.popleft())
        except IndexError:  # another thread was quicker
            break
        questions[-1].answer.set_running_or_notify_cancel()  # from here on no cancellation of a visitor's reaches it
        questions[-1].taken = True
    if not questions:
        return
    asked = {_key(question.point) for question in questions}
    for question in list(fitted.questions):  # equal ones further back are answered along
        if _key(question.point) in asked:
            with contextlib.suppress(ValueError):  # gone, or taken by another thread
                fitted.questions.remove(question)
                question.answer.set_running_or_notify_cancel()
                question.taken = True
                questions.append(question)
    begun = time.perf_counter()
    try:
        places: dict[tuple[float, ...], int] = {}
        rows = [places.setdefault(_key(question.point), len(places)) for question in questions]
        where = checked_points([list(place) for place in places], fitted.latent_map.v.dim, 1, MOST_POINTS)
        images, support = fitted.latent_map.render(where), support_of(fitted, where)
    except Exception as error:
        for question in questions:
            question.answer.set_exception(error)
        return
    fitted.seconds = (time.perf_counter() - begun) / len(places)
    if is_slow(fitted.latent_map.decoder):
        for place, row in places.items():
            fitted.pictures.add(str(place), (support[row : row + 1].clone(), images[row : row + 1].clone()))
    for row, question in zip(rows, questions, strict=True):
        question.answer.set_result((support[row : row + 1], images[row : row + 1]))


def _key(point: list[float] | float) -> tuple[float, ...]:
    return tuple(point) if isinstance(point, list) else (point,)
