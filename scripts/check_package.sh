#!/usr/bin/env bash
# Builds sdist and wheel, installs the wheel into a new virtual environment and runs it there:
#   scripts/check_package.sh             with all dependencies, as pip finds them
#   scripts/check_package.sh --borrow    with the dependencies of the active environment; quick
# What is built comes from the files that git tracks, so what is not committed is not there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

borrow=${1:-}
[ -z "$borrow" ] || [ "$borrow" = --borrow ] || fail "unknown argument $1" "  fix: --borrow, or none"
use_venv
python -c 'import setuptools' 2>/dev/null || python -m pip install --quiet 'setuptools>=77'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/source" "$scratch/dist" "$scratch/run"
(cd "$root" && git archive HEAD) | tar -x -C "$scratch/source"

printf 'sdist\n'
(cd "$scratch/source" && python -c '
import sys
from setuptools import build_meta
build_meta.build_sdist(sys.argv[1])' "$scratch/dist" >/dev/null 2>&1)
# The wheel is built from the sdist, so that one with a file too few is found.
printf 'wheel from it\n'
python -m pip wheel --quiet --no-deps --no-build-isolation -w "$scratch/dist" "$scratch"/dist/*.tar.gz

python - "$scratch/source" "$scratch"/dist/*.whl <<'PYTHON'
import sys
import zipfile
from pathlib import Path

source, wheel = Path(sys.argv[1]), zipfile.ZipFile(sys.argv[2])
tracked = {p.relative_to(source).as_posix() for p in (source / "adaption").rglob("*") if p.is_file()}
built = {name for name in wheel.namelist() if name.startswith("adaption/")}
missing, extra = sorted(tracked - built), sorted(built - tracked)
if missing or extra:
    sys.exit(f"the wheel lacks {missing}, and has {extra} that git does not track")
print(f"  {len(built)} files, {Path(sys.argv[2]).stat().st_size / 1e6:.2f} MB")
PYTHON

printf 'clean environment\n'
borrowed=$(python -c 'import sysconfig, sys; print("\n".join(p for p in sys.path if p.endswith("site-packages")))')
make_venv "$scratch/venv" >/dev/null
unset VIRTUAL_ENV PYTHONPATH
clean=$scratch/venv/bin
if [ -n "$borrow" ]; then
    "$clean/python" -m pip install --quiet --no-deps "$scratch"/dist/*.whl
    printf '%s\n' "$borrowed" >"$("$clean/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed.pth"
else
    "$clean/python" -m pip install --quiet -c "$root/constraints.txt" "$scratch"/dist/*.whl
fi

cd "$scratch/run"
example=$scratch/source/models/lenet_digits
"$clean/python" - "$scratch/venv" <<'PYTHON'
import sys

import adaption

assert adaption.__file__.startswith(sys.argv[1]), f"{adaption.__file__} is not the installed one"
for name in adaption.__all__:
    getattr(adaption, name)
print(f"  adaption {adaption.__version__}: {len(adaption.__all__)} public names")
PYTHON
"$clean/adaption" --version
"$clean/adaption" inspect "$example/deploy.prototxt" "$example/lenet_digits.caffemodel" >/dev/null
"$clean/adaption" quantize "$example/deploy.prototxt" "$example/lenet_digits.caffemodel" \
    --data "$example/digits_test_lmdb" --scale 0.0625 --int8 --rule sqnr --quiet -o out
"$clean/adaption" export out/net_lp.prototxt out/net_lp.caffemodel --to c -o c --quiet >/dev/null
[ -s out/report.html ] || fail "no report was written"
printf 'ok\n'
