#!/usr/bin/env bash
# Installs a folder's locked npm packages, unless they are there already: npm_ci.sh FOLDER
set -euo pipefail
cd "$1"
stamp=node_modules/.raymesh-lock
if ! cmp -s package-lock.json "$stamp"; then
  npm ci --omit=optional --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
fi
