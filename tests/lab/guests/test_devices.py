"""What a VM may have of its host: root's alone, or whoever may use the mapping."""

import pytest

from tests.lab.guests.api import Api

AT = "/nodes/n1/qemu/100/config"


def no(path: str) -> tuple[int, str]:
    return 403, f"Permission check failed ({path})"


def roots(option: str, what: str = "") -> tuple[int, str]:
    return 500, f"only root can set '{option}' config{what}"


NEITHER = (500, "either 'host' or 'mapping' must be set.")
REFUSED = [
    ("usb0", "mapping=ab", no("/mapping/usb/ab, Mapping.Use")),
    ("usb0", "usb3=1", NEITHER),
    ("usb0", "host=1234:5678", roots("usb0", " for real devices")),
    ("hostpci0", "mapping=ab", no("/mapping/pci/ab, Mapping.Use")),
    ("hostpci0", "01:00.0", roots("hostpci0", " for non-mapped devices")),
    ("virtiofs0", "ab", no("/mapping/dir/ab, Mapping.Use")),
    ("virtiofs0", "dirid=ab,cache=auto", no("/mapping/dir/ab, Mapping.Use")),
    ("rng0", "source=/dev/hwrng", no("/mapping/hwrng, Mapping.Use")),
    ("serial0", "/dev/ttyS0", roots("serial0", " for real devices")),
    ("affinity", "0", roots("affinity")),
    ("amd-sev", "type=std", roots("amd-sev")),
    ("vmgenid", "1", roots("vmgenid")),
    ("spice_enhancements_", "foldersharing=1", roots("spice_enhancements")),
]


@pytest.fixture
def tenant(root: Api) -> Api:
    """With all rights on its VM, and none on what the host has."""
    made = root.tenant("red")
    root.do("PUT", "/access/acl", path="/pool/red", tokens="red@pve!ph", roles="PVEVMAdmin")
    root.do("PUT", "/access/acl", path="/pool/red", users="red@pve", roles="PVEVMAdmin")
    assert root.machine(100, pool="red", ostype="l26") == "OK"
    return made


@pytest.mark.parametrize(("option", "value", "wanted"), REFUSED)
def test_what_a_tenant_may_not_have_of_the_host(
    root: Api, tenant: Api, option: str, value: str, wanted: tuple[int, str]
) -> None:
    made = tenant.ask("POST", "/nodes/n1/qemu", vmid=101, pool="red", **{option: value})
    assert (made.status, made.reason) == wanted
    changed = tenant.ask("PUT", AT, **{option: value})
    expected = (500, wanted[1].replace("can set", "can modify")) if option == "serial0" else wanted
    assert (changed.status, changed.reason) == expected
    assert option not in tenant.get(AT) or option == "vmgenid"
    assert {row["vmid"] for row in root.get("/cluster/resources", type="vm")} == {100}


def test_a_mapped_device_neither_comes_nor_goes_without_its_mapping(root: Api, tenant: Api) -> None:
    for option, value, kind in (
        ("usb0", "mapping=ab", "usb"),
        ("virtiofs0", "ab", "dir"),
        ("hostpci0", "mapping=ab", "pci"),
    ):
        root.do("PUT", AT, **{option: value})
        assert tenant.ask("PUT", AT, delete=option).reason == no(f"/mapping/{kind}/ab, Mapping.Use")[1]
        for who in ({"tokens": "red@pve!ph"}, {"users": "red@pve"}):
            root.do("PUT", "/access/acl", path=f"/mapping/{kind}/ab", roles="PVEMappingUser", **who)
        tenant.do("PUT", AT, delete=option)
        tenant.do("PUT", AT, **{option: value})
        assert tenant.get(AT)[option] == value
    answer = tenant.ask("PUT", AT, hostpci1="mapping=ab,romfile=x.bin")
    assert answer.errors == {"hostpci1": "only root@pam can set 'romfile' option"}
    tenant.do("PUT", AT, rng0="source=/dev/urandom", usb1="spice")


def test_a_cpu_model_of_ones_own_is_known_to_nobody(root: Api) -> None:
    wanted = {"cpu": "invalid format - Custom cputype 'x' not found\n"}
    assert root.ask("POST", "/nodes/n1/qemu", vmid=100, cpu="custom-x").errors == wanted
    root.machine(100)
    assert root.ask("PUT", AT, cpu="custom-x,flags=+aes").errors == wanted


@pytest.mark.parametrize(("value", "fits"), [("0", True), ("0-3,8", True), ("x", False), ("3-1", False), (",1", False)])
def test_a_cpu_set_is_numbers_and_ranges(root: Api, value: str, fits: bool) -> None:
    answer = root.ask("POST", "/nodes/n1/qemu", vmid=100, affinity=value)
    assert answer.errors == (None if fits else {"affinity": "invalid format - unable to parse cpuset option\n"})
