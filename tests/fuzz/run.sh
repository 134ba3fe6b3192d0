#!/usr/bin/env bash
# Builds every fuzz target and runs each for a while (default 10 s, FUZZ_SECONDS=n for more). What it
# finds is kept in build/fuzz/corpus; a crash stops the run and names the file that makes it happen.
# Arguments are names of targets; none means all.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-10}
jobs=${FUZZ_JOBS:-$(nproc)}

cmake --preset fuzz >build-fuzz.log 2>&1 || { cat build-fuzz.log; exit 1; }
rm -f build-fuzz.log
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  cmake --build --preset fuzz --target fuzz_targets -j "$jobs"
else
  cmake --build --preset fuzz --target "${names[@]/%/_fuzz}" -j "$jobs"
fi

if [ ${#names[@]} -eq 0 ]; then
  for program in build/fuzz/fuzz/*_fuzz; do names+=("$(basename "$program" _fuzz)"); done
fi
for name in "${names[@]}"; do
  found=build/fuzz/corpus/$name
  mkdir -p "$found"
  echo "fuzz: $name for $seconds s"
  if ! "build/fuzz/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
      -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/$name-" \
      "$found" "tests/fuzz/corpus/$name" >"build/fuzz/$name.log" 2>&1; then
    tail -n 40 "build/fuzz/$name.log"
    echo "fuzz: $name failed; the input is in build/fuzz/$name-*" >&2
    exit 1
  fi
  grep -h number_of_executed_units "build/fuzz/$name.log" || true
done
