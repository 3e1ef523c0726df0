#!/usr/bin/env bash
# Brings the Compose stack up from images that exist already (docker/build-local.sh, or docker compose build), in a
# throw-away project with fresh keys, and checks it: healthy, limited, durable over a kill, ended with status 0.
set -euo pipefail
cd "$(dirname "$0")/.."
compose=(docker compose)
docker compose version >/dev/null 2>&1 || compose=(docker-compose)
work=$(mktemp -d)
project=monlight-smoke-$$
run() { "${compose[@]}" --project-name "$project" --env-file "$work/.env" --file docker-compose.yml "$@"; }
trap 'run down --volumes >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
docker/new-env.sh "$work/.env" >/dev/null
key=$(sed -n 's/^API_KEY=//p' "$work/.env")
dsn=$(sed -n 's/^DSN_KEYS=demo://p' "$work/.env")
passed=0
check() { # what, expected, got
  if [ "$2" = "$3" ]; then passed=$((passed + 1)); else echo "FAILED: $1: expected $2, got $3" >&2; exit 1; fi
}
wait_healthy() {
  for _ in $(seq 100); do
    ok=0
    for port in 5010 5011 5012 5013; do curl -fsS -o /dev/null "http://127.0.0.1:$port/health" 2>/dev/null && ok=$((ok + 1)); done
    [ "$ok" = 4 ] && return
    sleep 0.1
  done
  run logs --tail=20 >&2
  check "healthy services" 4 "$ok"
}
post() { curl -s -o /dev/null -w '%{http_code}' -X POST "$@"; }

run up -d --no-build >/dev/null 2>&1
wait_healthy
report='{"project":"smoke","exception_type":"E","message":"m","traceback":"t"}'
check "a report" 201 "$(post http://127.0.0.1:5010/api/errors -H "X-API-Key: $key" -d "$report")"
event='{"type":"TypeError","message":"m","stack":"at f (https://a.example/b.js:1:2)"}'
check "a browser error through the relay" 201 "$(post http://127.0.0.1:5013/api/browser/errors -H "X-Monlight-Key: $dsn" -d "$event")"
metrics='{"metrics":[{"name":"web_vitals_lcp","type":"histogram","value":1200}]}'
check "browser metrics through the relay" 202 "$(post http://127.0.0.1:5013/api/browser/metrics -H "X-Monlight-Key: $dsn" -d "$metrics")"
for service in error-tracker log-viewer metrics-collector browser-relay; do
  id=$(run ps -q "$service")
  check "$service: read-only, without capabilities, 30 MB" "true [ALL] 31457280" \
    "$(docker inspect "$id" --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.Memory}}')"
  docker exec "$id" "/$service" --healthcheck && passed=$((passed + 1))
done
run kill -s KILL >/dev/null 2>&1
run up -d --no-build >/dev/null 2>&1
wait_healthy
total=$(curl -s http://127.0.0.1:5010/api/errors -H "X-API-Key: $key" | python3 -c 'import json,sys; print(json.load(sys.stdin)["total"])')
check "errors after a kill" 2 "$total"
ids=$(run ps -q)
run stop >/dev/null 2>&1
for id in $ids; do check "exit status" 0 "$(docker inspect "$id" --format '{{.State.ExitCode}}')"; done
echo "docker: $passed passed, 0 failed"
