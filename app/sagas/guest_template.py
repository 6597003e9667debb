"""A guest becomes a template, for both kinds: its disks are base images from then on, and it is never started again."""

from __future__ import annotations

from app.db import guests
from app.domain.errors import PveRefused
from app.domain.guests import GuestKind
from app.domain.identifiers import Upid
from app.operations import Run, Saga, Step
from app.sagas import guest
from app.sagas.calls import will

# -- functions


def convert(run: Run, p: guest.GuestParameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, "vztemplate", "qmtemplate")) is not None:
        return lost
    api = guest.as_tenant(run, p)
    config = api.config()
    if config.template:
        return None
    guest.require_unprivileged(p, config)
    return api.make_template()


def note_as_it_is(run: Run, p: guest.GuestParameters) -> None:
    """The undo of what PVE does not take back: whatever it has become is written down."""
    if guest.look(run, p) is guest.Sight.OURS:
        _note(run, p, guest.as_admin(run, p).config().template)
    guest.settle_back(run, p)


def settle(run: Run, p: guest.GuestParameters) -> None:
    if not guest.as_tenant(run, p).config().template:
        raise PveRefused("The guest did not become a template.", code="guest.differs")
    _note(run, p, True)
    guest.settled_state(run, p)


def _note(run: Run, p: guest.GuestParameters, template: bool) -> None:
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is not None:
            row.template = template
            guest.touch(row)


# -- definition


def template_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.template",
        guest.GuestParameters,
        steps=(
            Step("converted", convert, undo=note_as_it_is, calls=(will("POST {guest}/template"),)),
            Step("settled", settle),
        ),
        result=guest.result,
        point_of_no_return="converted",
    )


TEMPLATES = {kind: template_of(kind) for kind in GuestKind}
