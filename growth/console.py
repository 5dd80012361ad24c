"""The console that commands talk to."""

from __future__ import annotations

from rich.console import Console

__all__ = ["make_console"]

WIDTH = 100
"""Columns when output goes to a file or pipe."""


def make_console() -> Console:
    """Return a console that leaves tables their width when nobody watches the terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
