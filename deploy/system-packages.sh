#!/bin/sh
# Installs what the test suite uses beside Python: as root on Debian; elsewhere names what is missing. Never fails:
# a test whose program is absent is skipped and says so.
set -u

missing=""
want() { missing="$missing $1"; }

command -v make >/dev/null 2>&1 || want make
python3 -c 'import ensurepip, venv' 2>/dev/null || want python3-venv
command -v cc >/dev/null 2>&1 || want gcc
command -v curl >/dev/null 2>&1 || want curl
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || want nginx
command -v redis-server >/dev/null 2>&1 || want redis-server
command -v chromium >/dev/null 2>&1 || want chromium
command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || want postgresql
for package in $(/bin/sh "${0%/*}/local-qemu.sh" packages); do want "$package"; done

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed, so the tests that use them are skipped:$missing (Debian: apt-get install$missing)" >&2
    exit 0
fi

echo "Installing$missing ..."
log=$(mktemp)
# RUNLEVEL=1 keeps Debian from starting the services: the tests start their own.
if {
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends $missing </dev/null
} >"$log" 2>&1; then
    rm -f "$log"
else
    tail -n 20 "$log" >&2
    echo "Could not install:$missing; the tests that use them are skipped. The whole log: $log" >&2
fi
