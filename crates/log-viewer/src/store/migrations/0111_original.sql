-- Where the original service had left off, by the names of containers; a row goes once its container is followed again.
CREATE TABLE original_cursors(
    name TEXT PRIMARY KEY,
    container_id TEXT NOT NULL,
    inode INTEGER NOT NULL,
    position INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;
