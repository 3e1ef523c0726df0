-- Of a compressed file that was read to its end: its size on the disk; NULL for all others.
ALTER TABLE cursors ADD COLUMN read_whole INTEGER;
