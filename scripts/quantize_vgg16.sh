#!/usr/bin/env bash
# VGG16 in fixed point: measure, propose, rewrite, convert, test Top-1/Top-5, export, compare.
#   scripts/quantize_vgg16.sh OUT --weights VGG16.caffemodel --data VAL [FLAGS]
#   scripts/quantize_vgg16.sh OUT --random-weights                        to try it
# VAL: a list of `file label` lines (with --root), a folder, or an LMDB of the ILSVRC-12 validation
# images. FLAGS go to scripts/quantize_batch.py: --bits 16,8,6 --rules adaption,sqnr --limit 1000,
# --best, --refine, --calibration TRAIN_SAMPLE, --max-drop 1.0, --recipe sdfp, --jobs 1,
# --train-net models/vgg16/train_val.prototxt --finetune 1000, ...
# Called again, it goes on where it was stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -ge 2 ] || fail "usage: $0 OUT --weights FILE --data VAL | --random-weights [FLAGS]"
out=$1
shift
weights=() data=() flags=()
while [ $# -gt 0 ]; do
    case $1 in
    --weights) weights=("$2") && shift ;;
    --data) data=(--data "$2") && shift ;;
    *) flags+=("$1") ;;
    esac
    shift
done
python=python3
[ ! -x "$root/.venv/bin/python" ] || python=$root/.venv/bin/python
[ -z "${VIRTUAL_ENV:-}" ] || python=$VIRTUAL_ENV/bin/python

mkdir -p "$out"
if [ ${#data[@]} -eq 0 ]; then
    [ -f "$out/noise.npz" ] || "$python" - "$out/noise.npz" <<'PY'
import sys
import numpy as np
rng = np.random.default_rng(0)
np.savez(sys.argv[1], data=rng.normal(0, 60, (8, 3, 224, 224)).astype(np.float32))
PY
    data=(--data "$out/noise.npz")
else # the preprocessing that VGG16 was trained with
    data+=(--resize 256 --crop 224 --mean-value 103.939,116.779,123.68)
fi
exec "$python" "$root/scripts/quantize_batch.py" "$root/models/vgg16/deploy.prototxt" \
    ${weights[@]+"${weights[@]}"} "${data[@]}" -o "$out" ${flags[@]+"${flags[@]}"}
