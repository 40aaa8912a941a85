"""The pictures of a folder: which files they are, what is passed over, and the class of each."""

from __future__ import annotations

import collections
from pathlib import Path

from .surroundings import warn_caller

__all__ = ["class_of", "picture_files"]


ENDINGS = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")

OF_SYSTEMS = ("thumbs.db", "desktop.ini", "__macosx")
"""What Windows and macOS put beside pictures, besides hidden files such as ``._x.png`` and ``.DS_Store``."""


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, in the order of their names.

    Hidden files and those that systems make are passed over; other files that are no pictures too, with a warning.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no pictures in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. One picture is a list of one: [{str(folder)!r}].")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    pictures = [path for path in files if path.suffix.lower() in ENDINGS]
    others = [path for path in files if path.suffix.lower() not in ENDINGS]
    kinds = collections.Counter(path.suffix.lower() or "without an ending" for path in others)
    said = ", ".join(f"{count} {ending}" for ending, count in kinds.most_common(6)) + (
        ", ..." if len(kinds) > 6 else ""
    )
    said += f" ({', '.join(path.name for path in others[:4])}{', ...' if len(others) > 4 else ''})"
    if not pictures:
        raise ValueError(
            f"{folder} holds no pictures ({', '.join(ENDINGS)})." + (f" It holds {said}." if others else "")
        )
    if others:
        warn_caller(f"Passed over in {folder}: {said}. Pictures are {', '.join(ENDINGS)}; convert others.")
    return pictures


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.lower() in OF_SYSTEMS for part in path.parts)


def class_of(path: Path, folder: Path | None) -> str:
    """The class of a picture: the subfolder of ``folder`` that it lies in, or, of a list of files, its folder.

    Raises:
        ValueError: it lies in the folder itself.
    """
    if folder is None:
        return path.absolute().parent.name
    inside = path.relative_to(folder)
    if len(inside.parts) < 2:
        raise ValueError(
            f"labels='folder' takes the subfolder of a picture as its class; {inside} lies in {folder} itself."
        )
    return inside.parts[0]
