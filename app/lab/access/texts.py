"""Texts as `user.cfg` keeps them: its lines are split at colons, trimmed, and decoded again."""

import urllib.parse


def kept(text: str) -> str:
    """What one reads of a name or comment that was written: no blanks around it, `%41` an `A`, and nothing for `0`."""
    text = urllib.parse.unquote(text.strip(" "))
    return "" if text == "0" else text
