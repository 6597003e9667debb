"""Which texts can name a user or a tenant: what two people would read as one name is not two names."""

from __future__ import annotations

import unicodedata
import uuid

from confusable_homoglyphs import categories, confusables

from app.domain.errors import Invalid
from app.domain.tenants import canonical_name

LONGEST = 64
_MARKS = frozenset(" ._-@")
_WRITTEN_TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
)
"""Scripts that one text may mix: "highly restrictive" of Unicode's technical standard 39."""
_NO_SCRIPT = {"COMMON", "INHERITED", "UNKNOWN"}
_INVISIBLE = frozenset(
    map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10),
              0xFFA0, *range(0xE0100, 0xE01F0)))
)  # fmt: skip
"""Marks and letters that show nothing: Default_Ignorable_Code_Point but for category Cf, and Braille's blank."""


def username(typed: str) -> str:
    """The name as it is shown: compatibility forms and superfluous spaces folded, case kept.

    Letters and digits of one script, `.` `_` `-` `@` and spaces; 1 to 64 characters, one of them a letter or digit.
    An id is no name: references take either. Raises Invalid.
    """
    shown = _shown(typed, "username")
    if not all(map(_of_a_username, shown)) or not any(map(str.isalnum, shown)):
        raise Invalid({"username": ["may have letters, digits, spaces and . _ - @"]})
    return shown


def tenant_name(typed: str) -> str:
    """The name as it is shown, as of users, with any signs but a slash: it also stands in URLs. Raises Invalid."""
    shown = _shown(typed, "name")
    if "/" in shown or shown in (".", ".."):
        raise Invalid({"name": ["must not have a slash or be . or .."]})
    return shown


def _shown(typed: str, field: str) -> str:
    shown = " ".join(unicodedata.normalize("NFKC", typed).split())
    if not 1 <= len(shown) <= LONGEST or len(canonical_name(shown)) > LONGEST:
        raise Invalid({field: [f"must have 1 to {LONGEST} characters"]})
    if any(char in _INVISIBLE or unicodedata.category(char)[0] == "C" for char in shown):
        raise Invalid({field: ["must not have invisible characters"]})
    if _is_id(shown):
        raise Invalid({field: ["must not look like an id"]})
    if _mixes_scripts(shown) or _passes_for_ascii(canonical_name(shown)):
        raise Invalid({field: ["must not mix scripts or use letters that pass for others"]})
    return shown


def _of_a_username(char: str) -> bool:
    """A letter, with the accents and vowel signs that scripts write as marks of their own, or a decimal digit."""
    return char in _MARKS or unicodedata.category(char)[0] in "LM" or char.isdecimal()


def _mixes_scripts(text: str) -> bool:
    scripts = categories.unique_aliases(text) - _NO_SCRIPT
    return len(scripts) > 1 and not any(scripts <= group for group in _WRITTEN_TOGETHER)


def _passes_for_ascii(text: str) -> bool:
    """Each letter is ASCII or looks as one does, and not all are ASCII."""
    letters = [char for char in text if unicodedata.category(char)[0] in "LM"]
    foreign = [char for char in letters if not char.isascii()]
    return bool(foreign) and all(map(_looks_ascii, foreign))


def _looks_ascii(char: str) -> bool:
    found = confusables.is_confusable(char, greedy=True)
    return bool(found) and any(
        len(other["c"]) == 1 and other["c"].isascii() and other["c"].isalpha() for other in found[0]["homoglyphs"]
    )


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
