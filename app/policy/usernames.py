"""Which texts can be a user's name."""

from __future__ import annotations

import unicodedata
import uuid

from app.domain.errors import Invalid
from app.domain.tenants import canonical_name

LONGEST = 64
_MARKS = frozenset(" ._-@")


def parse(username: str) -> str:
    """The name as it is shown: compatibility forms and superfluous spaces folded, case kept.

    Letters and digits of any script, `.` `_` `-` `@` and spaces; 1 to 64 characters, one of them a letter or digit.
    An id is no name: references take either. Raises Invalid.
    """
    shown = " ".join(unicodedata.normalize("NFKC", username).split())
    if not 1 <= len(shown) <= LONGEST or len(canonical_name(shown)) > LONGEST:
        raise Invalid({"username": [f"must have 1 to {LONGEST} characters"]})
    if not all(map(_allowed, shown)) or not any(map(str.isalnum, shown)):
        raise Invalid({"username": ["may have letters, digits, spaces and . _ - @"]})
    if _is_id(shown):
        raise Invalid({"username": ["must not look like an id"]})
    return shown


def _allowed(char: str) -> bool:
    """A letter, with the accents and vowel signs that scripts write as marks of their own, or a decimal digit."""
    return char in _MARKS or unicodedata.category(char)[0] in "LM" or char.isdecimal()


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
