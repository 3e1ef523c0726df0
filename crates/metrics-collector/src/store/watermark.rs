//! How far upkeep has come.

use rusqlite::{Connection, OptionalExtension as _};

/// One of the stored marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watermark {
    /// Minutes before it have no blocks: late points are merged into their rows.
    RawFloor,
    /// Hours before it have no minute rows. At a full hour, never above the raw floor.
    MinuteFloor,
    /// Days before it have no hour rows. At midnight, never above the minute floor.
    HourFloor,
    /// The newest minute closed by the rollup.
    LastRolled,
}

impl Watermark {
    const fn key(self) -> &'static str {
        match self {
            Self::RawFloor => "raw_floor",
            Self::MinuteFloor => "minute_floor",
            Self::HourFloor => "hour_floor",
            Self::LastRolled => "last_rolled",
        }
    }

    /// Where it stands; `None` when it was never set.
    pub(crate) fn read(self, conn: &Connection) -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached("SELECT at FROM watermark WHERE key = ?1")?
            .query_row([self.key()], |row| row.get(0))
            .optional()
    }

    /// Where it stands, or before all times.
    pub(crate) fn read_floor(self, conn: &Connection) -> rusqlite::Result<i64> {
        Ok(self.read(conn)?.unwrap_or(i64::MIN))
    }

    /// Moves it forward; never back.
    pub(crate) fn raise(self, conn: &Connection, at: i64) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "INSERT INTO watermark (key, at) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET at = max(at, excluded.at)",
        )?
        .execute((self.key(), at))?;
        Ok(())
    }
}
