//! Taking over a database of the original in a real process: killed at every step, without room, without rights.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use monlight_shared::testing::files::connection;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_error-tracker");
const LISTENING: &str = "listening on";
const NOBODY: u32 = 65_534;

/// The original's schema 4, with many groups of up to five reports.
const MANY: &str = "CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
    INSERT INTO _meta VALUES ('schema_version', '4');
    CREATE TABLE errors (
      id INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint VARCHAR(32) NOT NULL, project VARCHAR(100) NOT NULL,
      exception_type VARCHAR(200) NOT NULL, message TEXT NOT NULL, traceback TEXT NOT NULL,
      count INTEGER NOT NULL DEFAULT 1, first_seen DATETIME NOT NULL, last_seen DATETIME NOT NULL,
      resolved BOOLEAN NOT NULL DEFAULT 0, resolved_at DATETIME);
    CREATE TABLE error_occurrences (
      id INTEGER PRIMARY KEY AUTOINCREMENT, error_id INTEGER NOT NULL REFERENCES errors (id) ON DELETE CASCADE,
      timestamp DATETIME NOT NULL, request_url VARCHAR(500), request_method VARCHAR(10), request_headers TEXT,
      user_id VARCHAR(100), extra TEXT, traceback TEXT NOT NULL);
    CREATE INDEX idx_occurrence_error_id ON error_occurrences (error_id);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
      INSERT INTO errors SELECT i, printf('%032x', i * 7919), 'project ' || i % 7, 'Error' || i % 100, 'message ' || i,
        hex(zeroblob(150)) || i, i % 5 + 1, '2026-01-01T00:00:00Z', strftime('%Y-%m-%dT%H:%M:%SZ', 1767225600 + i, 'unixepoch'),
        i % 3 = 0, CASE WHEN i % 3 = 0 THEN '2026-11-01T00:00:00Z' END FROM n;
    INSERT INTO error_occurrences (error_id, timestamp, request_method, user_id, extra, traceback)
      SELECT errors.id, last_seen, 'GET', 'u' || value, '{\"session_id\":\"s' || errors.id % 50 || '\"}', traceback
      FROM errors, json_each('[1,2,3,4,5]') WHERE value <= count;";

/// What both the original's tables and our views of the same names must answer.
const SUMS: &str = "SELECT (SELECT count(*) || ' ' || sum(id) || ' ' || sum(count) || ' ' || sum(length(traceback)) || ' ' ||
        sum(resolved) || ' ' || max(last_seen) || ' ' || sum(unixepoch(last_seen)) || ' ' || max(fingerprint) FROM errors)
      || ' ' || (SELECT count(*) || ' ' || sum(id) || ' ' || sum(error_id) || ' ' || sum(length(extra)) FROM error_occurrences)";

fn directory() -> TempDir {
    tempfile::tempdir().expect("temp dir")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|file| file.len())
}

fn copy_with_journals(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-journal"] {
        let (from, to) = (beside(from, suffix), beside(to, suffix));
        if from.exists() {
            std::fs::copy(from, to).expect("copied");
        } else if to.exists() {
            std::fs::remove_file(to).expect("removed");
        }
    }
}

/// A file of the original as kill -9 has left it: nearly all is still in its write-ahead log.
fn original() -> (TempDir, PathBuf) {
    let dir = directory();
    let (alive, path) = (dir.path().join("alive.db"), dir.path().join("errors.db"));
    let conn = connection(&alive);
    conn.execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;")
        .expect("set");
    conn.execute_batch(MANY).expect("filled");
    copy_with_journals(&alive, &path);
    drop(conn);
    std::fs::remove_file(alive).expect("removed");
    assert!(size(&beside(&path, "-wal")) > Some(0));
    (dir, path)
}

/// The schema version and what the tables hold, read from a copy so that the file itself is left to the service.
fn state(path: &Path) -> (u32, String) {
    let dir = directory();
    let copy = dir.path().join("errors.db");
    copy_with_journals(path, &copy);
    let conn = connection(&copy);
    let text = |sql: &str| -> String { conn.query_row(sql, [], |row| row.get(0)).expect("read") };
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let version = text("SELECT value FROM _meta WHERE key = 'schema_version'");
    (version.parse().expect("a number"), text(SUMS))
}

fn command(program: &Path, database: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("API_KEY", "test-key")
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("DATABASE_PATH", database)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The test may have heard enough.
                let _ = tell.send(line);
            }
        });
        Self { child, lines }
    }

    /// What it said until it listened or ended.
    fn hear(&self) -> String {
        let mut said = String::new();
        for line in &self.lines {
            said += &line;
            said.push('\n');
            if line.contains(LISTENING) {
                break;
            }
        }
        said
    }

    #[track_caller]
    fn until_it_listens(&self) -> String {
        let said = self.hear();
        assert!(
            said.contains(LISTENING),
            "it ended before it listened:\n{said}"
        );
        said
    }

    fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("ends");
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().expect("ends")
    }
}

/// Starts the service and kills it as soon as `reached`; `false`: it was too fast.
fn killed_when(path: &Path, reached: &dyn Fn() -> bool) -> bool {
    let running = Running::start(command(Path::new(BINARY), path));
    // What the one before has left may look like it.
    let mut begun = false;
    loop {
        let now = reached();
        if begun && now {
            running.kill();
            return true;
        }
        begun |= !now;
        match running.lines.try_recv() {
            Ok(line) if line.contains(LISTENING) => break,
            Ok(_) => {}
            Err(mpsc::TryRecvError::Empty) => std::thread::yield_now(),
            Err(mpsc::TryRecvError::Disconnected) => panic!("it ended by itself"),
        }
    }
    running.kill();
    false
}

/// Whether the files look as they do at some step.
type Reached = Box<dyn Fn() -> bool>;

#[test]
fn killed_at_any_step_it_leaves_the_original_or_all_of_it_taken_over() {
    let (_template, original) = original();
    let expected = state(&original);
    assert_eq!(expected.0, 4);
    let dir = directory();
    let path = dir.path().join("errors.db");
    copy_with_journals(&original, &path);

    let grown = |suffix: &'static str, bytes: u64| {
        let file = beside(&path, suffix);
        move || size(&file) > Some(bytes)
    };
    let replacing = |bytes: u64| {
        let (aside, journal) = (grown(".taking-over", 0), grown("-journal", bytes));
        move || aside() && journal()
    };
    let steps: [(&str, Reached); 9] = [
        ("folding in", Box::new(grown("", 1 << 20))),
        ("copying", Box::new(grown(".original.unfinished", 1 << 20))),
        ("copied", Box::new(grown(".original", 0))),
        ("building", Box::new(grown(".taking-over", 0))),
        ("importing", Box::new(grown(".taking-over", 1 << 20))),
        (
            "importing the last",
            Box::new(grown(".taking-over", 8 << 20)),
        ),
        ("replacing", Box::new(replacing(0))),
        ("replacing more", Box::new(replacing(2 << 20))),
        ("replacing the last", Box::new(replacing(10 << 20))),
    ];
    for (step, reached) in &steps {
        let killed = (0..20).any(|_| {
            let killed = killed_when(&path, reached.as_ref());
            if !killed {
                for leftover in std::fs::read_dir(dir.path()).expect("readable") {
                    std::fs::remove_file(leftover.expect("an entry").path()).expect("removed");
                }
                copy_with_journals(&original, &path);
            }
            killed
        });
        assert!(killed, "never seen: {step}");
        let (version, sums) = state(&path);
        assert_eq!(sums, expected.1, "{step}: version {version}");
    }

    let running = Running::start(command(Path::new(BINARY), &path));
    running.until_it_listens();
    running.kill();
    let (version, sums) = state(&path);
    assert!(version >= 100);
    assert_eq!(sums, expected.1);
    assert_eq!(state(&beside(&path, ".original")), expected);
    for suffix in [
        ".original-2",
        ".taking-over",
        ".original.unfinished",
        "-journal",
    ] {
        assert!(!beside(&path, suffix).exists(), "{suffix} was left");
    }
}

fn recorded(path: &Path) {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/legacy.db");
    std::fs::copy(recorded, path).expect("copied");
}

#[test]
fn it_says_what_it_has_taken_over() {
    let dir = directory();
    let path = dir.path().join("errors.db");
    recorded(&path);
    let running = Running::start(command(Path::new(BINARY), &path));
    let said = running.until_it_listens();
    running.kill();
    assert!(
        said.contains("18 groups in 3 projects, 60 kept reports"),
        "{said}"
    );
    assert!(said.contains("errors.db.original"), "{said}");
    let running = Running::start(command(Path::new(BINARY), &path));
    let said = running.until_it_listens();
    running.kill();
    assert!(!said.contains("original"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_written_is_one_clear_line() {
    let dir = directory();
    let (data, program) = (dir.path().join("data"), dir.path().join("error-tracker"));
    std::fs::create_dir(&data).expect("made");
    let path = data.join("errors.db");
    recorded(&path);
    // The copy of the program is there for somebody who may not enter the directory where it was built. Another process makes
    // it: a child that a test beside this one starts would hold the file open for writing, and it could not be run.
    let copied = Command::new("cp").arg(BINARY).arg(&program).status();
    assert!(copied.expect("cp").success());
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    set(dir.path(), 0o755);
    set(&path, 0o666);
    set(&data, 0o555);
    let mut command = command(&program, &path);
    if std::fs::metadata(&data).expect("is there").uid() == 0 {
        // To root every directory is writable.
        command.uid(NOBODY).gid(NOBODY);
    }
    let running = Running::start(command);
    let said = running.hear();
    let status = running.end();
    set(&data, 0o755);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("FATAL: DATABASE_PATH"), "{said}");
    assert!(said.contains("writable directory"), "{said}");
    assert_eq!(std::fs::read_dir(&data).expect("readable").count(), 1);
    assert_eq!(state(&path).0, 4);
}

/// Starts the service with files that cannot grow beyond so many units of the shell, which are 512 or 1,024 bytes.
fn limited(path: &Path, units: u32) -> Running {
    let script = "trap '' XFSZ; ulimit -f $0; exec \"$1\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, &units.to_string(), BINARY]);
    let inner = command(Path::new(BINARY), path);
    let settings = inner
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    limited.env_clear().envs(settings);
    limited.stdout(Stdio::null()).stderr(Stdio::piped());
    Running::start(limited)
}

/// Takes the file at `path` over with more and more room, until it is enough.
#[track_caller]
fn check_room(path: &Path, step: usize, failing: &[&str]) {
    let before = state(path);
    let mut answers = Vec::new();
    for units in (0..).step_by(step) {
        let running = limited(path, units);
        let said = running.hear();
        if said.contains(LISTENING) {
            running.kill();
            break;
        }
        assert_eq!(running.end().code(), Some(1), "{said}");
        assert_eq!(state(path), before, "{said}");
        answers.push(said);
    }
    let (version, sums) = state(path);
    assert!(version >= 100);
    assert_eq!(sums, before.1);
    for step in failing {
        let failed = answers.iter().any(|said| said.contains(step));
        assert!(failed, "{step} never failed: {answers:#?}");
    }
}

#[test]
fn without_room_it_ends_and_the_file_stays_as_it_is() {
    let dir = directory();
    let path = dir.path().join("errors.db");
    recorded(&path);
    check_room(
        &path,
        50,
        &["copying it failed", "importing its rows failed"],
    );
    let (_dir, path) = original();
    check_room(&path, 16_000, &["folding in its write-ahead log failed"]);
}
