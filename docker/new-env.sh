#!/bin/sh
# new-env.sh [FILE]: writes a .env with new random keys, readable by its owner only. Leaves an existing file alone.
# Needs nothing but a POSIX shell, od and /dev/urandom.
set -eu
file=${1:-.env}
if [ -e "$file" ]; then
  echo "$file exists already, left as it is" >&2
  exit 0
fi
# key BYTES: as many random bytes in hexadecimal. A key that is not whole ends the script before anything is written.
key() {
  made=$(od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n')
  [ "${#made}" -eq $(($1 * 2)) ] || { echo "cannot make a random key: od, tr and /dev/urandom are needed" >&2; return 1; }
  echo "$made"
}
api_key=$(key 24)
admin_key=$(key 24)
internal_key=$(key 24)
dsn_key=$(key 16)
umask 077
cat >"$file.new" <<END
# Keys and settings of this installation, for \`make run\` and \`docker compose\`. Keep this file private.

# Opens the error tracker, the log viewer and the metrics collector: header X-API-Key, and the sign-in of the pages.
API_KEY=$api_key

# Opens the relay's routes for operators (DSN keys, source maps).
ADMIN_API_KEY=$admin_key

# What the relay uses towards the other services; it has no rate limit.
INTERNAL_API_KEY=$internal_key

# Public keys for browsers, as project:key, separated by commas. They may be seen by anybody.
DSN_KEYS=demo:$dsn_key

# Pages that may send to the relay, separated by commas; * stands for any port or subdomain.
CORS_ORIGINS=http://localhost:*,http://127.0.0.1:*

# Which containers the log viewer follows: names and patterns, !name leaves one out. Empty: all.
CONTAINERS=

# Where \`make run\` looks for container logs; Docker's own are in /var/lib/docker/containers (root may read them).
# \`docker compose\` always mounts Docker's own.
LOG_SOURCES=./data/containers

# What else may stand here, such as where alerts go: docs/configuration.md
END
mv "$file.new" "$file"
echo "wrote $file with new random keys (mode 0600)"
