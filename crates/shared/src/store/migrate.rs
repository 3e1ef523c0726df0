//! Numbered migrations, each in a transaction of its own.
//!
//! `_meta(key, value)` holds `schema_version`. The original's files carry 1 to 6 there, so ours start at
//! [`FIRST_VERSION`] and a file of the original can be told apart.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::error::OpenError;
use super::open;

/// The version of a service's first migration.
pub const FIRST_VERSION: u32 = 100;

/// One step of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number; a service's first is [`FIRST_VERSION`], the next ones count up by one.
    pub version: u32,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
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

/// Refuses a database that is not ours or newer than `migrations`; answers its version. Changes nothing.
pub(super) fn check(
    conn: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<u32, OpenError> {
    let sqlite = |fault| open::classify(path, fault);
    let found = schema_version(conn).map_err(sqlite)?;
    let known = migrations.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    if (1..FIRST_VERSION).contains(&found) {
        return Err(OpenError::Original {
            path: path.to_owned(),
            found,
        });
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
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let found = check(conn, path, migrations)?;
    for migration in migrations
        .iter()
        .filter(|migration| migration.version > found)
    {
        apply(conn, migration).map_err(|source| OpenError::Migration {
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

fn apply(conn: &mut Connection, migration: &Migration) -> rusqlite::Result<()> {
    let step = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    step.execute_batch("CREATE TABLE IF NOT EXISTS _meta (key TEXT PRIMARY KEY, value TEXT);")?;
    step.execute_batch(migration.sql)?;
    step.execute(
        "INSERT OR REPLACE INTO _meta (key, value) VALUES ('schema_version', ?1)",
        [migration.version.to_string()],
    )?;
    step.commit()
}
