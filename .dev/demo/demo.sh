#!/usr/bin/env bash
# Sends a minute of believable traffic to the stack that `make run` started: a FastAPI shop with the Python SDK, its
# visitors with the JavaScript SDK, and container logs. SECONDS_OF_DEMO changes the minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -f .env ] && [ -f data/stack.json ] || { echo "make demo: nothing runs here yet: start make run in another terminal first" >&2; exit 1; }
# What both halves need to know: the settings as `make run` reads them, and where the four services are.
MONLIGHT_DEMO=$(PYTHONDONTWRITEBYTECODE=1 python3 - <<'PY'
import json, sys
sys.path.insert(0, ".dev")
import run
settings = run.read_env_file()
ports = json.loads((run.DATA / "stack.json").read_text(encoding="utf-8"))["ports"]
for service, port in ports.items():
    if why := run.healthy(run.host_of(settings), port):
        sys.exit(f"make demo: {service} does not answer ({why}): start make run in another terminal first")
host = run.reachable(run.host_of(settings))
print(json.dumps({"settings": settings, "urls": {service: f"http://{host}:{port}" for service, port in ports.items()}}))
PY
)
export MONLIGHT_DEMO
seconds=${SECONDS_OF_DEMO:-60}
echo "sending $seconds seconds of traffic ..."
sdks/python/.venv/bin/python .dev/demo/shop.py "$seconds" &
shop=$!
trap 'kill "$shop" 2>/dev/null || true' EXIT
node .dev/demo/visitors.mjs "$seconds"
wait "$shop"
trap - EXIT
echo "done: look at the pages"
