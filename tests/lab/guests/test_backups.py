"""Backup calls: which guests they mean, and who is told what."""

from tests.lab.guests.api import Api

AT = "/nodes/n1/vzdump"


def test_guests_of_other_nodes_are_passed_over(root: Api) -> None:
    root.machine(100)
    root.do("POST", "/pools", poolid="p")
    root.ended(root.do("POST", "/nodes/n2/qemu", vmid=101, pool="p"), "n2")
    assert root.do("POST", AT, vmid=101, storage="local") == "OK"
    assert root.do("POST", AT, pool="p", storage="local") == "OK"
    for asked, about in (({"vmid": "100,101"}, "100"), ({"all": 1}, "100"), ({"vmid": "999"}, "999")):
        upid = root.do("POST", AT, storage="local", **asked)
        assert upid.split(":")[6] == about
        assert root.ended(upid) == ("OK" if about == "100" else "job errors")
    assert root.ask("POST", AT, vmid=100, stdout=1).errors == {
        "stdout": "option is only allowed on the command line interface."
    }
    assert root.do("POST", AT, stop=1) == "OK"


def test_defaults_are_for_those_who_see_the_storage(root: Api) -> None:
    tenant = root.tenant("red")
    assert {"dumpdir", "ionice"} <= set(root.get(f"{AT}/defaults"))
    assert not {"dumpdir", "ionice"} & set(tenant.get(f"{AT}/defaults"))
    assert tenant.get(f"{AT}/defaults", storage="local")["storage"] == "local"
    answer = tenant.ask("GET", f"{AT}/defaults", storage="other")
    assert answer.reason == "Permission check failed (/storage/other, Datastore.Audit|Datastore.AllocateSpace)"
    answer = root.ask("GET", f"{AT}/defaults", storage="local-lvm")
    assert answer.reason == "can't use storage 'local-lvm' for backups - wrong content type"
    assert root.ask("GET", f"{AT}/defaults", storage="other").reason == "storage 'other' does not exist"


def test_notes_have_lines_and_backslashes_as_they_are_escaped(root: Api) -> None:
    root.machine(100)
    root.ended(root.do("POST", AT, vmid=100, storage="local", **{"notes-template": r"{{vmid}}\n\\n \x\\"}))
    (row,) = root.get("/nodes/n1/storage/local/content", content="backup")
    assert row["notes"] == "100\n\\n \\x\\"
