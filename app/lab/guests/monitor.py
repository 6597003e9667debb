"""A VM's monitor and its keyboard."""

import re
from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests import figures, lookup
from app.lab.storage.words import words

_KEYS = frozenset(
    words(
        "shift shift_r alt alt_r ctrl ctrl_r menu esc minus equal backspace tab ret spc caps_lock num_lock "
        "scroll_lock bracket_left bracket_right semicolon apostrophe grave_accent backslash comma dot slash "
        "asterisk less kp_divide kp_multiply kp_subtract kp_add kp_enter kp_decimal sysrq print home pgup "
        "pgdn end left up down right insert delete stop again props undo front copy open paste find cut lf "
        "help meta_l meta_r compose pause ro hiragana henkan yen muhenkan katakanahiragana kp_comma kp_equals "
        "power sleep wake audionext audioprev audiostop audioplay audiomute volumeup volumedown mediaselect "
        "mail calculator computer ac_home ac_back ac_forward ac_refresh ac_bookmarks lang1 lang2 a b c d e f "
        "g h i j k l m n o p q r s t u v w x y z"
    )
    + tuple(f"{digit}" for digit in range(10))
    + tuple(f"kp_{digit}" for digit in range(10))
    + tuple(f"f{number}" for number in range(1, 25))
)
"""The keys that QEMU knows by name."""


@handler("POST", "/nodes/{node}/qemu/{vmid}/monitor")
def command(call: Call) -> Any:
    guest = lookup.guest_of(call, "qemu")
    if guest.status != "running":
        return f"ERROR: VM {guest.vmid} not running\n"
    answers = {
        "info status": f"VM status: {'paused' if guest.paused else 'running'}\n",
        "info version": "10.1.2pve-qemu-kvm_10.1.2-1\n",
        "info name": f"{figures.name(guest)}\n",
    }
    asked = call.params["command"].strip()
    return answers.get(asked, f"unknown command: '{asked}'\n")


@handler("PUT", "/nodes/{node}/qemu/{vmid}/sendkey")
def send_key(call: Call) -> Any:
    lookup.require_root_skiplock(call)
    guest = lookup.guest_of(call, "qemu")
    if guest.status != "running":
        raise Refused(500, f"VM {guest.vmid} not running")
    for key in call.params["key"].split("-"):
        if key not in _KEYS and not re.fullmatch(r"0x[0-9a-fA-F]{1,2}", key):
            raise Refused(500, f"invalid parameter: {key}")
