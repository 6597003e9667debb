"""A text screen: what a computer without graphics shows."""

import asyncio
import contextlib
from collections.abc import Iterator

COLUMNS, ROWS = 80, 25
_CLEAR = "\x1b[H\x1b[2J"


class Screen:
    """Lines of characters, a cursor, and a pointer that turns the character below it around.

    `versions` has a number for each row that grows whenever the row looks different.
    """

    def __init__(self) -> None:
        self.lines = [" " * COLUMNS] * ROWS
        self.versions = [1] * ROWS
        self.cursor = (0, 0)
        """(row, column)"""
        self.pointer: tuple[int, int] | None = None
        self._watchers: set[asyncio.Event] = set()

    @contextlib.contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever something changes; who waits for it clears it."""
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            yield event
        finally:
            self._watchers.discard(event)

    def write(self, text: str) -> None:
        """Show text with CR, LF, BS and the sequence that clears the screen; other controls show nothing."""
        self._touch(self.cursor[0])
        for number, part in enumerate(text.split(_CLEAR)):
            if number:
                self.lines, self.cursor = [" " * COLUMNS] * ROWS, (0, 0)
                self._touch(*range(ROWS))
            for char in part:
                self._put(char)
        self._touch(self.cursor[0])
        self._tell()

    def point(self, row: int, column: int) -> None:
        """The pointer is at this character now, or off the screen."""
        before = self.pointer
        self.pointer = (row, column) if 0 <= row < ROWS and 0 <= column < COLUMNS else None
        if self.pointer != before:
            self._touch(*(place[0] for place in (before, self.pointer) if place))
            self._tell()

    def turned(self, row: int) -> set[int]:
        """The columns of a row whose characters are shown in dark on light."""
        return {place[1] for place in (self.cursor, self.pointer) if place and place[0] == row}

    def _put(self, char: str) -> None:
        row, column = self.cursor
        if char == "\r":
            self.cursor = (row, 0)
        elif char == "\n":
            self._feed_line()
        elif char == "\b":
            self.cursor = (row, max(column - 1, 0))
        elif char.isprintable():
            if column == COLUMNS:
                self._feed_line()
                row, column = self.cursor[0], 0
            line = self.lines[row]
            self.lines[row] = line[:column] + char + line[column + 1 :]
            self.cursor = (row, column + 1)
            self._touch(row)

    def _feed_line(self) -> None:
        row, column = self.cursor
        self._touch(row)
        if row + 1 < ROWS:
            self.cursor = (row + 1, column)
            return
        self.lines = [*self.lines[1:], " " * COLUMNS]
        self._touch(*range(ROWS))

    def _touch(self, *rows: int) -> None:
        for row in rows:
            self.versions[row] += 1

    def _tell(self) -> None:
        for event in self._watchers:
            event.set()
