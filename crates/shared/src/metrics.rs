//! What a service says about itself: counters and gauges, served at `GET /metrics` in the Prometheus text format.
//!
//! Names follow the [Prometheus naming practice](https://prometheus.io/docs/practices/naming/): base units in the name,
//! `_total` on counters. The set of series is fixed at start-up (labels are never taken from requests), so it is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number that only goes up.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

type ReadGauge = Arc<dyn Fn() -> f64 + Send + Sync>;
type ReadGauges = Arc<dyn Fn() -> Vec<(String, f64)> + Send + Sync>;

enum Value {
    Counter(Counter),
    /// A counter kept in nanoseconds and shown in seconds.
    Seconds(Counter),
    Gauge(Gauge),
    Read(ReadGauge),
    /// As many series as there are at the moment, told apart by one label.
    ReadMany(&'static str, ReadGauges),
}

struct Family {
    help: &'static str,
    kind: &'static str,
    series: Vec<(String, Value)>,
}

/// All counters and gauges of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<&'static str, Family>>>);

impl Registry {
    /// A registry that already knows the memory of the process.
    pub fn for_process() -> Self {
        let registry = Self::default();
        registry.gauge_fn(
            "process_resident_memory_bytes",
            "Resident memory of the process.",
            &[],
            || memory_from_status("VmRSS:"),
        );
        registry.gauge_fn(
            "monlight_process_peak_memory_bytes",
            "Highest resident memory since the start.",
            &[],
            || memory_from_status("VmHWM:"),
        );
        registry
    }

    /// A counter; asking again for the same name and labels gives the same one.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        self.with_series(
            name,
            help,
            "counter",
            labels,
            || Value::Counter(Counter::default()),
            |value| match value {
                Value::Counter(counter) => Some(counter.clone()),
                _ => None,
            },
        )
        .unwrap_or_default()
    }

    /// A counter that is fed nanoseconds and shown as seconds; its name ends in `_seconds_total` or `_seconds_sum`.
    pub fn seconds(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        self.with_series(
            name,
            help,
            "counter",
            labels,
            || Value::Seconds(Counter::default()),
            |value| match value {
                Value::Seconds(counter) => Some(counter.clone()),
                _ => None,
            },
        )
        .unwrap_or_default()
    }

    /// A gauge; asking again for the same name and labels gives the same one.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        self.with_series(
            name,
            help,
            "gauge",
            labels,
            || Value::Gauge(Gauge::default()),
            |value| match value {
                Value::Gauge(gauge) => Some(gauge.clone()),
                _ => None,
            },
        )
        .unwrap_or_default()
    }

    /// A gauge read when it is asked for. `read` must be quick and must not block.
    pub fn gauge_fn(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let read: ReadGauge = Arc::new(read);
        self.with_series(
            name,
            help,
            "gauge",
            labels,
            || Value::Read(read),
            |_| Some(()),
        );
    }

    /// Gauges read when they are asked for, one for each value of `label`. Whoever gives them keeps their number bounded.
    /// `read` must be quick and must not block.
    pub fn gauges_fn(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static,
    ) {
        let read: ReadGauges = Arc::new(read);
        self.with_series(
            name,
            help,
            "gauge",
            &[],
            || Value::ReadMany(label, read),
            |_| Some(()),
        );
    }

    fn with_series<T>(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &[(&'static str, &str)],
        make: impl FnOnce() -> Value,
        take: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let labels = label_text(labels);
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family {
            help,
            kind,
            series: Vec::new(),
        });
        if let Some((_, value)) = family.series.iter().find(|(known, _)| *known == labels) {
            return take(value);
        }
        let value = make();
        let taken = take(&value);
        family.series.push((labels, value));
        taken
    }

    /// The whole registry as Prometheus text.
    pub fn render(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::with_capacity(4096);
        for (name, family) in families.iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "# HELP {name} {}\n# TYPE {name} {}",
                family.help, family.kind
            );
            for (labels, value) in &family.series {
                let _ = match value {
                    Value::Counter(counter) => writeln!(out, "{name}{labels} {}", counter.get()),
                    Value::Seconds(counter) => {
                        writeln!(out, "{name}{labels} {}", counter.get() as f64 / 1e9)
                    }
                    Value::Gauge(gauge) => writeln!(out, "{name}{labels} {}", gauge.get()),
                    Value::Read(read) => writeln!(out, "{name}{labels} {}", read()),
                    Value::ReadMany(label, read) => {
                        read().iter().try_for_each(|(value, number)| {
                            let labels = label_text(&[(label, value)]);
                            writeln!(out, "{name}{labels} {number}")
                        })
                    }
                };
            }
        }
        out
    }
}

fn label_text(labels: &[(&'static str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// A `kB` line of `/proc/self/status` in bytes; NaN where the system has no such file.
fn memory_from_status(field: &str) -> f64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return f64::NAN;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| {
            rest.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<f64>()
                .ok()
        })
        .map_or(f64::NAN, |kib| kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_families_with_help_type_and_labels() {
        let registry = Registry::default();
        registry
            .counter("b_total", "Bees.", &[("kind", "a\"b")])
            .add(2);
        registry
            .counter("b_total", "Bees.", &[("kind", "a\"b")])
            .inc();
        registry.gauge("a", "Ants.", &[]).set(-4);
        registry
            .seconds("c_seconds_total", "Time.", &[])
            .add(1_500_000_000);
        assert_eq!(
            registry.render(),
            "# HELP a Ants.\n# TYPE a gauge\na -4\n\
             # HELP b_total Bees.\n# TYPE b_total counter\nb_total{kind=\"a\\\"b\"} 3\n\
             # HELP c_seconds_total Time.\n# TYPE c_seconds_total counter\nc_seconds_total 1.5\n"
        );
    }

    #[test]
    fn gauges_come_and_go() {
        let registry = Registry::default();
        let ants = Arc::new(Mutex::new(vec![("red\n".to_owned(), 1.5)]));
        let inside = Arc::clone(&ants);
        registry.gauges_fn("a", "Ants.", "kind", move || {
            inside.lock().expect("not poisoned").clone()
        });
        let head = "# HELP a Ants.\n# TYPE a gauge\n";
        assert_eq!(
            registry.render(),
            format!("{head}a{{kind=\"red\\n\"}} 1.5\n")
        );
        ants.lock().expect("not poisoned").clear();
        assert_eq!(registry.render(), head);
    }

    #[test]
    fn knows_its_own_memory() {
        let text = Registry::for_process().render();
        let rss = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
            .expect("is there");
        assert!(
            rss.parse::<f64>().expect("is a number") > 100_000.0,
            "{rss}"
        );
    }
}
