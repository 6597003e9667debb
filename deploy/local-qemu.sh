#!/bin/sh
# Brings local QEMU up on Debian, as root; harmless when repeated.
#   local-qemu.sh packages          names the packages that are missing, one a line
#   local-qemu.sh install           installs them
#   local-qemu.sh start STATE_DIR   installs the hook that guards networks and starts libvirt
# Without systemd it starts libvirtd itself: on Unix sockets only, under a reaper (a QEMU that ends would else stay a
# zombie and count as running), with its configuration in STATE_DIR. Machines outlive it: it may be started anew.
set -eu

here=${0%/*}
hook=/etc/libvirt/hooks/network.d/poolhouse
connection=qemu:///system

missing() {
    need() { # command or file, package
        command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || [ -x "/usr/sbin/$1" ] || echo "$2"
    }
    need /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so libvirt-daemon-driver-qemu
    need /usr/share/doc/libvirt-daemon-system libvirt-daemon-system
    need virsh libvirt-clients
    need qemu-system-x86_64 qemu-system-x86
    need qemu-img qemu-utils
    need dnsmasq dnsmasq-base
    need iptables iptables
    need nft nftables
    need /usr/share/OVMF/OVMF_CODE_4M.ms.fd ovmf
    need swtpm swtpm
    need swtpm_setup swtpm-tools
    need setfacl acl
    need tini tini
    need pkg-config pkg-config
    need cc gcc
    pkg-config --exists libvirt 2>/dev/null || echo libvirt-dev
    [ -e /usr/include/python3.11/Python.h ] || "${PYTHON:-python3}" -c '
import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' 2>/dev/null || echo python3-dev
}

# By its pid file, if the process of that number is one.
is_running() {
    pid=$(cat "/run/libvirt/$1.pid" 2>/dev/null) && grep -qx "$1" "/proc/$pid/comm" 2>/dev/null
}

install_packages() {
    packages=$(missing | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Local QEMU needs, as root on Debian: apt-get install --no-install-recommends $packages" >&2
        exit 1
    fi
    echo "Installing $packages..."
    apt-get update -qq
    # RUNLEVEL=1 keeps Debian from starting the services here and now.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $packages \
        </dev/null >/dev/null
}

answers() { timeout 20 virsh --quiet --connect $connection uri >/dev/null 2>&1; }

install_hook() {
    cmp -s "$here/libvirt_network_hook.py" $hook && return 1
    mkdir -p "$(dirname $hook)"
    install --mode 755 "$here/libvirt_network_hook.py" $hook
}

start() {
    state=$1
    [ "$(id -u)" -eq 0 ] || { echo "Local QEMU is set up as root: sudo make qemu" >&2; exit 1; }
    renewed=0
    install_hook && renewed=1
    if [ -e /dev/kvm ] && getent group kvm >/dev/null; then
        chgrp kvm /dev/kvm
        chmod 660 /dev/kvm # libvirt asks again at every call as long as QEMU's user cannot read it
    fi
    # QEMU's user passes through, and lists nothing.
    mkdir -p "$state"
    setfacl --modify user:libvirt-qemu:x "$state"
    [ -d "$state/qemu" ] || install --directory --owner "$(stat --format %U "$state")" "$state/qemu"
    chgrp libvirt-qemu "$state/qemu"
    chmod 2710 "$state/qemu"

    if [ -d /run/systemd/system ]; then
        systemctl enable --now --quiet virtlogd.socket libvirtd.socket libvirtd.service
        [ $renewed -eq 0 ] || systemctl restart libvirtd.service
        echo "libvirt runs. The user that runs Poolhouse must be in the groups libvirt and libvirt-qemu:" \
            "usermod --append --groups libvirt,libvirt-qemu poolhouse"
        return
    fi

    pidfile=/run/libvirt/libvirtd.pid
    mkdir -p /run/libvirt
    if [ $renewed -eq 1 ] && is_running libvirtd; then
        kill "$(cat $pidfile)" # it looks for hooks when it starts
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            is_running libvirtd || break
            sleep 0.3
        done
    fi
    if ! answers; then
        conf=$state/qemu/libvirtd.conf
        cat >"$conf" <<END
unix_sock_group = "libvirt"
unix_sock_ro_perms = "0770"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
END
        mkdir -p /var/log/libvirt
        is_running virtlogd || virtlogd --daemon --pid-file /run/libvirt/virtlogd.pid
        setsid tini -s -- libvirtd --config "$conf" --pid-file $pidfile </dev/null >/dev/null 2>&1 &
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            answers && break
            sleep 0.5
        done
        answers || { echo "libvirtd does not answer: see /var/log/libvirt/libvirtd.log" >&2; exit 1; }
    fi
    echo "libvirt runs at $connection."
}

case ${1-} in
packages) missing ;;
install) install_packages ;;
start) start "${2:?the state folder}" ;;
*) echo "usage: $0 packages | install | start STATE_DIR" >&2; exit 2 ;;
esac
