//! Many alerts in one message: counting them with bounded memory, and the words.

use std::collections::{HashMap, HashSet};

use monlight_shared::clock::iso_seconds;
use monlight_shared::notify::{Message, Tone, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{AlertKind, GroupId, link, name_of};

/// Groups that a digest names, those with the most reports.
pub const NAMED_GROUPS: usize = 20;
/// Projects that a digest names.
const NAMED_PROJECTS: usize = 10;
/// Projects that are counted one by one; there may be as many as there are reports.
const COUNTED_PROJECTS: usize = 10_000;
/// Groups that came back and are told apart; further ones each count as another group.
const COUNTED_REOPENED: usize = 10_000;

/// What a digest knows, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// All alerts in it.
    pub alerts: i64,
    /// Different groups.
    pub groups: i64,
    /// Alerts about new groups.
    pub new: i64,
    /// Alerts about groups that came back.
    pub reopened: i64,
    /// Reports of all these groups when the digest was made.
    pub reports: i64,
    /// Groups that were deleted before.
    pub deleted: i64,
    /// The projects with the most groups: name and groups.
    pub projects: Vec<(String, i64)>,
    /// Further projects.
    pub more_projects: i64,
    /// The groups with the most reports.
    pub top: Vec<i64>,
}

/// A group that an alert is about, if it is still there.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// The number of its project.
    pub project: i64,
    /// Its reports.
    pub reports: i64,
}

/// Counts alerts in the order of their numbers.
#[derive(Debug, Default)]
pub struct Counter {
    digest: Digest,
    /// Groups are numbered as they are made, so one at or above the first new one is new itself.
    first_new: Option<i64>,
    reopened: HashSet<i64>,
    projects: HashMap<i64, i64>,
    uncounted: bool,
    /// Reports and number, the most reports first.
    top: Vec<(i64, i64)>,
}

impl Counter {
    /// One more alert about a group.
    pub fn add(&mut self, kind: AlertKind, group: i64, counted: Option<Counted>) {
        self.digest.alerts += 1;
        let another = match kind {
            AlertKind::New => {
                self.digest.new += 1;
                self.first_new.get_or_insert(group);
                true
            }
            AlertKind::Reopened => {
                self.digest.reopened += 1;
                self.first_new.is_none_or(|first| group < first) && self.is_another(group)
            }
        };
        if !another {
            return;
        }
        self.digest.groups += 1;
        let Some(Counted { project, reports }) = counted else {
            self.digest.deleted += 1;
            return;
        };
        self.digest.reports += reports;
        if self.projects.len() < COUNTED_PROJECTS || self.projects.contains_key(&project) {
            *self.projects.entry(project).or_default() += 1;
        } else {
            self.uncounted = true;
        }
        let place = self.top.partition_point(|(known, _)| *known >= reports);
        if place < NAMED_GROUPS {
            self.top.insert(place, (reports, group));
            self.top.truncate(NAMED_GROUPS);
        }
    }

    fn is_another(&mut self, group: i64) -> bool {
        if self.reopened.len() < COUNTED_REOPENED {
            self.reopened.insert(group)
        } else {
            !self.reopened.contains(&group)
        }
    }

    /// The numbers of the projects that will be named.
    pub fn named_projects(&self) -> Vec<i64> {
        let mut projects: Vec<(i64, i64)> = self
            .projects
            .iter()
            .map(|(project, groups)| (-groups, *project))
            .collect();
        projects.sort_unstable();
        projects.truncate(NAMED_PROJECTS);
        projects.into_iter().map(|(_, project)| project).collect()
    }

    /// The digest, given the names of [`Counter::named_projects`].
    pub fn finish(self, names: &HashMap<i64, String>) -> Digest {
        let named = self.named_projects();
        let projects = named.iter().filter_map(|project| {
            let groups = self.projects.get(project)?;
            Some((names.get(project)?.clone(), *groups))
        });
        Digest {
            projects: projects.collect(),
            more_projects: self.projects.len() as i64 - named.len() as i64
                + i64::from(self.uncounted),
            top: self.top.iter().map(|(_, group)| *group).collect(),
            ..self.digest
        }
    }
}

/// A group that a digest names, as it is now.
#[derive(Clone, Debug)]
pub struct NamedGroup {
    /// Its number.
    pub id: GroupId,
    /// Its project.
    pub project: String,
    /// As first reported.
    pub exception_type: String,
    /// As first reported.
    pub message: String,
    /// Reports by now.
    pub count: i64,
}

/// The message of a digest. `named`: those of [`Digest::top`] that are still there.
pub fn message(
    base_url: &str,
    id: &str,
    time_ms: i64,
    digest: &Digest,
    named: &[NamedGroup],
) -> Message {
    let (alerts, groups) = (digest.alerts, digest.groups);
    let title = format!(
        "[error-tracker] and {alerts} more in {groups} {}",
        if groups == 1 { "group" } else { "groups" }
    );
    let mut message = Message::new(id, "digest", Tone::Alarm, time_ms)
        .title(&title)
        .headline(&format!("{alerts} more errors within a short time"))
        .lead(&told(digest))
        .link(format!("{base_url}/"))
        .fact("New", &digest.new.to_string())
        .fact("Came back", &digest.reopened.to_string())
        .fact("Reports", &digest.reports.to_string())
        .fact("Projects", &projects(digest))
        .fact("Made at", &iso_seconds(time_ms));
    for group in named {
        let behind = format!("#{}, {} reports", group.id.get(), group.count);
        let line = name_of(
            &group.project,
            &group.exception_type,
            &group.message,
            &behind,
        );
        message = message.item(&line, Some(link(base_url, group.id)));
    }
    message.value("digest", for_programs(base_url, digest, named))
}

fn told(digest: &Digest) -> String {
    let gone = match digest.deleted {
        0 => String::new(),
        deleted => format!(" Of these groups {deleted} were deleted meanwhile."),
    };
    let list = if digest.top.is_empty() {
        ""
    } else {
        " The groups with the most reports:"
    };
    format!(
        "More alerts came within an hour than are sent one by one (ALERTS_PER_HOUR). This message stands for {} of them, \
         in {} groups.{gone}{list}",
        digest.alerts, digest.groups
    )
}

fn projects(digest: &Digest) -> String {
    let named = digest.projects.iter().map(|(name, groups)| {
        let name = text::one_line(name, 40);
        format!("{name} ({groups})")
    });
    let mut all: Vec<String> = named.collect();
    if digest.more_projects > 0 {
        all.push(format!("{} more", digest.more_projects));
    }
    all.join(", ")
}

fn for_programs(base_url: &str, digest: &Digest, named: &[NamedGroup]) -> Value {
    let projects = digest.projects.iter();
    let projects: Vec<Value> = projects
        .map(|(project, groups)| json!({"project": project, "groups": groups}))
        .collect();
    let top = named.iter().map(|group| {
        json!({
            "id": group.id.get(),
            "link": link(base_url, group.id),
            "project": group.project,
            "exception_type": group.exception_type,
            "message": text::first_chars(&group.message, 300),
            "count": group.count,
        })
    });
    json!({
        "alerts": digest.alerts,
        "groups": digest.groups,
        "new": digest.new,
        "reopened": digest.reopened,
        "reports": digest.reports,
        "deleted": digest.deleted,
        "projects": projects,
        "more_projects": digest.more_projects,
        "top": top.collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertKind::{New, Reopened};

    fn counted(project: i64, reports: i64) -> Counted {
        Counted { project, reports }
    }

    fn names(count: i64) -> HashMap<i64, String> {
        (0..count).map(|n| (n, format!("p{n}"))).collect()
    }

    #[test]
    fn alerts_are_counted_by_group_and_project() {
        let mut counter = Counter::default();
        counter.add(Reopened, 3, Some(counted(0, 50)));
        counter.add(Reopened, 3, Some(counted(0, 50)));
        counter.add(New, 10, Some(counted(0, 7)));
        counter.add(New, 11, None);
        counter.add(New, 12, Some(counted(1, 1)));
        // Made, resolved and back within the storm.
        counter.add(Reopened, 10, Some(counted(0, 7)));
        assert_eq!(
            counter.finish(&names(2)),
            Digest {
                alerts: 6,
                groups: 4,
                new: 3,
                reopened: 3,
                reports: 58,
                deleted: 1,
                projects: vec![("p0".to_owned(), 2), ("p1".to_owned(), 1)],
                more_projects: 0,
                top: vec![3, 10, 12],
            }
        );
    }

    #[test]
    fn a_storm_takes_little_memory_and_loses_no_alert() {
        let mut counter = Counter::default();
        for n in 0..100_000 {
            counter.add(Reopened, n, Some(counted(n, n)));
        }
        assert!(
            counter.projects.len() <= COUNTED_PROJECTS
                && counter.reopened.len() <= COUNTED_REOPENED
        );
        let digest = counter.finish(&names(20));
        assert_eq!((digest.alerts, digest.groups), (100_000, 100_000));
        assert_eq!(digest.top.len(), NAMED_GROUPS);
        assert_eq!(digest.top[0], 99_999);
        assert_eq!(digest.projects.len(), NAMED_PROJECTS);
        assert_eq!(digest.more_projects, COUNTED_PROJECTS as i64 - 10 + 1);
    }

    #[test]
    fn the_words_of_a_digest() {
        let digest = Digest {
            alerts: 412,
            groups: 17,
            new: 10,
            reopened: 402,
            reports: 9_000,
            deleted: 1,
            projects: vec![("shop\r\n".to_owned(), 16)],
            more_projects: 2,
            top: vec![7],
        };
        let group = NamedGroup {
            id: GroupId::from_stored(7),
            project: "shop".to_owned(),
            exception_type: "E".to_owned(),
            message: "a\nb".to_owned(),
            count: 80,
        };
        let message = message("https://m.example", "i.1.2", 0, &digest, &[group]);
        assert_eq!(message.title, "[error-tracker] and 412 more in 17 groups");
        assert!(
            message
                .lead
                .contains("Of these groups 1 were deleted meanwhile.")
        );
        assert_eq!(message.items[0].text, "[shop] E: a b (#7, 80 reports)");
        assert_eq!(
            message.items[0].link.as_deref(),
            Some("https://m.example/errors/7")
        );
        let projects = message.facts.iter().find(|fact| fact.name == "Projects");
        assert_eq!(
            projects.map(|fact| fact.value.as_str()),
            Some("shop (16), 2 more")
        );
        assert_eq!(message.document["digest"]["groups"], 17);
        let stored = serde_json::to_string(&digest).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Digest>(&stored).expect("a digest"),
            digest
        );
    }
}
