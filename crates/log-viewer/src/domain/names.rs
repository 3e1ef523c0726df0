//! Which containers are followed: the `CONTAINERS` setting.

/// A list of names and globs. `*` stands for any run of characters; `!` in front excludes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    include: Vec<String>,
    exclude: Vec<String>,
}

impl NameFilter {
    /// Takes the items of the setting; blanks around them and empty ones do not matter.
    pub fn new<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        let mut filter = Self::default();
        for text in items {
            match item(text.as_ref()) {
                None => {}
                Some((true, pattern)) => filter.exclude.push(pattern.to_owned()),
                Some((false, pattern)) => filter.include.push(pattern.to_owned()),
            }
        }
        filter
    }

    /// Whether a container of this name is wanted. Without a name or glob to include, all are.
    pub fn wants(&self, name: &str) -> bool {
        let include = self.include.iter().map(|pattern| (false, pattern.as_str()));
        let exclude = self.exclude.iter().map(|pattern| (true, pattern.as_str()));
        wanted(include.chain(exclude), name)
    }

    /// Whether the name itself is listed, not merely covered by a glob.
    pub fn names(&self, name: &str) -> bool {
        self.include.iter().any(|pattern| pattern == name)
    }
}

/// What [`NameFilter::wants`] says of a list whose items are separated by commas, without making one: live tails and rules
/// ask it of every entry.
pub fn is_listed(list: &str, name: &str) -> bool {
    wanted(list.split(',').filter_map(item), name)
}

/// Whether an item excludes, and its pattern; `None` when it says nothing.
fn item(text: &str) -> Option<(bool, &str)> {
    let text = text.trim();
    let (excludes, pattern) = match text.strip_prefix('!') {
        Some(pattern) => (true, pattern.trim()),
        None => (false, text),
    };
    (!pattern.is_empty()).then_some((excludes, pattern))
}

fn wanted<'i>(items: impl Iterator<Item = (bool, &'i str)>, name: &str) -> bool {
    let (mut takes_all, mut is_included) = (true, false);
    for (excludes, pattern) in items {
        let fits = matches(pattern, name);
        if excludes && fits {
            return false;
        }
        takes_all &= excludes;
        is_included |= fits;
    }
    takes_all || is_included
}

/// Whether the whole of `name` fits `pattern`. Case-sensitive.
///
/// Greedy with one point of return: the classic linear-space wildcard match, in O(n·m) at worst.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, n));
            p += 1;
        } else if pattern.get(p) == name.get(n) {
            p += 1;
            n += 1;
        } else if let Some((after_star, from)) = retry {
            p = after_star;
            n = from + 1;
            retry = Some((after_star, n));
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(setting: &str, wanted: &[&str], unwanted: &[&str]) {
        let filter = NameFilter::new(setting.split(','));
        for name in wanted {
            assert!(filter.wants(name), "{setting:?} should take {name:?}");
            assert!(is_listed(setting, name), "{setting:?} should list {name:?}");
        }
        for name in unwanted {
            assert!(!filter.wants(name), "{setting:?} should not take {name:?}");
            assert!(
                !is_listed(setting, name),
                "{setting:?} should not list {name:?}"
            );
        }
    }

    #[test]
    fn names_globs_and_exclusions() {
        check("", &["web", ""], &[]);
        check(" web , api ,,", &["web", "api"], &["webhook", "Web"]);
        check("*", &["web", ""], &[]);
        check("*_web", &["a_web", "_web"], &["a_web2", "web"]);
        check("*app*", &["myapp_web", "app"], &["ap"]);
        check("a*b*c", &["abc", "axxbxbxc"], &["abx", "ac"]);
        check("!db", &["web"], &["db"]);
        check("app*, !*_test", &["app", "app_web"], &["app_test", "web"]);
        check("w?b", &["w?b"], &["web"]);
    }

    #[test]
    fn only_a_written_name_counts_as_named() {
        let filter = NameFilter::new(["log-viewer", "web*"]);
        assert!(filter.names("log-viewer"));
        assert!(!filter.names("web"));
    }
}
