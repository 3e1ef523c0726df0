#!/usr/bin/env bash
# Sees to it that browser tests have Chromium: found, or installed by apt when root.
# Exit status: 0 there it is; 3 not to be had, the caller may skip loudly; 1 not to be had although CI=true.
set -uo pipefail

found() { command -v "${CHROMIUM:-/usr/bin/chromium}" >/dev/null 2>&1; }

found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing chromium for the browser tests"
  log=$(mktemp)
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-liberation; } >"$log" 2>&1 \
    || tail -n 20 "$log" >&2
  rm -f "$log"
fi
found && exit 0
echo "SKIPPED: browser tests need Chromium: install the package chromium, or set CHROMIUM to a binary" >&2
[ "${CI:-}" = true ] && exit 1
exit 3
