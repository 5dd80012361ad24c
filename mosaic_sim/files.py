"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path | str, content: bytes | str) -> None:
    """Write `content` beside `path` and move it there in one step.

    A reader sees the old file or the new one; a process that is killed leaves the old one.

    Raises
    ------
    OSError
        If the folder does not exist or is not writable.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content.encode() if isinstance(content, str) else content
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
