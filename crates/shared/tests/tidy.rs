//! Rules of the house that a compiler does not hold: layering, file sizes, documented settings.

use std::fs;
use std::path::{Path, PathBuf};

const SERVICES: [&str; 4] = [
    "error-tracker",
    "log-viewer",
    "metrics-collector",
    "browser-relay",
];
const MOST_LINES: usize = 600;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("crates/")
        .to_owned()
}

/// All files below `dir` with one of the given endings, generated and installed ones left out.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        if path.is_dir() {
            let skipped = name.starts_with('.')
                || [
                    "node_modules",
                    "dist",
                    "build",
                    "target",
                    "__pycache__",
                    "data",
                ]
                .contains(&name.as_str());
            if !skipped {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

fn files_below(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(dir, endings, &mut found);
    found.sort();
    found
}

/// The code of a file: comments are free to mention what the code must not use.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn check_absent(dir: &Path, banned: &[&str]) {
    let sources = files_below(dir, &[".rs"]);
    assert!(!sources.is_empty(), "{} holds no code", dir.display());
    // What tests read, such as stack traces, may name anything.
    let of_tests = |source: &PathBuf| source.iter().any(|part| part == "tests");
    for source in sources.into_iter().filter(|source| !of_tests(source)) {
        let code = code(&source);
        for word in banned {
            assert!(
                !code.contains(word),
                "{} reaches for {word}",
                source.display()
            );
        }
    }
}

#[test]
fn domains_know_nobody() {
    for service in SERVICES {
        let domain = crates().join(service).join("src/domain");
        check_absent(
            &domain,
            &[
                "axum::",
                "tokio::",
                "rusqlite::",
                "reqwest::",
                "std::fs",
                "crate::http",
                "crate::store",
                "crate::tasks",
            ],
        );
    }
}

#[test]
fn stores_know_only_domains() {
    for service in SERVICES {
        let src = crates().join(service).join("src");
        let store = if src.join("store").is_dir() {
            src.join("store")
        } else {
            continue;
        };
        check_absent(&store, &["axum::", "crate::http", "crate::tasks"]);
    }
}

#[test]
fn tasks_do_not_know_http() {
    for service in SERVICES {
        let tasks = crates().join(service).join("src/tasks");
        if tasks.is_dir() {
            check_absent(&tasks, &["axum::", "crate::http::"]);
        }
    }
}

#[test]
fn files_stay_readable_in_one_go() {
    let root = crates();
    let root = root.parent().expect("the checkout");
    let mut long = Vec::new();
    for dir in ["crates", "sdks"] {
        for path in files_below(&root.join(dir), &[".rs", ".ts", ".tsx", ".py", ".mjs"]) {
            let lines = fs::read_to_string(&path).expect("readable").lines().count();
            if lines > MOST_LINES {
                long.push(format!(
                    "{} ({lines})",
                    path.strip_prefix(root).expect("inside").display()
                ));
            }
        }
    }
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:#?}");
}

#[test]
fn every_setting_is_documented() {
    let root = crates();
    let docs = fs::read_to_string(
        root.parent()
            .expect("the checkout")
            .join("docs/configuration.md"),
    )
    .expect("docs/configuration.md");
    for service in SERVICES.into_iter().chain(["shared"]) {
        for source in files_below(&root.join(service).join("src"), &[".rs"]) {
            if source.ends_with("tests.rs") {
                continue;
            }
            for name in declared(&code(&source)) {
                assert!(
                    docs.contains(&format!("`{name}`")),
                    "docs/configuration.md lacks {name}, declared in {}",
                    source.display()
                );
            }
        }
    }
}

/// Names given to `Var::required`, `Var::optional` and `Var::with_default` outside test modules.
fn declared(code: &str) -> Vec<String> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    ["Var::required(", "Var::optional(", "Var::with_default("]
        .iter()
        .flat_map(|call| code.split(call).skip(1))
        .filter_map(|rest| {
            rest.trim_start()
                .strip_prefix('"')?
                .split('"')
                .next()
                .map(str::to_owned)
        })
        .collect()
}
