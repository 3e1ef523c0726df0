//! What `http_requests_total` and `http_request_duration_seconds` say: how many requests, how many of them failed, how
//! long they took, and which endpoints that was.
//!
//! The counter tells how many there were; where it is not sent, the measured ones are counted. A request failed when its
//! label `status` begins with 5.

use std::collections::{BTreeMap, HashMap};

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::dashboard::Scope;
use super::ids::IdMap;
use super::plan::{Piece, plan};
use super::rows::Sketches;
use super::scan::{self, Group, Minutes, Selection, failed_over_time, scan_with};
use super::series;
use crate::domain::labels;
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Rollup, Total, add_to};

const REQUESTS: &str = "http_requests_total";
const DURATIONS: &str = "http_request_duration_seconds";
/// Endpoints of each list.
const LISTED: usize = 10;
/// Endpoints whose durations are held at once, before it is known which of them are listed.
const DURATIONS_HELD: usize = 100;

/// Requests of a stretch of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) requests: f64,
    pub(crate) errors: f64,
    /// Seconds that they took.
    pub(crate) latency: Option<Rollup>,
}

impl Sums {
    fn is_empty(&self) -> bool {
        self.requests == 0.0 && self.latency.is_none()
    }

    fn unless_empty(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }
}

/// Adds up, at most to the largest double.
fn add(sum: &mut f64, part: f64) {
    *sum = (*sum + part).clamp(f64::MIN, f64::MAX);
}

/// Requests of a method and route.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) now: Sums,
    pub(crate) before: Option<Sums>,
}

/// All figures about requests.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) now: Sums,
    /// As long a time before; `None` when nothing was counted then.
    pub(crate) before: Option<Sums>,
    pub(crate) over_time: Vec<(i64, Sums)>,
    /// How many endpoints there are.
    pub(crate) endpoints: usize,
    /// Those that took the most time.
    pub(crate) slowest: Vec<Endpoint>,
    /// Those that failed most often.
    pub(crate) failing: Vec<Endpoint>,
}

/// The series of both metrics. A group is twice the endpoint, plus one for requests that failed.
struct Found {
    endpoints: Vec<(String, String)>,
    counted: Source,
    measured: Source,
}

/// A metric's names, and the group of each of its series.
#[derive(Default)]
struct Source {
    names: Vec<i64>,
    groups: IdMap<Group>,
}

impl Source {
    fn find(
        conn: &Connection,
        project: Option<&str>,
        (metric, kind): (&str, MetricType),
        places: &mut HashMap<(String, String), usize>,
    ) -> rusqlite::Result<Self> {
        let mut found = Self::default();
        for name in series::names_of(conn, metric, project)? {
            if name.kind != kind {
                continue;
            }
            found.names.push(name.id);
            for (id, text) in series::of_name(conn, name.id, None)? {
                let (mut method, mut endpoint) = (String::new(), String::new());
                let mut failed = false;
                for (label, value) in labels::pairs(&text) {
                    match label.as_str() {
                        "method" => method = value,
                        "endpoint" => endpoint = value,
                        "status" => failed = value.starts_with('5'),
                        _ => {}
                    }
                }
                let next = places.len();
                let place = *places.entry((method, endpoint)).or_insert(next);
                found
                    .groups
                    .insert(id, (place * 2 + usize::from(failed)) as Group);
            }
        }
        Ok(found)
    }

    /// Its series, with other numbers for their groups; those that get none are left out.
    fn selection(&self, group: impl Fn(Group) -> Option<Group>) -> Selection {
        let groups = self.groups.iter();
        Selection::Series {
            names: self.names.clone(),
            groups: groups
                .filter_map(|(&id, &known)| Some((id, group(known)?)))
                .collect(),
        }
    }

    /// Its series of requests that failed.
    fn failed(&self) -> IdMap<Group> {
        let groups = self.groups.iter();
        groups
            .filter(|&(_, &group)| group % 2 == 1)
            .map(|(&id, _)| (id, 1))
            .collect()
    }

    /// What its series have in minutes that are not rolled up.
    fn minutes(&self, sketches: Sketches) -> Minutes {
        Minutes::of(self.groups.keys().copied(), sketches)
    }

    /// Everything of it, from the rows that hold the series of a name together.
    fn totals(&self) -> Selection {
        Selection::Totals(self.names.iter().map(|&name| (name, 0)).collect())
    }
}

impl Found {
    fn find(conn: &Connection, project: Option<&str>) -> rusqlite::Result<Self> {
        let mut places = HashMap::new();
        let mut find = |metric| Source::find(conn, project, metric, &mut places);
        let counted = find((REQUESTS, MetricType::Counter))?;
        let measured = find((DURATIONS, MetricType::Histogram))?;
        let mut endpoints = vec![(String::new(), String::new()); places.len()];
        for (endpoint, place) in places {
            endpoints[place] = endpoint;
        }
        Ok(Self {
            endpoints,
            counted,
            measured,
        })
    }
}

/// The figures of the period and of the one before; `None` when nothing was counted in the period.
pub(crate) fn read(conn: &Connection, scope: &Scope) -> Result<Option<Requests>, StoreError> {
    let found = Found::find(conn, scope.project.as_deref())?;
    if found.endpoints.is_empty() {
        return Ok(None);
    }
    let to = scope.end();
    let length = scope.now_ms - scope.from_ms;
    let periods = [
        plan(conn, scope.from_ms, to, Resolution::Day)?,
        plan(
            conn,
            scope.from_ms.saturating_sub(length),
            scope.from_ms,
            Resolution::Day,
        )?,
    ];
    let mut open = Open {
        counted: found.counted.minutes(Sketches::Never),
        measured: found.measured.minutes(Sketches::Always),
    };
    let Some(now) = Period::read(conn, &found, &periods[0], &mut open)? else {
        return Ok(None);
    };
    let before = Period::read(conn, &found, &periods[1], &mut open)?;
    let slowest = now.top(&found, |one| one.seconds);
    let failing = now.top(&found, |one| one.errors);
    let mut shown = slowest.clone();
    shown.extend(failing.iter().filter(|place| !slowest.contains(place)));
    let mut latencies = |period: Option<&Period>, pieces: &[Piece]| match period {
        None => Ok(Vec::new()),
        Some(Period {
            durations: Some(known),
            ..
        }) => Ok(shown.iter().map(|&at| known.get(at)?.clone()).collect()),
        Some(_) => latencies(conn, &found, pieces, &shown, &mut open),
    };
    let latency_now = latencies(Some(&now), &periods[0])?;
    let latency_before = latencies(before.as_ref(), &periods[1])?;
    let endpoint = |place: &usize| {
        let at = shown.iter().position(|one| one == place)?;
        let (method, route) = found.endpoints.get(*place)?.clone();
        let sums = |period: &Period, latency: &[Option<Rollup>]| {
            let mut sums = period.sums(*place);
            sums.latency = latency.get(at).cloned().flatten();
            sums
        };
        Some(Endpoint {
            method,
            route,
            now: sums(&now, &latency_now),
            before: before
                .as_ref()
                .and_then(|before| sums(before, &latency_before).unless_empty()),
        })
    };
    let listed = |places: &[usize]| places.iter().filter_map(endpoint).collect();
    let mut all = |period: &Period, pieces: &[Piece]| {
        let mut sums = period.all();
        let (totals, open) = (found.measured.totals(), &mut open.measured);
        let latency = sum(conn, pieces, &totals, Sketches::Always, 1, open)?;
        sums.latency = latency.into_iter().next().flatten();
        Ok::<_, StoreError>(sums)
    };
    let all_now = all(&now, &periods[0])?;
    let all_before = before.as_ref().map(|before| all(before, &periods[1]));
    let all_before = all_before.transpose()?;
    Ok(Some(Requests {
        now: all_now,
        before: all_before,
        over_time: over_time(conn, scope, to, &found, now.by_counter, &mut open)?,
        endpoints: now.endpoints(&found),
        slowest: listed(&slowest),
        failing: listed(&failing),
    }))
}

/// What both metrics have in minutes that are not rolled up.
struct Open {
    counted: Minutes,
    measured: Minutes,
}

/// Requests of an endpoint, without how their durations were spread.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    requests: f64,
    errors: f64,
    seconds: f64,
}

/// A stretch of time by endpoint.
struct Period {
    tallies: Vec<Tally>,
    /// Whether the counter says how many there were.
    by_counter: bool,
    /// How long they took, by endpoint; `None` when that would be too many at once.
    durations: Option<Vec<Option<Rollup>>>,
}

impl Period {
    fn read(
        conn: &Connection,
        found: &Found,
        pieces: &[Piece],
        open: &mut Open,
    ) -> Result<Option<Self>, StoreError> {
        let groups = found.endpoints.len() * 2;
        let each = |source: &Source, sketches: Sketches, open: &mut Minutes| {
            let selection = source.selection(Some);
            sum(conn, pieces, &selection, sketches, groups, open)
        };
        let few = found.endpoints.len() <= DURATIONS_HELD;
        let durations = if few {
            Sketches::Always
        } else {
            Sketches::Never
        };
        let counted = each(&found.counted, Sketches::Never, &mut open.counted)?;
        let measured = each(&found.measured, durations, &mut open.measured)?;
        let by_counter = counted.iter().any(Option::is_some);
        if !by_counter && measured.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut tallies = vec![Tally::default(); found.endpoints.len()];
        for (group, (counted, measured)) in counted.iter().zip(&measured).enumerate() {
            let requests = match (by_counter, counted, measured) {
                (true, Some(counted), _) => counted.sum,
                (false, _, Some(measured)) => measured.count as f64,
                _ => 0.0,
            };
            let tally = &mut tallies[group / 2];
            add(&mut tally.requests, requests);
            if group % 2 == 1 {
                add(&mut tally.errors, requests);
            }
            let seconds = measured.as_ref().map_or(0.0, |measured| measured.sum);
            add(&mut tally.seconds, seconds);
        }
        let by_endpoint = |groups: &[Option<Rollup>]| {
            let mut both = None;
            for one in groups.iter().flatten() {
                add_to(&mut both, one);
            }
            both
        };
        Ok(Some(Self {
            tallies,
            by_counter,
            durations: few.then(|| measured.chunks(2).map(by_endpoint).collect()),
        }))
    }

    fn sums(&self, place: usize) -> Sums {
        let Tally {
            requests, errors, ..
        } = self.tallies.get(place).copied().unwrap_or_default();
        Sums {
            requests,
            errors,
            latency: None,
        }
    }

    fn all(&self) -> Sums {
        let mut all = Sums::default();
        for tally in &self.tallies {
            add(&mut all.requests, tally.requests);
            add(&mut all.errors, tally.errors);
        }
        all
    }

    /// Endpoints with requests.
    fn endpoints(&self, found: &Found) -> usize {
        let named = self.tallies.iter().zip(&found.endpoints);
        named
            .filter(|(tally, (_, endpoint))| {
                !endpoint.is_empty() && (tally.requests > 0.0 || tally.seconds > 0.0)
            })
            .count()
    }

    /// The endpoints with the most of something, the greatest first; equal ones by name.
    fn top(&self, found: &Found, of: impl Fn(&Tally) -> f64) -> Vec<usize> {
        let figure = |place: usize| self.tallies.get(place).map_or(0.0, &of);
        let name = |place: usize| found.endpoints.get(place);
        let mut places: Vec<usize> = (0..self.tallies.len())
            .filter(|&place| {
                figure(place) > 0.0 && name(place).is_some_and(|(_, endpoint)| !endpoint.is_empty())
            })
            .collect();
        places.sort_by(|&a, &b| {
            figure(b)
                .total_cmp(&figure(a))
                .then_with(|| name(a).cmp(&name(b)))
        });
        places.truncate(LISTED);
        places
    }
}

/// The durations of some endpoints, in their order.
fn latencies(
    conn: &Connection,
    found: &Found,
    pieces: &[Piece],
    shown: &[usize],
    open: &mut Open,
) -> Result<Vec<Option<Rollup>>, StoreError> {
    let selection = found.measured.selection(|group| {
        let place = shown.iter().position(|&one| one == group as usize / 2)?;
        Group::try_from(place).ok()
    });
    let open = &mut open.measured;
    sum(
        conn,
        pieces,
        &selection,
        Sketches::Always,
        shown.len(),
        open,
    )
}

/// What a selection has over all pieces, by group.
fn sum(
    conn: &Connection,
    pieces: &[Piece],
    selection: &Selection,
    sketches: Sketches,
    groups: usize,
    open: &mut Minutes,
) -> Result<Vec<Option<Rollup>>, StoreError> {
    let mut sums: Vec<Option<Total>> = vec![None; groups];
    let add = |_, group: Group, found: scan::Found<'_>| match sums.get_mut(group as usize) {
        Some(sum) => found.add_to(sum),
        None => Ok(()),
    };
    scan::find(conn, pieces, selection, sketches, Some(open), add)?;
    Ok(sums.into_iter().map(|sum| sum.map(Total::finish)).collect())
}

/// Requests by bucket.
fn over_time(
    conn: &Connection,
    scope: &Scope,
    to: i64,
    found: &Found,
    by_counter: bool,
    open: &mut Open,
) -> Result<Vec<(i64, Sums)>, StoreError> {
    let pieces = plan(conn, scope.from_ms, to, scope.resolution)?;
    let mut buckets: BTreeMap<i64, Sums> = BTreeMap::new();
    let (source, minutes) = if by_counter {
        (&found.counted, &mut open.counted)
    } else {
        (&found.measured, &mut open.measured)
    };
    let mut count = |at, count, sum, is_error| {
        let requests = if by_counter { sum } else { count };
        let bucket = buckets.entry(scope.resolution.bucket_of(at)).or_default();
        if is_error {
            add(&mut bucket.errors, requests);
        } else {
            add(&mut bucket.requests, requests);
        }
    };
    let all = |at, _, rollup: &Rollup| count(at, rollup.count as f64, rollup.sum, false);
    let (totals, never) = (source.totals(), Sketches::Never);
    scan_with(conn, &pieces, &totals, never, Some(minutes), all)?;
    let series = (source.names.as_slice(), source.failed());
    failed_over_time(conn, &pieces, series, minutes, |at, points, sum| {
        count(at, points, sum, true);
    })?;
    let (totals, minutes) = (found.measured.totals(), &mut open.measured);
    let always = Sketches::Always;
    scan_with(
        conn,
        &pieces,
        &totals,
        always,
        Some(minutes),
        |at, _, rollup| {
            let bucket = buckets.entry(scope.resolution.bucket_of(at)).or_default();
            add_to(&mut bucket.latency, rollup);
        },
    )?;
    Ok(buckets.into_iter().collect())
}
