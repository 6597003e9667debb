"""`/cluster/options`: who sees what, and what a change does."""

from __future__ import annotations

from tests.lab.process import LabProcess, Session


def test_everybody_sees_the_console_and_the_style_of_tags(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/access/users", userid="alice@pve", password="alicepw12345")
    root.ok("PUT", "/cluster/options", console="html5", tag__style="shape=full", keyboard="de")
    seen = lab.login("alice@pve", "alicepw12345").ok("GET", "/cluster/options")
    assert seen == {"allowed-tags": [], "console": "html5", "tag-style": {"shape": "full"}}


def test_what_is_set_and_deleted_at_once_is_gone(root: Session) -> None:
    root.ok("PUT", "/cluster/options", console="html5", delete="console")
    assert "console" not in root.ok("GET", "/cluster/options")
