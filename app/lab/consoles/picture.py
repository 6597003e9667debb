"""Characters as pixels, in whatever format a viewer wants them."""

import importlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

CELL_WIDTH, CELL_HEIGHT = 6, 11
"""Pixels of a character of Pillow's bitmap font."""
COLOURS = ((0, 0, 0), (170, 170, 170))
"""Behind the characters, and they themselves: red, green, blue of 255 each."""


class BadFormat(ValueError):
    """Not a pixel format of RFC 6143, section 7.4."""


@dataclass(frozen=True)
class PixelFormat:
    """RFC 6143's pixel format. Without true colour a pixel is a number into `COLOURS`."""

    bits: int = 32
    depth: int = 24
    big_endian: int = 0
    true_colour: int = 1
    most: tuple[int, int, int] = (255, 255, 255)
    shifts: tuple[int, int, int] = (16, 8, 0)

    @classmethod
    def parse(cls, data: bytes) -> "PixelFormat":
        """From its sixteen bytes. Raises BadFormat."""
        bits, depth, big, true, *numbers = struct.unpack(">BBBB3H3B3x", data)
        most, shifts = (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])
        wide = any(maximum << shift >> bits for maximum, shift in zip(most, shifts, strict=True))
        if bits not in (8, 16, 32) or (true and (wide or not all(most))) or (not true and bits != 8):
            raise BadFormat(data.hex())
        return cls(bits, depth, big, true, most, shifts)

    def packed(self) -> bytes:
        """Its sixteen bytes."""
        return struct.pack(
            ">BBBB3H3B3x", self.bits, self.depth, self.big_endian, self.true_colour, *self.most, *self.shifts
        )

    def pixels(self) -> tuple[bytes, bytes]:
        """One pixel of each of `COLOURS`."""
        return self._pixel(0), self._pixel(1)

    def _pixel(self, number: int) -> bytes:
        value = number
        if self.true_colour:
            parts = zip(COLOURS[number], self.most, self.shifts, strict=True)
            value = sum(round(part * most / 255) << shift for part, most, shift in parts)
        return value.to_bytes(self.bits // 8, "big" if self.big_endian else "little")


@cache
def _bitmap(char: str) -> tuple[tuple[int, ...], ...]:
    """The rows of a character, 1 where it is. A character that the font lacks is a question mark."""
    mask = _font().getmask(char, "1")
    if mask.size[0] != CELL_WIDTH:
        return _bitmap("?")
    return tuple(tuple(int(mask.getpixel((x, y)) > 0) for x in range(CELL_WIDTH)) for y in range(CELL_HEIGHT))


@cache
def _font():  # type: ignore[no-untyped-def]
    # Loaded by the first who looks: Pillow takes longer to load than the lab may take to start.
    return importlib.import_module("PIL.ImageFont").load_default_imagefont()


class Painter:
    """Rows of text as rectangles of pixels in one format."""

    def __init__(self, form: PixelFormat) -> None:
        self._pixels = form.pixels()
        self._cells: dict[tuple[str, bool], tuple[bytes, ...]] = {}

    def row(self, line: str, turned: Iterable[int]) -> bytes:
        """One row of characters, from its upper left to its lower right pixel; some are shown dark on light."""
        dark = set(turned)
        cells = [self._cell(char, column in dark) for column, char in enumerate(line)]
        return b"".join(b"".join(strips) for strips in zip(*cells, strict=True))

    def _cell(self, char: str, turned: bool) -> tuple[bytes, ...]:
        key = (char, turned)
        if key not in self._cells:
            strips = _bitmap(char if char.isascii() or char <= "\xff" else "?")
            self._cells[key] = tuple(b"".join(self._pixels[bit ^ turned] for bit in strip) for strip in strips)
        return self._cells[key]
