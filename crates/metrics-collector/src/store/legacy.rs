//! Takes over a database of the original service: its rollups, and its points as rollups.
//!
//! The original writes a rollup again at every run and after every restart, so a bucket may be there many times. The rows
//! of one label set and bucket are looked at together and the one with the most points counts. Where the points of a
//! minute are there as well and are not fewer, they count: they know types and projects, which the rollups mix. An hour is
//! built from its minutes as long as those are there; its own row was multiplied by every repeated one.
//!
//! Nothing is left to be rolled up but days. So the floors rise to the time of the take-over: late points are merged into
//! the rows, as their buckets cannot be built again.

mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use monlight_shared::store::{Import, StoreError, TakeOver, TakenOver};
use rusqlite::Connection;

use self::rows::{LegacyPoint, LegacyRollup, Source, Tier};
use super::coarse::{self, Coarse};
use super::ingest::{name_of_series, store_block};
use super::rows::{self as tier_rows, RowKey};
use super::series::{self, Bounds, NewSeries};
use super::watermark::Watermark;
use super::{HOUR_MS, MINUTE_MS, failed};
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Point, Rollup, merge_into};
use crate::domain::{labels, strict_json};

/// Takes over the schemas 1 to 6 of the original: the first has points only, and up to the third there are no projects.
pub(crate) const TAKE_OVER: TakeOver = TakeOver {
    table: "metrics_raw",
    oldest: 1,
    newest: 6,
    import,
};

/// What is there has its place, whatever the bounds on new series are.
const NO_BOUNDS: Bounds = Bounds {
    per_project: i64::MAX,
    per_name: i64::MAX,
};
/// Points that are held until they are summed up.
const POINTS_HELD: usize = 200_000;
/// `GET /health` counts 24 hours.
const KEEP_RECEIVED_MS: i64 = 25 * HOUR_MS;

fn import(import: &Import<'_>) -> Result<TakenOver, StoreError> {
    let source = Source::of(import.from)?;
    let mut mover = Mover::new(import, &source);
    let names = source.names()?;
    for name in &names {
        mover.take(name)?;
    }
    mover.finish(names.len(), source.nameless()?)
}

/// What was taken so far.
struct Mover<'i> {
    from: &'i Source<'i>,
    into: &'i Connection,
    now_ms: i64,
    /// Minutes from this one on get blocks.
    open_from: i64,
    points: u64,
    rollups: u64,
    repeated: u64,
    set_aside: u64,
    /// Points by minute, for the count of the last day.
    received: BTreeMap<i64, u64>,
    days: BTreeSet<i64>,
    newest_minute: Option<i64>,
    /// The newest hour that is not made of minutes.
    newest_hour_alone: Option<i64>,
}

/// A metric that is being taken.
struct Name<'n> {
    text: &'n str,
    /// Types of its points.
    kinds: BTreeSet<MetricType>,
    /// Points of each minute.
    points: HashMap<i64, u64>,
    /// Minutes whose rollups count, as they have more than that.
    from_rollups: HashSet<i64>,
    series: HashMap<(MetricType, String, String), (i64, i64)>,
    /// What was written to minutes, by hour.
    hours: BTreeMap<i64, u64>,
    /// Its numbers here, one for each type and project.
    ids: BTreeMap<i64, MetricType>,
    has_repeated: bool,
}

impl Name<'_> {
    /// The type of a rollup, which the original does not store: only histograms have percentiles.
    fn kind_of(&self, rollup: &LegacyRollup) -> MetricType {
        if rollup.figures.percentiles.is_some() {
            return MetricType::Histogram;
        }
        let mut others = self
            .kinds
            .iter()
            .filter(|kind| **kind != MetricType::Histogram);
        match (others.next(), others.next()) {
            (Some(only), None) => *only,
            _ if self.text.ends_with("_total") => MetricType::Counter,
            _ => MetricType::Gauge,
        }
    }
}

/// Rollups of a bucket by name and series.
type BySeries = BTreeMap<(i64, i64), Rollup>;

impl<'i> Mover<'i> {
    fn new(import: &Import<'i>, from: &'i Source<'i>) -> Self {
        Self {
            from,
            into: import.into,
            now_ms: import.now_ms,
            open_from: Resolution::Minute.bucket_of(import.now_ms),
            points: 0,
            rollups: 0,
            repeated: 0,
            set_aside: 0,
            received: BTreeMap::new(),
            days: BTreeSet::new(),
            newest_minute: None,
            newest_hour_alone: None,
        }
    }

    /// Takes all of a metric.
    fn take(&mut self, name: &str) -> Result<(), StoreError> {
        let mut name = Name {
            text: name,
            kinds: BTreeSet::new(),
            points: HashMap::new(),
            from_rollups: HashSet::new(),
            series: HashMap::new(),
            hours: BTreeMap::new(),
            ids: BTreeMap::new(),
            has_repeated: false,
        };
        self.from.points(name.text, self.now_ms, |point| {
            if let Ok(point) = point {
                name.kinds.insert(point.kind);
                let minute = Resolution::Minute.bucket_of(point.at_ms);
                *name.points.entry(minute).or_default() += 1;
            }
            Ok(())
        })?;
        self.minutes(&mut name)?;
        self.raw(&mut name)?;
        self.hours(&mut name)
    }

    /// Takes the minutes of which no or fewer points are there.
    fn minutes(&mut self, name: &mut Name<'_>) -> Result<(), StoreError> {
        let from = self.from;
        from.rollups(name.text, Tier::Minute, self.now_ms, |minute, rows| {
            let Some(minute) = minute.filter(|&minute| minute < self.open_from) else {
                return self.lay_aside_rollups(Tier::Minute, name.text, &rows);
            };
            let best = self.best_of(name, rows);
            if name.points.get(&minute).copied().unwrap_or(0) >= points_of(&best) {
                return Ok(());
            }
            if !name.from_rollups.insert(minute) {
                return self.lay_aside_rollups(Tier::Minute, name.text, &best);
            }
            let merged = self.merged(name, &best, minute + MINUTE_MS - 1)?;
            self.rollups += merged.len() as u64;
            self.write_minute(name, minute, merged)
        })
    }

    /// Takes the points of the other minutes.
    fn raw(&mut self, name: &mut Name<'_>) -> Result<(), StoreError> {
        let from = self.from;
        let mut held: Vec<(i64, (i64, i64), Point)> = Vec::new();
        from.points(name.text, self.now_ms, |point| {
            let point = match point {
                Ok(point) => point,
                Err(unreadable) => {
                    self.set_aside += 1;
                    return Ok(unreadable.lay_aside(self.into, name.text)?);
                }
            };
            let minute = Resolution::Minute.bucket_of(point.at_ms);
            if name.from_rollups.contains(&minute) {
                return Ok(());
            }
            let ids = self.series(name, &point)?;
            let LegacyPoint { at_ms, value, .. } = point;
            held.push((minute, ids, Point { at_ms, value }));
            if held.len() >= POINTS_HELD {
                self.write_points(name, &mut held)?;
            }
            Ok(())
        })?;
        self.write_points(name, &mut held)
    }

    /// Sums points up, or stores those of minutes that are not over.
    fn write_points(
        &mut self,
        name: &mut Name<'_>,
        held: &mut Vec<(i64, (i64, i64), Point)>,
    ) -> Result<(), StoreError> {
        held.sort_by_key(|&(minute, ids, _)| (minute, ids));
        self.points += held.len() as u64;
        for of_minute in held.chunk_by(|a, b| a.0 == b.0) {
            let minute = of_minute[0].0;
            if minute >= self.open_from {
                let open: Vec<(i64, Point)> = of_minute
                    .iter()
                    .map(|&(_, (_, series), point)| (series, point))
                    .collect();
                store_block(self.into, minute, &open)?;
                continue;
            }
            let mut merged = BySeries::new();
            for of_series in of_minute.chunk_by(|a, b| a.1 == b.1) {
                let mut points: Vec<Point> = of_series.iter().map(|&(_, _, point)| point).collect();
                if let Some(rollup) = Rollup::of(&mut points) {
                    merged.insert(of_series[0].1, rollup);
                }
            }
            self.write_minute(name, minute, merged)?;
        }
        held.clear();
        Ok(())
    }

    /// Takes the hours whose minutes are gone, and builds the others.
    fn hours(&mut self, name: &mut Name<'_>) -> Result<(), StoreError> {
        let from = self.from;
        let first = name.hours.keys().next().copied();
        let mut alone = HashSet::new();
        from.rollups(name.text, Tier::Hour, self.now_ms, |hour, rows| {
            let now = Resolution::Hour.bucket_of(self.now_ms);
            let Some(hour) = hour.filter(|&hour| hour < now) else {
                return self.lay_aside_rollups(Tier::Hour, name.text, &rows);
            };
            let best = self.best_of(name, rows);
            let of_minutes = name.hours.get(&hour).copied().unwrap_or(0);
            // The first minutes of the oldest hour may be gone already.
            let is_whole =
                first == Some(hour) && !name.has_repeated && points_of(&best) > of_minutes;
            if of_minutes > 0 && !is_whole {
                return Ok(());
            }
            if !alone.insert(hour) {
                return self.lay_aside_rollups(Tier::Hour, name.text, &best);
            }
            let merged = self.merged(name, &best, hour + HOUR_MS - 1)?;
            self.rollups += merged.len() as u64;
            self.newest_hour_alone = self.newest_hour_alone.max(Some(hour));
            self.days.insert(Resolution::Day.bucket_of(hour));
            self.write(Resolution::Hour, name, hour, merged)
        })?;
        for (&hour, _) in name.hours.iter().filter(|(hour, _)| !alone.contains(hour)) {
            for (&name_id, &kind) in &name.ids {
                build_hour(self.into, hour, (name_id, kind))?;
            }
        }
        Ok(())
    }

    /// Of each label set the row with the most points; several are the same row written again.
    fn best_of(&mut self, name: &mut Name<'_>, rows: Vec<LegacyRollup>) -> Vec<LegacyRollup> {
        let mut best: BTreeMap<(String, bool), LegacyRollup> = BTreeMap::new();
        for row in rows {
            let key = (row.labels.clone(), row.figures.percentiles.is_some());
            match best.entry(key) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(row);
                }
                std::collections::btree_map::Entry::Occupied(mut known) => {
                    self.repeated += 1;
                    name.has_repeated = true;
                    if row.figures.count >= known.get().figures.count {
                        known.insert(row);
                    }
                }
            }
        }
        best.into_values().collect()
    }

    /// The rollups of a bucket, as series. Label sets that differ only in what is no label here are added.
    fn merged(
        &mut self,
        name: &mut Name<'_>,
        rows: &[LegacyRollup],
        last_at_ms: i64,
    ) -> Result<BySeries, StoreError> {
        let mut merged: BTreeMap<(i64, i64), Option<Rollup>> = BTreeMap::new();
        for row in rows {
            let kind = name.kind_of(row);
            let ids = self.series_of(name, kind, row.project.as_deref(), &row.labels)?;
            let rollup = row.figures.rollup(last_at_ms, row.tier == Tier::Minute);
            merge_into(merged.entry(ids).or_default(), rollup);
        }
        Ok(merged
            .into_iter()
            .filter_map(|(ids, rollup)| Some((ids, rollup?)))
            .collect())
    }

    fn series(
        &mut self,
        name: &mut Name<'_>,
        point: &LegacyPoint,
    ) -> Result<(i64, i64), StoreError> {
        self.series_of(name, point.kind, point.project.as_deref(), &point.labels)
    }

    /// The numbers of a name and series, found or made.
    fn series_of(
        &mut self,
        name: &mut Name<'_>,
        kind: MetricType,
        project: Option<&str>,
        labels_text: &str,
    ) -> Result<(i64, i64), StoreError> {
        let key = (
            kind,
            project.unwrap_or_default().to_owned(),
            labels_text.to_owned(),
        );
        if let Some(&ids) = name.series.get(&key) {
            return Ok(ids);
        }
        let canonical = canonical(labels_text);
        let project = project
            .filter(|project| !project.is_empty())
            .or(canonical.relay_project.as_deref())
            .unwrap_or_default();
        let new = NewSeries {
            project: labels::project(project).into_owned(),
            name: name.text.to_owned(),
            kind,
            labels: canonical.text.clone(),
        };
        let series = series::resolve(self.into, &new, NO_BOUNDS, self.now_ms)?.id();
        let (name_id, kind) = name_of_series(self.into, series)?;
        name.ids.insert(name_id, kind);
        name.series.insert(key, (name_id, series));
        Ok((name_id, series))
    }

    fn write_minute(
        &mut self,
        name: &mut Name<'_>,
        minute: i64,
        merged: BySeries,
    ) -> Result<(), StoreError> {
        let points: u64 = merged.values().map(|rollup| rollup.count).sum();
        let hour = Resolution::Hour.bucket_of(minute);
        *name.hours.entry(hour).or_default() += points;
        if minute >= self.now_ms - KEEP_RECEIVED_MS {
            *self.received.entry(minute).or_default() += points;
        }
        self.newest_minute = self.newest_minute.max(Some(minute));
        self.days.insert(Resolution::Day.bucket_of(minute));
        self.write(Resolution::Minute, name, minute, merged)
    }

    /// Writes the rows of a bucket, and those over all series of each name.
    fn write(
        &self,
        tier: Resolution,
        name: &Name<'_>,
        bucket: i64,
        merged: BySeries,
    ) -> Result<(), StoreError> {
        let mut totals: BTreeMap<i64, Option<Rollup>> = BTreeMap::new();
        let write = |name_id: i64, series: Option<i64>, rollup: &Rollup| {
            let kind = name.ids.get(&name_id).copied();
            let key = RowKey {
                name_id,
                bucket,
                series,
            };
            tier_rows::merge(
                self.into,
                tier,
                key,
                kind.unwrap_or(MetricType::Gauge),
                rollup,
            )
        };
        for ((name_id, series), rollup) in merged {
            write(name_id, Some(series), &rollup)?;
            merge_into(totals.entry(name_id).or_default(), rollup);
        }
        for (name_id, total) in totals {
            if let Some(total) = total {
                write(name_id, None, &total)?;
                failed::sum_up(self.into, tier, name_id, bucket)?;
            }
        }
        Ok(())
    }

    fn lay_aside_rollups(
        &mut self,
        tier: Tier,
        name: &str,
        rows: &[LegacyRollup],
    ) -> Result<(), StoreError> {
        for row in rows {
            self.set_aside += 1;
            row.lay_aside(self.into, tier, name)?;
        }
        Ok(())
    }

    fn finish(self, names: usize, nameless: u64) -> Result<TakenOver, StoreError> {
        let conn = self.into;
        for day in &self.days {
            conn.execute(
                "INSERT OR IGNORE INTO dirty_day (day, version) VALUES (?1, 0)",
                [day],
            )?;
        }
        for (minute, points) in &self.received {
            conn.execute(
                "INSERT INTO received (minute, n) VALUES (?1, ?2)",
                (minute, points.cast_signed()),
            )?;
        }
        Watermark::RawFloor.raise(conn, self.open_from)?;
        if let Some(hour) = self.newest_hour_alone {
            Watermark::MinuteFloor.raise(conn, hour + HOUR_MS)?;
        }
        if let Some(minute) = self.newest_minute {
            Watermark::LastRolled.raise(conn, minute)?;
        }
        let mut taken = TakenOver::default();
        taken.taken = format!(
            "{names} metrics, {} points, {} rollups",
            self.points, self.rollups
        );
        if self.repeated > 0 {
            taken.remark(|| {
                format!(
                    "{} rollups are left out: they are the same bucket written again",
                    self.repeated
                )
            });
            if self.newest_hour_alone.is_some() {
                taken.remark(|| {
                    "hours whose minutes are gone may count repeated minutes several times"
                        .to_owned()
                });
            }
        }
        if self.set_aside > 0 {
            taken.remark(|| {
                format!(
                    "{} rows are set aside in the table set_aside: their time, type or figures cannot be meant",
                    self.set_aside
                )
            });
        }
        if nameless > 0 {
            taken.remark(|| format!("{nameless} rows are left out: they have no name"));
        }
        Ok(taken)
    }
}

/// Points of a bucket. The rows of a name with two types are both over the points of both.
fn points_of(rows: &[LegacyRollup]) -> u64 {
    let mut of_labels: HashMap<&str, u64> = HashMap::new();
    for row in rows {
        let most = of_labels.entry(&row.labels).or_default();
        *most = (*most).max(row.figures.count);
    }
    of_labels.values().sum()
}

/// Labels that another program has stored; those that are no JSON become one label.
fn canonical(text: &str) -> labels::Canonical {
    if text.is_empty() {
        return labels::Canonical::default();
    }
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    let read = is_json
        .then(|| labels::canonical(text.trim()).ok())
        .flatten();
    read.unwrap_or_else(|| {
        let quoted = serde_json::to_string(text).unwrap_or_default();
        labels::canonical(&quoted)
            .unwrap_or_else(|_: strict_json::NotStrict| labels::Canonical::default())
    })
}

/// Builds an hour from its minutes.
fn build_hour(conn: &Connection, hour: i64, name: (i64, MetricType)) -> Result<(), StoreError> {
    let mut after = Some(0);
    while let Some(from) = after {
        let (rows, last) = coarse::pass(conn, Coarse::Hour, hour, name, from)?;
        super::rebuild::write_rows(conn, Resolution::Hour, &rows)?;
        after = last;
    }
    let total = coarse::total(conn, Coarse::Hour, hour, name)?;
    let rows: Vec<_> = total.into_iter().collect();
    super::rebuild::write_rows(conn, Resolution::Hour, &rows)?;
    Ok(())
}
