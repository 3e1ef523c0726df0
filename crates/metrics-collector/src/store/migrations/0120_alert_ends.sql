-- Ends that people have to hear of when quiet hours are over, of rules that were changed, switched off or deleted in them.
-- event: the end. rule: its number.
CREATE TABLE alert_ends (
    event INTEGER PRIMARY KEY,
    rule  INTEGER NOT NULL
) STRICT;
