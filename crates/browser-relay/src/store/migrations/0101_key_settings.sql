-- What a key may do, and what was done with it.
ALTER TABLE dsn_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- One origin a line; NULL: CORS_ORIGINS, and every request is taken.
ALTER TABLE dsn_keys ADD COLUMN origins TEXT;
-- Whether a key with origins takes requests without one.
ALTER TABLE dsn_keys ADD COLUMN allow_no_origin INTEGER NOT NULL DEFAULT 0 CHECK (allow_no_origin IN (0, 1));
-- Requests a minute: of one address (NULL: RATE_LIMIT), and of all together (NULL: no limit).
ALTER TABLE dsn_keys ADD COLUMN rate_limit INTEGER;
ALTER TABLE dsn_keys ADD COLUMN total_limit INTEGER;
ALTER TABLE dsn_keys ADD COLUMN last_used INTEGER;
ALTER TABLE dsn_keys ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dsn_keys ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
