-- Times are milliseconds since 1970.

-- Rules that watch metrics. spec: the rule as JSON. revision: counts up when it looks for something else. fired, fired_ms:
-- how often groups of it began to fire, and when one last did.
CREATE TABLE alert_rules (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    spec       TEXT    NOT NULL,
    enabled    INTEGER NOT NULL,
    revision   INTEGER NOT NULL DEFAULT 1,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    fired      INTEGER NOT NULL DEFAULT 0,
    fired_ms   INTEGER
) STRICT;

-- Groups that are pending or firing, or of whose end somebody has still to hear. labels: the values of the labels that
-- the rule groups by, as a JSON list. phase: 0 calm, 1 pending, 2 firing. since_ms: since when. told_ms: when people were
-- last told that it fires. fired_event: the event of that; ended_event: the end that somebody has to hear of.
CREATE TABLE alert_groups (
    rule        INTEGER NOT NULL,
    labels      TEXT    NOT NULL,
    phase       INTEGER NOT NULL,
    since_ms    INTEGER NOT NULL,
    told_ms     INTEGER,
    value       REAL,
    fired_event INTEGER,
    ended_event INTEGER,
    PRIMARY KEY (rule, labels)
) STRICT, WITHOUT ROWID;

-- The history, which is what alerts tell of. happened: 1 firing, 2 resolved, 3 still firing. reason of an end: 0 the value
-- is fine, 1 there is none, 2 the rule was changed. told_ms: when it went to the outbox. spec: the rule as it was.
CREATE TABLE alert_events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    rule     INTEGER NOT NULL,
    happened INTEGER NOT NULL,
    labels   TEXT    NOT NULL,
    value    REAL,
    time_ms  INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    reason   INTEGER NOT NULL,
    told_ms  INTEGER,
    spec     TEXT    NOT NULL
) STRICT;
CREATE INDEX alert_events_by_rule ON alert_events (rule, id);

-- One row: the end of the window that was last looked at, and the last stretch of time in which nothing could come in.
CREATE TABLE alert_clock (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    looked_ms       INTEGER,
    outage_from_ms  INTEGER NOT NULL DEFAULT 0,
    outage_until_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO alert_clock (id) VALUES (1);
