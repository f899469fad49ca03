# Shared by the scripts beside it, which source it. Works with bash 3.2 and newer.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    printf '%s\n' "$@" >&2
    exit 2
}

# require_python COMMAND FIX: stop unless it runs and is new enough.
require_python() {
    local found
    found=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
        fail "$1 does not run; adaption needs Python 3.11 or newer" "  fix: $2"
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$1 is Python $found; adaption needs 3.11 or newer" "  fix: $2"
}

# make_venv FOLDER: a virtual environment with pip, from $PYTHON or python3.
make_venv() {
    local python=${PYTHON:-python3}
    require_python "$python" "name a newer one: PYTHON=python3.12 $0"
    printf 'Making a virtual environment in %s\n' "$1"
    # Some Linux distributions ship venv without ensurepip; their pip can still fill one.
    "$python" -m venv "$1" >/dev/null 2>&1 && return
    rm -rf "$1"
    "$python" -m venv --without-pip "$1" && "$python" -m pip --python "$1" install --quiet pip ||
        fail "$python cannot make a virtual environment" \
            "  fix: install its venv module (Debian, Ubuntu: apt install python3-venv)"
}

# use_venv: the active virtual environment, else .venv of the checkout, made when missing.
use_venv() {
    if [ -z "${VIRTUAL_ENV:-}" ]; then
        VIRTUAL_ENV=$root/.venv
        "$VIRTUAL_ENV/bin/python" -c '' 2>/dev/null || {
            rm -rf "$VIRTUAL_ENV"
            make_venv "$VIRTUAL_ENV"
        }
        export VIRTUAL_ENV
    fi
    export PATH="$VIRTUAL_ENV/bin:$PATH"
    unset PYTHONHOME
    hash -r
    require_python "$VIRTUAL_ENV/bin/python" "leave or remove the virtual environment $VIRTUAL_ENV"
}

# install_adaption [EXTRA]: into the virtual environment in use, unless a stamp in it says that
# this checkout is installed there and nothing that decides what gets installed has changed.
# CONSTRAINTS names another file of versions than constraints.txt.
install_adaption() {
    local extra=${1:-} target=$root stamp=$VIRTUAL_ENV/.adaption-installed state
    local constraints=$root/${CONSTRAINTS:-constraints.txt}
    state="$root $(cd "$root" && cat setup.py pyproject.toml "$constraints" | cksum)"
    [ -z "$extra" ] || target="$root[$extra]" stamp=$stamp-$extra
    [ "$(cat "$stamp" 2>/dev/null)" != "$state" ] || return 0
    printf 'Installing adaption%s (the first time takes some minutes)\n' "${extra:+[$extra]}"
    # Where packages come from is pip's own configuration.
    python -m pip install --quiet --disable-pip-version-check \
        -c "$constraints" -e "$target" ||
        fail "pip could not install adaption's dependencies (its message is above)" \
            "  fix: check the network and pip's settings (pip config list), then run $0 again"
    printf '%s\n' "$state" >"$stamp"
    [ -z "$extra" ] || printf '%s\n' "$state" >"$VIRTUAL_ENV/.adaption-installed"
}

# run_pytest ARGS: pytest in as many processes as there are processors, each of one thread. Not where
# ARGS give -n, or need all tests in this process, as a debugger does.
run_pytest() {
    local processors parallel=""
    case " $* " in
    *" -n"* | *" --numprocesses"* | *" --pdb"* | *" --trace "* | *" --collect-only "* | *" --co "* | \
        *" no:xdist"*) ;;
    *)
        processors=$(python -c 'import os
print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)')
        # Tests of a file stay together: its fixtures are made once.
        [ "$processors" -lt 2 ] || parallel="-n $processors --dist loadfile"
        ;;
    esac
    [ -z "$parallel" ] || export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    # shellcheck disable=SC2086  (words of its own)
    python -m pytest $parallel "$@"
}
