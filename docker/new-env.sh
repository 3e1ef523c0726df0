#!/bin/sh
# new-env.sh [FILE]: writes a .env with new random keys, readable by its owner only. Leaves an existing file alone.
# Needs nothing but a POSIX shell, od and /dev/urandom.
set -eu
file=${1:-.env}
if [ -e "$file" ]; then
  echo "$file exists already, left as it is" >&2
  exit 0
fi
key() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat >"$file" <<END
# Keys and settings of this installation, for \`make run\` and \`docker compose\`. Keep this file private.

# Opens the error tracker, the log viewer and the metrics collector: header X-API-Key, and the sign-in of the pages.
API_KEY=$(key 24)

# Opens the relay's routes for operators (DSN keys, source maps).
ADMIN_API_KEY=$(key 24)

# What the relay uses towards the other services; it has no rate limit.
INTERNAL_API_KEY=$(key 24)

# Public keys for browsers, as project:key, separated by commas. They may be seen by anybody.
DSN_KEYS=demo:$(key 16)

# Pages that may send to the relay, separated by commas; * stands for any port or subdomain.
CORS_ORIGINS=http://localhost:*,http://127.0.0.1:*

# Which containers the log viewer follows: names and patterns, !name leaves one out. Empty: all.
CONTAINERS=

# Where \`make run\` looks for container logs; Docker's own are in /var/lib/docker/containers (root may read them).
# \`docker compose\` always mounts Docker's own.
LOG_SOURCES=./data/containers
END
echo "wrote $file with new random keys (mode 0600)"
