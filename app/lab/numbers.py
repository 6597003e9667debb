"""Whole numbers in text, as PVE's patterns know them."""

_LONGEST = 18
"""Digits. PVE counts in 64 bits; Python refuses to read a text of thousands of digits."""


def number_of(text: str) -> int | None:
    """The number that ASCII digits alone write, of 18 digits at the most; None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else None
