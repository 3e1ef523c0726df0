//! How far files were read, and lines that wait for what belongs to them.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, params};

use crate::domain::cursor::{Cursor, FileId};

/// All that is remembered about one container's files. It replaces what was remembered before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowState {
    /// The container's id: the name of its directory.
    pub container_id: String,
    /// Its files, oldest first, each with the name it had.
    pub files: Vec<(String, Cursor)>,
    /// The open entries as JSON; `None` when there are none.
    pub open: Option<String>,
}

impl FollowState {
    /// About how many bytes it carries.
    pub fn bytes(&self) -> usize {
        let files: usize = self
            .files
            .iter()
            .map(|(path, cursor)| path.len() + cursor.head.len() + 64)
            .sum();
        files + self.open.as_ref().map_or(0, String::len)
    }
}

/// What was remembered when the service ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Per container, in the order of their ids.
    pub states: Vec<FollowState>,
    /// When containers were last looked for, in milliseconds since 1970; `None` before the first time.
    pub scanned_ms: Option<i64>,
}

/// Reads everything back.
pub fn load(conn: &Connection) -> Result<Remembered, StoreError> {
    let mut states: Vec<FollowState> = Vec::new();
    let mut statement = conn.prepare(
        "SELECT container_id, file_path, device, inode, head, position, read_whole FROM cursors ORDER BY container_id, id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let container_id: String = row.get(0)?;
        let cursor = Cursor {
            file: FileId {
                device: row.get::<_, i64>(2)? as u64,
                inode: row.get::<_, i64>(3)? as u64,
            },
            head: row.get(4)?,
            position: row.get::<_, i64>(5)? as u64,
            read_whole: row.get::<_, Option<i64>>(6)?.map(|size| size as u64),
        };
        let file = (row.get(1)?, cursor);
        match states
            .last_mut()
            .filter(|state| state.container_id == container_id)
        {
            Some(state) => state.files.push(file),
            None => states.push(FollowState {
                container_id,
                files: vec![file],
                open: None,
            }),
        }
    }
    let mut statement = conn.prepare("SELECT container_id, state FROM open_entries")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (container_id, open): (String, String) = (row.get(0)?, row.get(1)?);
        match states
            .iter_mut()
            .find(|state| state.container_id == container_id)
        {
            Some(state) => state.open = Some(open),
            None => states.push(FollowState {
                container_id,
                files: Vec::new(),
                open: Some(open),
            }),
        }
    }
    let scanned_ms = conn.query_row("SELECT scanned_ms FROM ring", [], |row| row.get(0))?;
    Ok(Remembered { states, scanned_ms })
}

/// Saves what changed. Part of the transaction that stores the entries.
pub(super) fn save(
    conn: &Connection,
    states: &[FollowState],
    gone: &[String],
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut forget = conn.prepare_cached("DELETE FROM cursors WHERE container_id = ?1")?;
    let mut close = conn.prepare_cached("DELETE FROM open_entries WHERE container_id = ?1")?;
    for id in gone
        .iter()
        .chain(states.iter().map(|state| &state.container_id))
    {
        forget.execute([id])?;
        close.execute([id])?;
    }
    let mut add = conn.prepare_cached(
        "INSERT INTO cursors(container_id, file_path, device, inode, head, position, read_whole, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut open =
        conn.prepare_cached("INSERT INTO open_entries(container_id, state) VALUES (?1, ?2)")?;
    for state in states {
        for (path, cursor) in &state.files {
            add.execute(params![
                state.container_id,
                path,
                cursor.file.device as i64,
                cursor.file.inode as i64,
                cursor.head,
                cursor.position as i64,
                cursor.read_whole.map(|size| size as i64),
                now_ms
            ])?;
        }
        if let Some(text) = &state.open {
            open.execute([&state.container_id, text])?;
        }
    }
    Ok(())
}
