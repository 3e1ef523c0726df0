//! What the figures are measured against: the same machine, the same minutes, nothing but the bare mechanism.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rusqlite::{Connection, params};

/// Serves an axum route that reads the body and answers 201, in a process of its own.
pub(crate) async fn serve_empty_route() -> anyhow::Result<()> {
    let router: Router = Router::new().route(
        "/",
        post(|_body: Bytes| async { (StatusCode::CREATED, "{}") }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no fault of the yardstick.
            let _ = http
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn open(path: &Path) -> anyhow::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-2048; PRAGMA wal_autocheckpoint=4000;")?;
    Ok(conn)
}

/// Rows a second of bare inserts into one table, `batch` rows a commit.
pub(crate) fn bare_inserts(path: &Path, batch: usize, time: Duration) -> anyhow::Result<f64> {
    let mut conn = open(path)?;
    conn.execute_batch(
        "CREATE TABLE point (series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL NOT NULL)",
    )?;
    let (started, mut rows) = (Instant::now(), 0_usize);
    while started.elapsed() < time {
        let transaction = conn.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO point VALUES (?1, ?2, ?3)")?;
            for _ in 0..batch {
                insert.execute(params![
                    (rows * 7919 % 1000) as i64,
                    rows as i64,
                    rows as f64
                ])?;
                rows += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}

/// Commits a second of one 2 KB row each: what one durable answer at a time would cost.
pub(crate) fn bare_commits(path: &Path, time: Duration) -> anyhow::Result<f64> {
    let conn = open(path)?;
    conn.execute_batch("CREATE TABLE report (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")?;
    let body = "x".repeat(2000);
    let (started, mut rows) = (Instant::now(), 0_u32);
    while started.elapsed() < time {
        conn.prepare_cached("INSERT INTO report (body) VALUES (?1)")?
            .execute([&body])?;
        rows += 1;
    }
    Ok(f64::from(rows) / started.elapsed().as_secs_f64())
}

/// Lines a second of bare inserts into an FTS5 table, `batch` lines a commit.
pub(crate) fn bare_fts(
    path: &Path,
    batch: usize,
    lines: &[String],
    time: Duration,
) -> anyhow::Result<f64> {
    let mut conn = open(path)?;
    conn.execute_batch("CREATE VIRTUAL TABLE line USING fts5(message)")?;
    let (started, mut rows) = (Instant::now(), 0_usize);
    while started.elapsed() < time {
        let transaction = conn.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO line (message) VALUES (?1)")?;
            for _ in 0..batch {
                insert.execute([&lines[rows % lines.len()]])?;
                rows += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}
