# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by the benchmarks that have Python peers. peers_python OUT PACKAGE...: sets PYTHON to an interpreter that has them: the one in the
# environment, or one made in OUT/venv with pip (PIP_ARGS is passed on, e.g. "--extra-index-url https://download.pytorch.org/whl/cpu").
peers_python() {
    local out=$1
    shift
    [ -z "${PYTHON:-}" ] || return 0
    PYTHON=$out/venv/bin/python
    [ ! -e "$out/venv/.whole" ] || return 0
    echo "installing $* into $out/venv" >&2
    python3 -m venv "$out/venv"
    # shellcheck disable=SC2086
    "$PYTHON" -m pip install -q ${PIP_ARGS:-} "$@"
    touch "$out/venv/.whole"
}
