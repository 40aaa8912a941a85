"""Which errors a user can mend, and which are bugs."""

from __future__ import annotations

import dis
import errno
import sys
from importlib.metadata import entry_points
from types import TracebackType

from latent_vizae.decoders.load import ENTRY_POINT_GROUP

__all__ = ["UserError", "as_user_error"]


class UserError(Exception):
    """An error that a user can mend: his input, his arguments, his files. One line, exit code 2."""


def as_user_error(error: BaseException) -> UserError | None:
    """A user's error in one line, or None for a bug.

    What this package or an adapter raises by a ``raise`` of its own was written for the user. What Python, torch or
    another library raises within them is a bug, but for files that cannot be read or written.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, _hub_errors()):
        return UserError(f"The Hub cannot be reached; try again later: {_one_line(error)}")
    if isinstance(error, OSError):
        return None if error.errno == errno.EPIPE else UserError(_one_line(error))  # a reader such as `head` has left
    if isinstance(error, ValueError | TypeError | ImportError) and _was_raised_here(error.__traceback__):
        return UserError(_one_line(error))
    return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _was_raised_here(traceback: TracebackType | None) -> bool:
    """Whether the innermost call stands at a ``raise``, in a module of ours or of an adapter."""
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    ours = {entry.value.partition(":")[0].partition(".")[0] for entry in entry_points(group=ENTRY_POINT_GROUP)}
    top = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    return top in {"latent_vizae"} | ours and code.co_code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _hub_errors() -> tuple[type[Exception], ...]:
    """Errors of the Hub's client for a Hub that cannot be reached; none if the client was never imported."""
    from latent_vizae.storage.hub import unreachable

    return unreachable() if "huggingface_hub.utils" in sys.modules else ()
