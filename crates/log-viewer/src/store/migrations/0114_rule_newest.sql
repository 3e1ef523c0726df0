-- told_ms: when it last fired, whatever was changed since; fired_ms is what the cooldown counts from. newest: the ids of the last few entries that count for the next alert, as a JSON list. parts is now a list of [part of the
-- window, entries, those of them that came while the rule was quiet].
ALTER TABLE alert_rules ADD COLUMN newest TEXT NOT NULL DEFAULT '[]';
ALTER TABLE alert_rules ADD COLUMN told_ms INTEGER;
UPDATE alert_rules SET told_ms = fired_ms, parts = '[]';
