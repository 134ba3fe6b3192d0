#!/usr/bin/env bash
# Installs a folder's locked npm packages, unless they are there already: npm_ci.sh FOLDER
set -euo pipefail
cd "$1"
# Node trusts its own list of authorities; a machine behind a proxy has added its own to the system's.
system_authorities=/etc/ssl/certs/ca-certificates.crt
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -e "$system_authorities" ]; then
  export NODE_EXTRA_CA_CERTS=$system_authorities
fi
stamp=node_modules/.raymesh-lock
if ! cmp -s package-lock.json "$stamp"; then
  npm ci --omit=optional --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
fi
