#!/usr/bin/env bash
# Builds the fuzz targets (clang, in build/fuzz) and runs each for FUZZ_SECONDS (10), FUZZ_JOBS (as
# many as cores) at a time. What it finds is kept in build/fuzz/corpus, and the next run starts from
# it. A crash names the file that makes it happen. Arguments are names of targets; none means all.
set -euo pipefail
cd "$(dirname "$0")/../.."
export seconds=${FUZZ_SECONDS:-10}
jobs=${FUZZ_JOBS:-$(nproc)}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for source in tests/fuzz/*_fuzz.cpp; do names+=("$(basename "$source" _fuzz.cpp)"); done
fi

mkdir -p build
cmake --preset fuzz > build/fuzz.log 2>&1 || { cat build/fuzz.log >&2; exit 1; }
cmake --build --preset fuzz --target "${names[@]/%/_fuzz}" -j "$jobs"

run_target() {
  local name=$1 found=build/fuzz/corpus/$1 log=build/fuzz/$1.log units
  mkdir -p "$found"
  if ! "build/fuzz/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
      -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/$name-" \
      "$found" "tests/fuzz/corpus/$name" > "$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "fuzz: $name failed; the input is in build/fuzz/$name-*, all it said in $log" >&2
    return 1
  fi
  units=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "fuzz: $name withstood $units inputs in $seconds s"
}
export -f run_target

# The others still run when one fails; xargs then ends with 123.
printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I '{}' bash -euo pipefail -c 'run_target {}'
