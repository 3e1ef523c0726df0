#!/usr/bin/env bash
# Sends a minute of believable traffic to the stack that `make run` started: a FastAPI shop with the Python SDK, its
# visitors with the JavaScript SDK, and container logs. SECONDS_OF_DEMO changes the minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -f .env ] && [ -f data/stack.json ] || { echo "make demo: nothing runs here yet: start make run in another terminal first" >&2; exit 1; }
port=$(python3 -c 'import json; print(json.load(open("data/stack.json"))["ports"]["error-tracker"])')
python3 - "$port" <<'PY' || { echo "make demo: the stack does not answer: start make run in another terminal first" >&2; exit 1; }
import sys, urllib.request
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=3).read()
PY
seconds=${SECONDS_OF_DEMO:-60}
echo "sending $seconds seconds of traffic ..."
sdks/python/.venv/bin/python .dev/demo/shop.py "$seconds" &
shop=$!
trap 'kill "$shop" 2>/dev/null || true' EXIT
node .dev/demo/visitors.mjs "$seconds"
wait "$shop"
trap - EXIT
echo "done: look at the pages"
