"""VMs over HTTP: made, changed while they run, copied, turned into templates, backed up and restored."""

import threading

from tests.lab.guests.api import ISO, Api


def test_a_new_machine_gets_what_pve_makes_up(root: Api) -> None:
    end = root.machine(
        100,
        name="web",
        scsi0="local-lvm:4",
        ide2=f"{ISO},media=cdrom",
        ide0="local-lvm:cloudinit",
        net0="virtio,bridge=vmbr0",
    )
    assert end == "OK"
    config = root.get("/nodes/n1/qemu/100/config")
    assert config["scsi0"] == "local-lvm:vm-100-disk-0,size=4G"
    assert config["ide0"] == "local-lvm:vm-100-cloudinit,media=cdrom"
    assert config["boot"] == "order=scsi0;ide0;net0"
    assert config["net0"].startswith("virtio=BC:24:11:")
    assert {"digest", "smbios1", "vmgenid", "meta"} <= set(config)


def test_one_of_many_wins_an_id(root: Api) -> None:
    answers: list[int] = []
    workers = [
        threading.Thread(target=lambda: answers.append(root.ask("POST", "/nodes/n1/qemu", vmid=100).status))
        for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(answers) == [200, 500, 500, 500, 500, 500]


def test_changes_of_a_running_machine_wait(root: Api) -> None:
    root.machine(100, memory=512, scsi0="local-lvm:1")
    root.task("POST", "/nodes/n1/qemu/100/status/start")
    root.do("PUT", "/nodes/n1/qemu/100/config", memory=1024, name="hot")
    assert root.get("/nodes/n1/qemu/100/config")["memory"] == "1024"
    assert root.get("/nodes/n1/qemu/100/config", current=1)["memory"] == "512"
    assert root.get("/nodes/n1/qemu/100/config", current=1)["name"] == "hot"
    root.do("PUT", "/nodes/n1/qemu/100/config", revert="memory")
    assert root.get("/nodes/n1/qemu/100/config")["memory"] == "512"
    root.do("PUT", "/nodes/n1/qemu/100/config", memory=2048)
    root.task("POST", "/nodes/n1/qemu/100/status/stop")
    assert root.get("/nodes/n1/qemu/100/config", current=1)["memory"] == "2048"


def test_a_stale_digest_is_refused(root: Api) -> None:
    root.machine(100)
    digest = root.get("/nodes/n1/qemu/100/config")["digest"]
    root.do("PUT", "/nodes/n1/qemu/100/config", cores=2, digest=digest)
    refused = root.ask("PUT", "/nodes/n1/qemu/100/config", cores=4, digest=digest)
    assert (refused.status, refused.reason) == (500, "checksum mismatch (file change by other user?)")


def test_a_held_configuration_times_out(root: Api) -> None:
    root.machine(100)
    with root.fault(kind="lock", lock="guest:100"):
        refused = root.ask("PUT", "/nodes/n1/qemu/100/config", cores=2)
        end = root.task("POST", "/nodes/n1/qemu/100/status/start")
    text = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    assert (refused.status, refused.reason, end) == (500, text, text)


def test_templates_are_cloned_linked_and_whole(root: Api) -> None:
    root.machine(100, name="tpl", scsi0="local-lvm:1", net0="virtio,bridge=vmbr0", tags="t")
    assert root.task("POST", "/nodes/n1/qemu/100/template") == "OK"
    assert root.task("POST", "/nodes/n1/qemu/100/status/start") == "you can't start a vm if it's a template"
    assert root.task("POST", "/nodes/n1/qemu/100/clone", newid=101) == "OK"
    assert root.task("POST", "/nodes/n1/qemu/100/clone", newid=102, full=1, name="whole", description="d") == "OK"
    linked, whole = (root.get(f"/nodes/n1/qemu/{vmid}/config") for vmid in (101, 102))
    assert (linked["name"], whole["name"], whole["description"]) == ("Copy-of-VM-tpl", "whole", "d")
    assert "template" not in linked
    assert linked["tags"] == "t"
    assert len({linked["net0"], whole["net0"]}) == 2
    assert root.volumes() == {f"local-lvm:{name}" for name in ("base-100-disk-0", "vm-101-disk-0", "vm-102-disk-0")}
    assert root.task("DELETE", "/nodes/n1/qemu/100") == "OK"


def test_a_snapshot_with_memory_runs_again(root: Api) -> None:
    root.machine(100, scsi0="local-lvm:1")
    root.task("POST", "/nodes/n1/qemu/100/status/start")
    assert root.task("POST", "/nodes/n1/qemu/100/snapshot", snapname="live", vmstate=1) == "OK"
    root.task("POST", "/nodes/n1/qemu/100/status/stop")
    assert root.task("POST", "/nodes/n1/qemu/100/snapshot/live/rollback") == "OK"
    assert root.get("/nodes/n1/qemu/100/status/current")["status"] == "running"
    assert "local-lvm:vm-100-state-live" in root.volumes()
    root.task("DELETE", "/nodes/n1/qemu/100/snapshot/live")
    assert root.volumes() == {"local-lvm:vm-100-disk-0"}


def test_a_backup_comes_back_as_another_machine(root: Api) -> None:
    root.machine(100, name="b", memory=300, scsi0="local-lvm:1", net0="virtio=BC:24:11:00:00:01,bridge=vmbr0")
    params = {"vmid": 100, "storage": "local", "compress": "zstd", "notes_template": "of {{guestname}}"}
    assert root.task("POST", "/nodes/n1/vzdump", **params) == "OK"
    (row,) = root.get("/nodes/n1/storage/local/content", content="backup")
    assert (row["vmid"], row["subtype"], row["format"], row["notes"]) == (100, "qemu", "vma.zst", "of b")
    assert root.machine(110, archive=row["volid"], storage="local-lvm", unique=1, name="c") == "OK"
    config = root.get("/nodes/n1/qemu/110/config")
    assert (config["name"], config["memory"], config["scsi0"]) == ("c", "300", "local-lvm:vm-110-disk-0,size=1G")
    assert "BC:24:11:00:00:01" not in config["net0"]
    root.task("POST", "/nodes/n1/qemu/100/status/start")
    assert root.machine(100, archive=row["volid"], force=1) == "unable to restore VM 100 - vm is running"
    assert root.task("DELETE", f"/nodes/n1/storage/local/content/{row['volid']}") == "OK"
    assert root.get("/nodes/n1/storage/local/content", content="backup") == []


def test_retention_removes_the_oldest(root: Api) -> None:
    root.machine(100)
    root.task("POST", "/nodes/n1/vzdump", vmid=100, storage="local", protected=1)
    for _ in range(3):
        root.task("POST", "/nodes/n1/vzdump", vmid=100, storage="local", prune_backups="keep-last=2")
    rows = root.get("/nodes/n1/storage/local/content", content="backup")
    assert len(rows) == 3
    assert sum(row.get("protected", 0) for row in rows) == 1


def test_agents_answer_only_where_there_is_one(root: Api) -> None:
    root.machine(100, agent=1)
    assert root.ask("POST", "/nodes/n1/qemu/100/agent/ping").reason == "VM 100 is not running"
    root.task("POST", "/nodes/n1/qemu/100/status/start")
    assert root.ask("POST", "/nodes/n1/qemu/100/agent/ping").reason == "QEMU guest agent is not running"


def test_console_tickets_are_for_one_guest(root: Api) -> None:
    root.machine(100)
    root.machine(101)
    opened = root.do("POST", "/nodes/n1/qemu/100/vncproxy", websocket=1)
    assert opened["ticket"].startswith("PVEVNC:")
    assert opened["cert"].startswith("-----BEGIN CERTIFICATE-----")
    path = "/nodes/n1/qemu/{}/vncwebsocket"
    assert root.ask("GET", path.format(100), port=opened["port"], vncticket=opened["ticket"]).status == 200
    assert root.ask("GET", path.format(101), port=opened["port"], vncticket=opened["ticket"]).status == 401


def test_disks_are_handed_over_and_moved(root: Api) -> None:
    root.machine(100, scsi0="local-lvm:1")
    root.machine(101)
    params = {"disk": "scsi0", "target_vmid": 101, "target_disk": "scsi3"}
    assert root.task("POST", "/nodes/n1/qemu/100/move_disk", **params) == "OK"
    assert root.get("/nodes/n1/qemu/101/config")["scsi3"] == "local-lvm:vm-101-disk-0,size=1G"
    assert "scsi0" not in root.get("/nodes/n1/qemu/100/config")
    root.do("PUT", "/storage/local", content="iso,vztmpl,backup,images")
    move = {"disk": "scsi3", "storage": "local", "format": "qcow2", "delete": 1}
    assert root.task("POST", "/nodes/n1/qemu/101/move_disk", **move) == "OK"
    assert root.get("/nodes/n1/qemu/101/config")["scsi3"] == "local:101/vm-101-disk-0.qcow2,size=1G"
    assert root.volumes() == set()
