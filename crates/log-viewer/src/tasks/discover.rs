//! Which containers there are: every directory below `LOG_SOURCES` that holds a `config.v2.json` with a name.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::docker_line::parse_time;
use crate::domain::names::NameFilter;
use crate::store::ring::ContainerName;

/// What Docker writes down about a container.
const CONFIG: &str = "config.v2.json";
/// A configuration larger than this is not one.
const LARGEST_CONFIG: u64 = 4 * 1024 * 1024;

/// A container on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id: the name of its directory.
    pub id: String,
    /// Where its files are.
    pub dir: PathBuf,
    /// How it is called.
    pub name: ContainerName,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: Option<i64>,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The wanted containers, by id.
    pub containers: Vec<Container>,
    /// Directories that may become containers: no readable configuration yet.
    pub unready: Vec<PathBuf>,
    /// Those of them by id that have one and it says nothing, in order.
    pub unusable: Vec<String>,
    /// Ids of all directories, wanted or not.
    pub present: Vec<String>,
}

/// Reads the directory of containers. Remembers configurations that did not change.
#[derive(Debug)]
pub struct Discovery {
    root: PathBuf,
    wanted: NameFilter,
    /// The id of the container we run in, as far as it is known: following ourselves helps nobody.
    own_id: Option<String>,
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    modified: (i64, i64, u64),
    config: Option<Config>,
    seen: bool,
}

#[derive(Clone, Debug)]
struct Config {
    name: ContainerName,
    created_ms: Option<i64>,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Created", default)]
    created: Option<String>,
    #[serde(rename = "Config", default)]
    config: Option<ConfigSection>,
}

#[derive(Default, Deserialize)]
struct ConfigSection {
    #[serde(rename = "Labels", default)]
    labels: Option<Labels>,
}

/// The two that are used: a container may have any number of others, of any size.
#[derive(Default, Deserialize)]
struct Labels {
    #[serde(rename = "com.docker.compose.project", default)]
    project: String,
    #[serde(rename = "com.docker.compose.service", default)]
    service: String,
}

impl Discovery {
    /// Looks below `root` for containers with wanted names.
    pub fn new(root: PathBuf, wanted: NameFilter) -> Self {
        let own_id = fs::read_to_string("/etc/hostname")
            .ok()
            .map(|name| name.trim().to_owned())
            .filter(|name| name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Self {
            root,
            wanted,
            own_id,
            known: HashMap::new(),
        }
    }

    /// Looks at all directories.
    pub fn scan(&mut self) -> io::Result<Scan> {
        let mut scan = Scan::default();
        for entry in fs::read_dir(&self.root)? {
            let Ok(entry) = entry else { continue };
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let Ok(id) = entry.file_name().into_string() else {
                continue;
            };
            if !is_dir {
                continue;
            }
            match self.config(&id, &entry.path()) {
                Some(config) if self.is_wanted(&id, &config.name.name) => {
                    scan.containers.push(Container {
                        dir: entry.path(),
                        name: config.name,
                        created_ms: config.created_ms,
                        id: id.clone(),
                    });
                }
                Some(_) => {}
                None => {
                    if entry.path().join(CONFIG).exists() {
                        scan.unusable.push(id.clone());
                    }
                    scan.unready.push(entry.path());
                }
            }
            scan.present.push(id);
        }
        self.known
            .retain(|_, known| std::mem::take(&mut known.seen));
        scan.containers.sort_by(|a, b| a.id.cmp(&b.id));
        scan.unusable.sort();
        Ok(scan)
    }

    fn is_wanted(&self, id: &str, name: &str) -> bool {
        let is_self = self
            .own_id
            .as_ref()
            .is_some_and(|own| id.starts_with(own.as_str()));
        self.wanted.wants(name) && (!is_self || self.wanted.names(name))
    }

    fn config(&mut self, id: &str, dir: &Path) -> Option<Config> {
        let path = dir.join(CONFIG);
        let modified = fs::metadata(&path)
            .map(|found| (found.mtime(), found.mtime_nsec(), found.size()))
            .unwrap_or_default();
        if let Some(known) = self
            .known
            .get_mut(id)
            .filter(|known| known.modified == modified)
        {
            known.seen = true;
            return known.config.clone();
        }
        let config = read_config(&path);
        let known = Known {
            modified,
            config: config.clone(),
            seen: true,
        };
        self.known.insert(id.to_owned(), known);
        config
    }
}

/// `None` when there is no file, it is no JSON, or it has no name: Docker may be writing it right now. What is no regular
/// file is not opened: opening a FIFO waits for somebody to write, and all reading with it.
fn read_config(path: &Path) -> Option<Config> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(LARGEST_CONFIG)
        .read_to_end(&mut text)
        .ok()?;
    let config: ConfigFile = serde_json::from_slice(&text).ok()?;
    let name = config.name.strip_prefix('/').unwrap_or(&config.name);
    if name.is_empty() {
        return None;
    }
    let labels = config
        .config
        .and_then(|section| section.labels)
        .unwrap_or_default();
    Some(Config {
        name: ContainerName {
            name: name.to_owned(),
            project: labels.project,
            service: labels.service,
        },
        created_ms: config
            .created
            .as_deref()
            .and_then(parse_time)
            .map(|ns| ns / 1_000_000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, id: &str, config: &str) {
        fs::create_dir_all(dir.join(id)).expect("a directory");
        fs::write(dir.join(id).join("config.v2.json"), config).expect("written");
    }

    fn names(discovery: &mut Discovery) -> Vec<String> {
        let scan = discovery.scan().expect("readable");
        scan.containers
            .into_iter()
            .map(|container| container.name.name)
            .collect()
    }

    #[test]
    fn names_labels_and_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        put(
            root,
            "id1",
            r#"{"ID":"id1","Config":{"Labels":{"Name":"/wrong","com.docker.compose.project":"shop","com.docker.compose.service":"web"}},"Name":"/web","Created":"2025-01-20T10:00:00.5Z"}"#,
        );
        put(root, "id2", "{\n  \"Name\": \"/api\"\n}");
        put(root, "id3", "garbage");
        put(root, "id4", r#"{"Name":"/"}"#);
        fs::create_dir(root.join("id5")).expect("a directory");
        fs::write(root.join("stray.txt"), "x").expect("written");
        let mut discovery = Discovery::new(root.to_owned(), NameFilter::default());
        let scan = discovery.scan().expect("readable");
        assert_eq!(scan.present.len(), 5);
        assert_eq!(scan.unready.len(), 3);
        assert_eq!(scan.containers.len(), 2);
        let web = scan.containers.first().expect("two");
        assert_eq!(
            (
                web.name.name.as_str(),
                web.name.project.as_str(),
                web.name.service.as_str(),
                web.created_ms
            ),
            ("web", "shop", "web", Some(1_737_367_200_500))
        );
        put(root, "id3", r#"{"Name":"/late container"}"#);
        put(root, "id2", r#"{"Name":"/renamed"}"#);
        fs::remove_dir_all(root.join("id1")).expect("removed");
        assert_eq!(names(&mut discovery), ["renamed", "late container"]);
    }

    /// Opening the FIFO hung the thread that reads, and the end of the service with it.
    #[test]
    fn a_configuration_that_is_no_file_hung_ingestion() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        for id in ["fifo", "dir", "loop", "endless"] {
            fs::create_dir(root.join(id)).expect("a directory");
        }
        let config = |id: &str| root.join(id).join("config.v2.json");
        let made = std::process::Command::new("mkfifo")
            .arg(config("fifo"))
            .status();
        assert!(made.expect("mkfifo is there").success());
        fs::create_dir(config("dir")).expect("a directory");
        std::os::unix::fs::symlink("config.v2.json", config("loop")).expect("a link");
        std::os::unix::fs::symlink("/dev/zero", config("endless")).expect("a link");
        put(root, "web", r#"{"Name":"/web"}"#);
        let mut discovery = Discovery::new(root.to_owned(), NameFilter::default());
        let scan = discovery.scan().expect("readable");
        assert_eq!((scan.containers.len(), scan.unready.len()), (1, 4));
    }

    #[test]
    fn other_labels_do_not_matter_whatever_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        put(
            dir.path(),
            "id",
            r#"{"Name":"/web","Config":{"Labels":{"n":1,"com.docker.compose.service":"api","x":{"y":[]}}}}"#,
        );
        let mut discovery = Discovery::new(dir.path().to_owned(), NameFilter::default());
        let scan = discovery.scan().expect("readable");
        assert_eq!(scan.containers[0].name.service, "api");
        assert_eq!(scan.containers[0].name.project, "");
    }

    #[test]
    fn the_setting_decides_and_we_do_not_follow_ourselves() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = "0123456789ab";
        put(
            dir.path(),
            &format!("{own}cdef"),
            r#"{"Name":"/log-viewer"}"#,
        );
        put(dir.path(), "other", r#"{"Name":"/web"}"#);
        let find = |setting: &str| {
            let mut discovery =
                Discovery::new(dir.path().to_owned(), NameFilter::new(setting.split(',')));
            discovery.own_id = Some(own.to_owned());
            names(&mut discovery)
        };
        assert_eq!(find(""), ["web"]);
        assert_eq!(find("log-viewer,web"), ["log-viewer", "web"]);
        assert_eq!(find("log*"), [""; 0]);
        assert_eq!(find("!web"), [""; 0]);
    }

    #[test]
    fn a_missing_root_is_an_error() {
        let mut discovery = Discovery::new("/nonexistent/containers".into(), NameFilter::default());
        assert!(discovery.scan().is_err());
    }
}
