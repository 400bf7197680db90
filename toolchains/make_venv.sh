#!/bin/sh
# make_venv.sh DIR: a virtual environment with the newest usable Python >= 3.11 (or $PYTHON) and the build tools.
set -eu
dir=$1

usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for python in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
    usable "$python" && break
    python=
done
if [ -z "$python" ]; then
    echo "error: no Python >= 3.11 with venv; install one with: sudo apt-get install python3 python3-venv" >&2
    exit 1
fi

echo "q4engine: creating $dir with $("$python" --version)"
"$python" -m venv --clear "$dir"
"$dir/bin/python" -m pip install -qq $("$dir/bin/python" toolchains/requirements.py --build-system)
# The backend itself says whether CMake and ninja must come from PyPI or the system's will do; "pip" is there already
# and keeps the list from being empty.
"$dir/bin/python" -m pip install -qq pip \
    $("$dir/bin/python" -c 'from scikit_build_core.build import get_requires_for_build_editable as tools; print(*tools())')
