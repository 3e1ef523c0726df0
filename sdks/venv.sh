#!/bin/sh
# venv.sh DIRECTORY FILE PIP-ARGUMENTS...: makes DIRECTORY/.venv with what the arguments tell pip to install. Once per
# content of DIRECTORY/FILE and version of Python; PYTHON: another one than python3.
set -eu
cd "$1"
file=$2
shift 2
python="${PYTHON:-python3}"
stamp=.venv/.installed
want="$(cksum "$file") $("$python" --version 2>&1)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    exit 0
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "$PWD needs Python 3.10 or newer; set PYTHON to one" >&2
    exit 1
}
rm -rf .venv
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
printf '%s' "$want" >"$stamp"
