"""A change of a guest as PVE's options, and whether two values of an option are the same to PVE."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.domain.errors import Invalid
from app.domain.guests import GuestChange, GuestKind
from app.pve.cards import changed_card
from app.pve.guests import GuestConfig

#: Field of the API -> the option that is told as pending for it.
_FIELDS = {"hostname": "name", "net0": "net", "sockets": "cores"}


def options_of(change: GuestChange, kind: GuestKind, config: GuestConfig, mark: str) -> Mapping[str, str | None]:
    """Of the options that the change names those that are not so yet, with their new values; None: the option goes.

    `mark` stays the description's first line, whatever is written below it.
    """
    asked: dict[str, str | None] = {}
    if change.name is not None:
        asked["hostname" if kind == GuestKind.CT else "name"] = change.name
    if change.cores is not None:
        asked["cores"] = str(change.cores)
        if kind == GuestKind.VM:
            asked["sockets"] = "1"
    if change.memory is not None:
        asked["memory"] = str(change.memory)
    if change.swap is not None:
        asked["swap"] = str(change.swap)
    if change.net is not None:
        card = change.net.card or "net0"
        if change.net.card is not None and card not in config.values:
            raise Invalid({"interface": ["is no network card of the guest"]})
        asked[card] = changed_card(config.values.get(card, ""), kind, change.net)
    if change.tags is not None:
        asked["tags"] = ";".join(change.tags) or None
    if change.description is not None:
        asked["description"] = f"{mark}\n{change.description}".strip()
    if change.onboot is not None:
        asked["onboot"] = str(int(change.onboot))
    return differing(asked, config)


def differing(options: Mapping[str, str | None], config: GuestConfig) -> Mapping[str, str | None]:
    """Those of the options that the config does not have so."""
    return {
        option: value
        for option, value in options.items()
        if _canonical(option, value) != _canonical(option, config.values.get(option))
    }


def field_of(option: str) -> str:
    """What the API calls an option of PVE."""
    return _FIELDS.get(option, option)


def _canonical(option: str, value: str | None) -> object:
    """PVE orders a card's properties and joins tags as it likes, and ends a container's description with a newline."""
    text = (value or "").strip()
    if option.startswith("net"):
        return frozenset(text.split(","))
    if option == "tags":
        return frozenset(re.split(r"[,; ]+", text))
    if option == "onboot":
        return text or "0"
    return text.removeprefix("current=")
