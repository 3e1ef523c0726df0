//! Puts a built web UI into a service's binary. Standard library only, because every service's
//! build script includes this file by path:
//!
//! ```ignore
//! #[path = "../shared/ui/embed.rs"]
//! mod embed;
//!
//! fn main() {
//!     embed::embed("ui/dist");
//! }
//! ```
//!
//! It writes `$OUT_DIR/assets.rs`, which holds one item:
//! `pub static ASSETS: &[monlight_shared::http::assets::Asset]`, sorted by path. A file `x.gz`
//! beside a file `x` becomes the compressed form of `x` and no asset of its own.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// The pages a service may route to. One below a folder names its files by `../`.
const PAGES: [&str; 2] = ["errors/index.html", "index.html"];

/// Writes `$OUT_DIR/assets.rs` from the files below `dist`, a folder given relative to the crate.
///
/// Ends the build with one line on standard error when a release build finds no built UI, or when
/// a file cannot be read or has an ending whose content type is not known.
#[expect(clippy::print_stderr, reason = "a build script speaks to cargo")]
pub(crate) fn embed(dist: &str) {
    if let Err(fault) = generate(dist) {
        eprintln!("error: {fault}");
        process::exit(1);
    }
}

fn generate(dist: &str) -> Result<(), String> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let release = variable("PROFILE")? == "release";
    let dist = manifest.join(dist);

    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../shared/ui/embed.rs");
    // A watched path that does not exist makes cargo rebuild every time, so without `dist` its
    // nearest existing parent is watched: it changes when `dist` appears.
    let watched = dist
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(&manifest);
    println!("cargo:rerun-if-changed={}", watched.display());

    let built = dist.join("index.html").is_file();
    if !built && release {
        return Err(format!(
            "the web UI is not built ({} is missing): run `make ui` first",
            dist.join("index.html").display()
        ));
    }
    let source = if built {
        built_assets(&dist)?
    } else {
        placeholder(&out)?
    };
    write_if_changed(&out.join("assets.rs"), source.as_bytes())
}

/// The generated source for every file below `dist`.
fn built_assets(dist: &Path) -> Result<String, String> {
    let mut files = Vec::new();
    walk(dist, &mut files).map_err(|fault| format!("cannot list {}: {fault}", dist.display()))?;
    files.sort();
    let mut entries = String::new();
    for file in &files {
        if is_compressed_form(file) {
            continue;
        }
        let relative = file.strip_prefix(dist).map_err(|fault| fault.to_string())?;
        let path = relative.to_string_lossy().replace('\\', "/");
        let gzip = append_gz(file);
        entries.push_str(&entry(
            &path,
            file,
            gzip.is_file().then_some(gzip.as_path()),
        )?);
    }
    Ok(source(&entries))
}

/// The generated source for a debug build without a UI: one page that says how to build it. A
/// release build fails instead: nobody should find out in production that the pages are missing.
fn placeholder(out: &Path) -> Result<String, String> {
    let page = out.join("placeholder.html");
    let title = title(&variable("CARGO_PKG_NAME")?);
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <title>{title} · Monlight</title>\n\
         <p class=\"notice\">This binary was built without its web UI: run <code>make ui</code>, \
         then build it again.</p>\n</html>\n"
    );
    write_if_changed(&page, text.as_bytes())?;
    let entries = PAGES
        .iter()
        .map(|path| entry(path, &page, None))
        .collect::<Result<String, _>>()?;
    Ok(source(&entries))
}

/// The words of a crate's name, each with a capital: `log-viewer` is `Log Viewer`.
fn title(name: &str) -> String {
    let mut title = String::new();
    let mut start = true;
    for letter in name.chars() {
        let separator = letter == '-';
        title.push(match (separator, start) {
            (true, _) => ' ',
            (false, true) => letter.to_ascii_uppercase(),
            (false, false) => letter,
        });
        start = separator;
    }
    title
}

fn source(entries: &str) -> String {
    format!(
        "/// The files of the web UI, sorted by path.\n\
         pub static ASSETS: &[monlight_shared::http::assets::Asset] = &[\n{entries}];\n"
    )
}

fn entry(path: &str, file: &Path, gzip: Option<&Path>) -> Result<String, String> {
    let bytes =
        fs::read(file).map_err(|fault| format!("cannot read {}: {fault}", file.display()))?;
    let etag = format!("\"{:016x}\"", fnv1a(&bytes));
    let gzip = gzip.map_or_else(
        || "None".to_owned(),
        |gzip| format!("Some(include_bytes!({:?}))", gzip.display().to_string()),
    );
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "    monlight_shared::http::assets::Asset {{\n        path: {path:?},\n        \
         content_type: {:?},\n        etag: {etag:?},\n        bytes: include_bytes!({:?}),\n        \
         gzip: {gzip},\n    }},",
        content_type(path)?,
        file.display().to_string(),
    );
    Ok(text)
}

/// The content type of a file by its ending. An ending that is not listed is a fault, because the
/// pages are served with `nosniff` and a wrong type would only show in a browser.
fn content_type(path: &str) -> Result<&'static str, String> {
    let ending = Path::new(path)
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    Ok(match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => return Err(format!("no content type is known for the UI file {path}")),
    })
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo). It names a version of a file and guards nothing, so a
/// short hash that needs no dependency is enough.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn append_gz(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".gz");
    PathBuf::from(name)
}

fn is_compressed_form(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "gz") && file.with_extension("").is_file()
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|fault| format!("cannot write {}: {fault}", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo gives a build script its settings this way"
)]
fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("{name} is not set: this runs as a cargo build script"))
}
