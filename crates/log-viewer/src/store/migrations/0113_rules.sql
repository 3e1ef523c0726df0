-- Rules that watch what arrives. query: the filter, as a query string. revision: counts up when a rule begins to count anew.
-- parts: what was counted, as a JSON list of [part of the window, entries]. fired_ms, fired: when it last fired, and how
-- often. unsaid: matches since then. Times are unix milliseconds.
CREATE TABLE alert_rules(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    threshold INTEGER NOT NULL,
    window_ms INTEGER NOT NULL,
    cooldown_ms INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 1,
    parts TEXT NOT NULL DEFAULT '[]',
    fired_ms INTEGER,
    fired INTEGER NOT NULL DEFAULT 0,
    unsaid INTEGER NOT NULL DEFAULT 0
);

-- What is told: a rule fired. entries: matches since it last did. newest: the ids of a few of them, as a JSON list. The
-- rest is the rule as it was.
CREATE TABLE alert_firings(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    newest TEXT NOT NULL,
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    threshold INTEGER NOT NULL,
    window_ms INTEGER NOT NULL
);
