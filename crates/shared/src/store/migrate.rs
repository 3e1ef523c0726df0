//! Numbered migrations, each in a transaction of its own.
//!
//! `_meta(key, value)` holds `schema_version`. The original's files carry 1 to 6 there, so ours start at
//! [`FIRST_VERSION`] and a file of the original can be told apart.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::error::OpenError;
use super::open;
use super::takeover::TakeOver;

/// The version of a service's first migration.
pub const FIRST_VERSION: u32 = 100;

/// One step of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number; a service's first is [`FIRST_VERSION`], each later one has a higher number.
    pub version: u32,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

/// What a service's database looks like, and how one comes to look like that.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its steps, in order.
    pub migrations: &'static [Migration],
    /// How a file of the original is taken over; `None`: it is refused.
    pub take_over: Option<TakeOver>,
}

impl From<&'static [Migration]> for Schema {
    /// One that refuses files of the original.
    fn from(migrations: &'static [Migration]) -> Self {
        Self {
            migrations,
            take_over: None,
        }
    }
}

impl<const STEPS: usize> From<&'static [Migration; STEPS]> for Schema {
    fn from(migrations: &'static [Migration; STEPS]) -> Self {
        Self::from(migrations.as_slice())
    }
}

/// The version a database is at; 0 for a new one.
pub fn schema_version(conn: &Connection) -> rusqlite::Result<u32> {
    let known: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_meta')",
        [],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(0);
    }
    let text: Option<String> = conn
        .query_row(
            "SELECT CAST(value AS TEXT) FROM _meta WHERE key = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(text.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// Refuses a database that is neither ours nor one that can be taken over, or newer than `schema`; answers its version.
/// Changes nothing.
pub(super) fn check(conn: &Connection, path: &Path, schema: &Schema) -> Result<u32, OpenError> {
    let sqlite = |fault| open::classify(path, fault);
    let found = schema_version(conn).map_err(sqlite)?;
    let known = schema
        .migrations
        .last()
        .map_or(0, |migration| migration.version);
    if found > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    if (1..FIRST_VERSION).contains(&found) {
        if let Some(how) = schema.take_over
            && let Some(owner) = how.other_owner(conn).map_err(sqlite)?
        {
            let path = path.to_owned();
            return Err(OpenError::OriginalOfOther { path, owner });
        }
        let path = path.to_owned();
        return match schema.take_over {
            None => Err(OpenError::Original { path, found }),
            Some(how) if how.reads(found) => Ok(found),
            Some(how) => Err(OpenError::OtherOriginal {
                path,
                found,
                oldest: how.oldest,
                newest: how.newest,
            }),
        };
    }
    if found == 0 && has_tables(conn).map_err(sqlite)? {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    Ok(found)
}

/// Applies what is missing.
pub(super) fn migrate(
    conn: &mut Connection,
    path: &Path,
    schema: &Schema,
) -> Result<(), OpenError> {
    let found = check(conn, path, schema)?;
    for migration in schema
        .migrations
        .iter()
        .filter(|migration| migration.version > found)
    {
        apply_alone(conn, migration).map_err(|source| OpenError::Migration {
            path: path.to_owned(),
            version: migration.version,
            source,
        })?;
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "database schema updated"
        );
    }
    Ok(())
}

fn has_tables(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%')", [], |row| row.get(0))
}

fn apply_alone(conn: &mut Connection, migration: &Migration) -> rusqlite::Result<()> {
    let step = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    apply(&step, migration)?;
    step.commit()
}

/// Applies a step inside the transaction that is open.
pub(super) fn apply(conn: &Connection, migration: &Migration) -> rusqlite::Result<()> {
    conn.execute_batch("CREATE TABLE IF NOT EXISTS _meta (key TEXT PRIMARY KEY, value TEXT);")?;
    conn.execute_batch(migration.sql)?;
    conn.execute(
        "INSERT OR REPLACE INTO _meta (key, value) VALUES ('schema_version', ?1)",
        [migration.version.to_string()],
    )?;
    Ok(())
}
