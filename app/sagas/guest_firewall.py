"""The firewall in front of a guest, of both kinds: its options, and one rule at a time.

Rules carry no mark and are named by their position, so whole lists are compared. Before a call they are those that the
request was made for; what is neither these nor ours was written by somebody else meanwhile, whose word is the later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.domain.errors import PveChanged, PveRefused
from app.domain.firewall import FirewallOptions, Rule, moved, with_rule
from app.domain.guests import GuestKind
from app.operations import Run, Saga, Step
from app.pve import GuestApi, GuestConfig
from app.pve.cards import guarded_cards
from app.pve.changes import differing, field_of
from app.pve.firewall import RulesApi
from app.sagas import guest
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class OptionParameters(guest.GuestParameters):
    """`options`: None for one that has PVE's default again. `digest` is what the caller wishes to find, if he minds."""

    options: dict[str, bool | str | None]
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class RuleParameters(guest.GuestParameters):
    """`rule` (None: none any more) goes into the place of the one at `at` (None: on top), and then to `to`, if that is
    named. `digest` is that of the rules for which this was asked."""

    digest: str
    rule: dict[str, Any] | None = None
    at: int | None = None
    to: int | None = None


# -- functions


def note_options(run: Run, p: OptionParameters) -> dict[str, Any]:
    """What is to be sent, and what stands there now: stored before anything is sent, so that it can be put back. A
    firewall that is on is on at each network card, too: without the card's own flag PVE filters nothing there."""
    config = guest.own_config(run, p)
    options = guest.as_tenant(run, p).firewall.options()
    if p.digest is not None and options.digest != p.digest:
        raise PveChanged
    cards = guarded_cards(config.values) if p.options.get("enable") else {}
    return {
        "options": {name: getattr(options, name) for name in p.options},
        "cards": {name: {"old": old, "new": new} for name, (old, new) in cards.items()},
    }


def guard_cards(run: Run, p: OptionParameters) -> None:
    _exchange_cards(guest.as_tenant(run, p), run.outputs["noted"]["cards"], "old", "new")


def unguard_cards(run: Run, p: OptionParameters) -> None:
    if guest.look(run, p) is guest.Sight.OURS:
        _exchange_cards(guest.as_tenant(run, p), run.outputs["noted"]["cards"], "new", "old")


def set_options(run: Run, p: OptionParameters) -> None:
    _set_options(guest.as_tenant(run, p), p.options, None if run.again else p.digest)


def put_options_back(run: Run, p: OptionParameters) -> None:
    if guest.look(run, p) is guest.Sight.OURS:
        _set_options(guest.as_tenant(run, p), run.outputs["noted"]["options"], None)


def settle_options(run: Run, p: OptionParameters) -> dict[str, Any]:
    """What PVE has now is what was asked, in the options and at the cards."""
    api = guest.as_tenant(run, p)
    options, cards = api.firewall.options(), run.outputs["noted"]["cards"]
    config = api.config()
    if _other(p.options, options) or not all(_stands(config, name, card["new"]) for name, card in cards.items()):
        raise PveRefused("The guest's firewall is not as it was asked for.", code="guest.differs")
    pending = {field_of(option) for option in api.pending()} if cards else set()
    return {"firewall": asdict(options), "pending": sorted(pending)}


def options_result(run: Run, p: OptionParameters) -> dict[str, Any]:
    """`pending` names the fields that take effect at the next start."""
    return {**guest.result(run, p), **run.outputs["settled"]}


def note_rules(run: Run, p: RuleParameters) -> dict[str, Any]:
    guest.own_config(run, p)
    found = guest.as_tenant(run, p).firewall.rules.list()
    if found.digest != p.digest:
        raise PveChanged
    return {"rules": [asdict(rule) for rule in found.rules]}


def write_rule(run: Run, p: RuleParameters) -> None:
    before, written, _ = _lists(run, p)
    api = guest.as_tenant(run, p).firewall.rules
    found = api.list()
    if found.rules == written:
        return
    if found.rules != before:
        raise PveChanged
    _write(api, p.at, _rule(p), found.digest)


def take_rule_back(run: Run, p: RuleParameters) -> None:
    before, written, _ = _lists(run, p)
    if guest.look(run, p) is not guest.Sight.OURS or written == before:
        return
    api = guest.as_tenant(run, p).firewall.rules
    found = api.list()
    if found.rules == written and p.at is None:
        api.delete(0, found.digest)
    elif found.rules == written and p.rule is not None:
        api.change(p.at or 0, before[p.at or 0], found.digest)
    elif p.rule is None and p.at is not None:
        _bring_back(api, before, p.at)


def move_rule(run: Run, p: RuleParameters) -> None:
    _, written, at_last = _lists(run, p)
    api = guest.as_tenant(run, p).firewall.rules
    found = api.list()
    if found.rules == at_last:
        return
    if found.rules != written:
        raise PveChanged
    api.move(p.at or 0, p.to or 0, found.digest)


def move_rule_back(run: Run, p: RuleParameters) -> None:
    _, written, at_last = _lists(run, p)
    if guest.look(run, p) is not guest.Sight.OURS or written == at_last:
        return
    api = guest.as_tenant(run, p).firewall.rules
    found = api.list()
    if found.rules == at_last:
        api.move(p.to or 0, p.at or 0, found.digest)


def rule_result(run: Run, p: RuleParameters) -> dict[str, Any]:
    """`rule` with its position; None: it is gone."""
    at = p.to if p.to is not None else p.at or 0
    return {**guest.result(run, p), "rule": {"pos": at, **p.rule} if p.rule is not None else None}


def _exchange_cards(api: GuestApi, cards: Mapping[str, Mapping[str, str]], there: str, wanted: str) -> None:
    """But for those that somebody else has changed meanwhile."""
    config = api.config()
    changes = {name: card[wanted] for name, card in cards.items() if _stands(config, name, card[there])}
    if changes:
        api.update(changes, digest=config.digest)


def _stands(config: GuestConfig, name: str, card: str) -> bool:
    return not differing({name: card}, config)


def _set_options(api: GuestApi, wanted: Mapping[str, bool | str | None], digest: str | None) -> None:
    other = _other(wanted, api.firewall.options())
    given = {name: value for name, value in other.items() if value is not None}
    if other:
        api.firewall.set_options(given, delete=other.keys() - given.keys(), digest=digest)


def _other(wanted: Mapping[str, bool | str | None], found: FirewallOptions) -> dict[str, bool | str | None]:
    return {name: value for name, value in wanted.items() if getattr(found, name) != value}


def _rule(p: RuleParameters) -> Rule | None:
    return Rule(**p.rule) if p.rule is not None else None


def _lists(run: Run, p: RuleParameters) -> tuple[list[Rule], list[Rule], list[Rule]]:
    """The rules before, with the rule written, and with it where it belongs."""
    before = [Rule(**stored) for stored in run.outputs["noted"]["rules"]]
    written = with_rule(before, _rule(p), p.at)
    return before, written, moved(written, p.at or 0, p.to) if p.to is not None else written


def _write(api: RulesApi, at: int | None, rule: Rule | None, digest: str) -> None:
    if rule is None:
        api.delete(at or 0, digest)
    elif at is None:
        api.add(rule)
    else:
        api.change(at, rule, digest)


def _bring_back(api: RulesApi, before: Sequence[Rule], at: int) -> None:
    """The rule that was deleted: on top first, where PVE puts it, and from there to its place."""
    rest = with_rule(before, None, at)
    if api.list().rules == rest:
        api.add(before[at])
    found = api.list()
    if at and found.rules == [before[at], *rest]:
        api.move(0, at, found.digest)


# -- definition


def options_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.firewall",
        OptionParameters,
        steps=(
            Step("noted", note_options),
            Step("cards", guard_cards, undo=unguard_cards, calls=(may("PUT {guest}/config"),)),
            Step("options", set_options, undo=put_options_back, calls=(may("PUT {guest}/firewall/options"),)),
            Step("settled", settle_options),
        ),
        result=options_result,
    )


def rule_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.firewall_rule",
        RuleParameters,
        steps=(
            Step("noted", note_rules),
            Step(
                "written",
                write_rule,
                undo=take_rule_back,
                calls=(
                    will("POST {guest}/firewall/rules", lambda p: p.at is None),
                    may("PUT {guest}/firewall/rules/{p.at}", lambda p: p.at is not None and p.rule),
                    will("DELETE {guest}/firewall/rules/{p.at}", lambda p: p.at is not None and not p.rule),
                ),
            ),
            Step(
                "moved",
                move_rule,
                undo=move_rule_back,
                calls=(
                    may("PUT {guest}/firewall/rules/{p.at}", lambda p: p.to is not None and p.at is not None),
                    may("PUT {guest}/firewall/rules/0", lambda p: p.to and p.at is None),
                ),
            ),
        ),
        result=rule_result,
    )


OPTIONS = {kind: options_of(kind) for kind in GuestKind}
RULES = {kind: rule_of(kind) for kind in GuestKind}
