-- Events that the service they are for could not take when they came, in the order in which they came.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 0: error tracker, 1: metrics collector.
    upstream INTEGER NOT NULL,
    -- The DSN key, for its share of the room.
    key_id INTEGER NOT NULL,
    idempotency_key BLOB NOT NULL,
    queued_at INTEGER NOT NULL,
    -- What is sent, as it would have been sent at once.
    document BLOB NOT NULL
) STRICT;

CREATE INDEX outbox_by_upstream ON outbox (upstream);
