"""Keys of a viewer as what a terminal sends for them (RFC 6143, section 7.5.4: X11 keysyms)."""

_NAMED = {
    0xFF08: b"\x7f",  # BackSpace
    0xFF09: b"\t",
    0xFF0D: b"\r",  # Return
    0xFF1B: b"\x1b",  # Escape
    0xFF51: b"\x1b[D",  # Left, Up, Right, Down
    0xFF52: b"\x1b[A",
    0xFF53: b"\x1b[C",
    0xFF54: b"\x1b[B",
    0xFF8D: b"\r",  # KP_Enter
    0xFFFF: b"\x1b[3~",  # Delete
}
_CONTROL = {0xFFE3, 0xFFE4}
_KEYPAD = range(0xFFAA, 0xFFBA)
_UNICODE = 0x01000000


class Keyboard:
    """What is held down."""

    def __init__(self) -> None:
        self._held: set[int] = set()

    def press(self, keysym: int, down: bool) -> bytes:
        """A key goes down or up; returns the bytes that it sends, often none."""
        if keysym in _CONTROL:
            (self._held.add if down else self._held.discard)(keysym)
        if not down:
            return b""
        if keysym in _NAMED:
            return _NAMED[keysym]
        char = _character(keysym)
        if self._held and char and "@" <= char.upper() <= "_":
            return bytes([ord(char.upper()) & 0x1F])
        return char.encode()


def _character(keysym: int) -> str:
    if keysym in _KEYPAD:
        keysym -= 0xFF80
    if keysym > _UNICODE:
        keysym -= _UNICODE
    elif not (0x20 <= keysym <= 0x7E or 0xA0 <= keysym <= 0xFF):
        return ""
    char = chr(keysym) if keysym <= 0x10FFFF else ""
    return char if char.isprintable() else ""
