"""Settings: read once, checked whole, refused by name."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app import config
from app.config import Settings, SettingsError

CHECKOUT = Path(__file__).parents[2]
KEYS = {
    "POOLHOUSE_SECRET_KEY": "5b1de0f7c2a94836e1707a8c4d3f2b96a0e8",
    "POOLHOUSE_ENCRYPTION_KEY": "0f9a3c7e5d1b86420fae97c3b5d8e1f2a4c6",
}


def production(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"POOLHOUSE_MODE": "production", "POOLHOUSE_STATE_DIR": str(tmp_path), **KEYS, **more}


def development(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"POOLHOUSE_MODE": "development", "POOLHOUSE_STATE_DIR": str(tmp_path), **more}


def test_the_example_has_a_line_for_every_setting_and_no_other() -> None:
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    named = re.findall(r"^(?:# )?(POOLHOUSE_[A-Z_]+)=\S", "\n".join(lines), re.MULTILINE)
    assert sorted(named) == sorted(config.variables())


def test_the_example_has_values_that_are_taken(tmp_path: Path) -> None:
    """But for secrets and files, which it cannot know."""
    text = (CHECKOUT / ".env.example").read_text()
    given = dict(re.findall(r"^(?:# )?(POOLHOUSE_[A-Z_]+)=(\S+)", text, re.MULTILINE))
    for name in ("POOLHOUSE_PVE_CA_FILE", "POOLHOUSE_PVE_FINGERPRINT"):
        del given[name]
    assert Settings.from_env(given | development(tmp_path)).pve_url == "https://pve.example.org:8006"


def test_the_example_has_the_defaults() -> None:
    """Of every setting that has one of its own."""
    given = dict(re.findall(r"^# (POOLHOUSE_[A-Z_]+)=(\S+)", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    shown, defaults = {}, {}
    for setting in dataclasses.fields(Settings):
        if "parse" in setting.metadata and setting.default not in (None, ""):
            defaults[setting.name] = setting.default
            shown[setting.name] = setting.metadata["parse"](given[f"POOLHOUSE_{setting.name.upper()}"])
    assert len(defaults) > 20
    assert shown == defaults


def test_l66_defaults_are_loopback_and_production() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.mode == "production"


def test_l66_no_setting_opens_a_debugger() -> None:
    assert not [name for name in config.variables() if "DEBUG" in name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODE", "staging"), ("PORT", "0"), ("PORT", "70000"), ("PORT", "5000x"), ("WEB_WORKERS", "-1"),
        ("RATELIMIT_ENABLED", "yes"), ("RATELIMIT_LOGIN", "many"), ("DATABASE_URL", "mysql://x/y"),
        ("REDIS_URL", "http://x"), ("ALLOWED_ORIGINS", "*"), ("ALLOWED_ORIGINS", "https://a.example/path"),
        ("PVE_URL", "http://pve:8006"), ("PVE_URL", "https://root:pw@pve:8006"), ("PVE_TOKEN_ID", "root"),
        ("PVE_CA_FILE", "/nowhere/ca.pem"), ("PVE_FINGERPRINT", "ab:cd"), ("VMID_MIN", "7"), ("VMID_MAX", "1e9"),
        ("INVENTORY_INTERVAL", "nan"), ("PREFER_WAIT_MAX", "121"), ("LOG_LEVEL", "loud"),
        ("GUEST_NETWORKS", "10.0.0.1/8"), ("RESTARTS_PER_DAY", "-1"), ("CATALOG_POOL", "a/b"),
    ],
)  # fmt: skip
def test_l68_a_bad_value_stops_the_start_by_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(development(tmp_path) | {f"POOLHOUSE_{name}": value})
    assert f"POOLHOUSE_{name}" in str(caught.value)
    assert value not in str(caught.value).replace(f"POOLHOUSE_{name}", "").split()


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "value", ["", "short", "a" * 64, "change-me-to-32-or-more-random-characters", "Example-4f8a2c1b7d9e6035Example"]
)
def test_l55_outside_development_a_bad_key_stops_the_start_by_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env(production(tmp_path) | {name: value})
    assert list(tmp_path.iterdir()) == [], "nothing is made outside development"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"POOLHOUSE_RATELIMIT_ENABLED": "0"}, "POOLHOUSE_RATELIMIT_ENABLED"),
        ({"POOLHOUSE_WEB_WORKERS": "2"}, "POOLHOUSE_REDIS_URL"),
        ({"POOLHOUSE_ADMIN_PASSWORD": "admin"}, "POOLHOUSE_ADMIN_PASSWORD"),
        ({"POOLHOUSE_ADMIN_PASSWORD": "changeme"}, "POOLHOUSE_ADMIN_PASSWORD"),
        ({"POOLHOUSE_ALLOWED_ORIGINS": "http://app.example.org"}, "POOLHOUSE_ALLOWED_ORIGINS"),
        ({"POOLHOUSE_PVE_URL": "https://pve.example.org:8006"}, "POOLHOUSE_PVE_TOKEN_ID"),
        ({"POOLHOUSE_VMID_MIN": "500", "POOLHOUSE_VMID_MAX": "400"}, "POOLHOUSE_VMID_MIN"),
    ],
)
def test_l55_what_is_unsafe_or_half_is_refused(tmp_path: Path, variables: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.from_env(production(tmp_path, **variables))


def test_good_production_settings_are_taken(tmp_path: Path) -> None:
    settings = Settings.from_env(production(tmp_path, POOLHOUSE_ALLOWED_ORIGINS="https://app.example.org"))
    assert settings.allowed_origins == ("https://app.example.org",)
    assert settings.lab is False
    assert len(settings.secret_key) == len(settings.encryption_key) == 32
    assert settings.secret_key != settings.encryption_key


def test_keys_are_made_once_and_only_readable_by_us(tmp_path: Path) -> None:
    first = Settings.from_env(development(tmp_path))
    again = Settings.from_env(development(tmp_path))
    assert (first.secret_key, first.encryption_key) == (again.secret_key, again.encryption_key)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")] == [0o600, 0o600]


def test_kept_keys_do_in_production(tmp_path: Path) -> None:
    made = Settings.from_env(development(tmp_path))
    settings = Settings.from_env({"POOLHOUSE_STATE_DIR": str(tmp_path)})
    assert settings.secret_key == made.secret_key


def test_no_secret_in_what_settings_look_like(tmp_path: Path) -> None:
    """L64."""
    secret = "Xy-7231-unfindable"
    names = ("ADMIN_PASSWORD", "PVE_TOKEN_SECRET", "LAB_PASSWORD")
    given = {f"POOLHOUSE_{name}": secret for name in names} | {
        "POOLHOUSE_PVE_URL": "https://pve.example.org:8006", "POOLHOUSE_PVE_TOKEN_ID": "root@pam!poolhouse",
        "POOLHOUSE_DATABASE_URL": f"postgresql://poolhouse:{secret}@db/poolhouse",
    }  # fmt: skip
    settings = Settings.from_env(development(tmp_path, **given))
    assert secret not in repr(settings)
    assert repr(settings.secret_key) not in repr(settings)


def test_l68_settings_are_alike_in_every_folder(tmp_path: Path) -> None:
    program = "from app.config import Settings; s = Settings(); print(s.state_dir, s.database_url)"
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env={"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]},
            check=True, capture_output=True, text=True,
        ).stdout
        for folder in (CHECKOUT, tmp_path)
    }  # fmt: skip
    assert len(seen) == 1


def test_guests_have_no_network_but_what_the_operator_names_outside_development(tmp_path: Path) -> None:
    """L21: in development theirs is the loopback network, where the lab's guests have their ports."""
    assert Settings.from_env(development(tmp_path)).guest_networks == ("127.0.0.0/8",)
    assert Settings.from_env(production(tmp_path)).guest_networks == ()
    named = Settings.from_env(production(tmp_path) | {"POOLHOUSE_GUEST_NETWORKS": "10.30.0.0/16"})
    assert named.guest_networks == ("10.30.0.0/16",)
