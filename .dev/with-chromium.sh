#!/usr/bin/env bash
# with-chromium.sh COMMAND...: runs it when there is a Chromium, else says loudly that it was skipped.
set -uo pipefail
"$(dirname "$0")/chromium.sh"
case $? in
  0) exec "$@" ;;
  3) exit 0 ;;
  *) exit 1 ;;
esac
