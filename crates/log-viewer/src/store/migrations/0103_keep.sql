-- About how many bytes of text a slot holds. What is there already is estimated.
ALTER TABLE slot ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE slot SET bytes = (last_id - first_id + 1) * 256 WHERE first_id IS NOT NULL;
