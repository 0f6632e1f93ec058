#!/usr/bin/env bash
# On a machine with a GPU and nvcc: builds the operator, checks it, runs compute-sanitizer, prints the table.
#   bash benchmarks/gpu_matrix_nms.sh [PYTHON]
# Needs torch, pytest and hypothesis in PYTHON's environment; builds in place, installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python}
export PYTHONPATH="$PWD/d2lite:$PWD${PYTHONPATH:+:$PYTHONPATH}"
nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv
"$python" setup.py build_ext --inplace
"$python" -m solo_d2.ops
"$python" -m pytest -q tests/ops
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -m solo_d2.ops
  done
else
  echo "compute-sanitizer is not here: skipped"
fi
"$python" benchmarks/bench_matrix_nms.py "${@:2}"
