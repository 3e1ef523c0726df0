-- Events that another service will not take for a reason that trying again does not change, and that are not at fault
-- themselves: they are kept until somebody has them tried again, or until they are too old.
ALTER TABLE outbox ADD COLUMN dead INTEGER NOT NULL DEFAULT 0 CHECK (dead IN (0, 1));
-- What the service said.
ALTER TABLE outbox ADD COLUMN reason TEXT;

DROP INDEX outbox_by_upstream;
CREATE INDEX outbox_by_upstream ON outbox (upstream, dead);
