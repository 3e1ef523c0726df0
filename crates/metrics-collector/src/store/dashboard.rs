//! The figures of `GET /api/dashboard`, for any period: complete hours from hour rows, the rest by the minute.

use std::collections::{BTreeMap, HashMap};

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::ids::IdMap;
use super::plan::plan;
use super::query::earliest;
use super::requests::{self, Requests};
use super::rows::Sketches;
use super::scan::{self, Group, Minutes, Selection, scan_with, sums};
use super::{MINUTE_MS, series};
use crate::domain::labels;
use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::{Rollup, Total, add_to};
use crate::domain::vitals::Vital;

/// Metrics in the list of the largest.
const TOP: usize = 10;
/// Pages in the list by views.
const PAGES: usize = 20;
/// Buckets of the vitals whose sketches are held at once.
const BUCKETS_HELD: i64 = 100;
/// How many vitals there are.
const VITALS: usize = Vital::ALL.len();

/// One rollup for each of [`Vital::ALL`].
pub(crate) type OfVitals = [Option<Rollup>; VITALS];

/// What a dashboard is about.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) project: Option<String>,
    /// Points at this time or later, milliseconds since 1970.
    pub(crate) from_ms: i64,
    pub(crate) now_ms: i64,
    /// Steps of the vitals over time.
    pub(crate) resolution: Resolution,
}

/// Its figures but for the [`Vitals`].
#[derive(Debug)]
pub(crate) struct Dashboard {
    pub(crate) points: u64,
    pub(crate) names: usize,
    pub(crate) top: Vec<Top>,
    /// Only when there were some.
    pub(crate) requests: Option<Requests>,
}

/// One of the metrics with the most points.
#[derive(Clone, Debug)]
pub(crate) struct Top {
    pub(crate) name: String,
    pub(crate) kind: MetricType,
    pub(crate) count: u64,
    pub(crate) total: f64,
}

/// Web Vitals in the order of [`Vital::ALL`].
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) summary: OfVitals,
    pub(crate) over_time: Vec<(i64, Figures)>,
    /// Most viewed first.
    pub(crate) pages: Vec<(String, OfVitals)>,
}

/// What is shown of a vital in a bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p75: f64,
}

/// One for each of [`Vital::ALL`].
pub(crate) type Figures = [Option<Measured>; VITALS];

/// The figures of some vitals.
pub(crate) fn figures(of: &OfVitals) -> Figures {
    std::array::from_fn(|place| {
        let sum = of[place].as_ref()?;
        Some(Measured {
            count: sum.count,
            mean: sum.mean(),
            p75: Vital::ALL[place].p75(sum),
        })
    })
}

impl Scope {
    /// The end of the running minute.
    pub(super) fn end(&self) -> i64 {
        Resolution::Minute.bucket_of(self.now_ms) + MINUTE_MS
    }
}

/// Reads everything but the vitals.
pub(crate) fn read(conn: &Connection, scope: &Scope) -> Result<Dashboard, StoreError> {
    let to = scope.end();
    let names = series::names(conn, scope.project.as_deref())?;
    let pieces = plan(conn, scope.from_ms, to, Resolution::Day)?;
    let ids: Vec<i64> = names.iter().map(|name| name.id).collect();
    let mut top: Vec<Top> = Vec::new();
    // Names are sorted, so that those of several projects stand side by side.
    for (name, (count, total)) in names.into_iter().zip(sums(conn, &pieces, &ids)?) {
        match top
            .last_mut()
            .filter(|last| last.name == name.name && last.kind == name.kind)
        {
            Some(last) => {
                last.count += count;
                last.total = (last.total + total).clamp(f64::MIN, f64::MAX);
            }
            None => top.push(Top {
                name: name.name,
                kind: name.kind,
                count,
                total,
            }),
        }
    }
    top.retain(|metric| metric.count > 0);
    let points = top.iter().map(|metric| metric.count).sum();
    let names = top.chunk_by(|a, b| a.name == b.name).count();
    // A stable sort: metrics with as many points stay in the order of their names.
    top.sort_by_key(|metric| std::cmp::Reverse(metric.count));
    top.truncate(TOP);
    Ok(Dashboard {
        points,
        names,
        top,
        requests: requests::read(conn, scope)?,
    })
}

/// The series that browsers send, by vital and page.
#[derive(Default)]
struct BrowserSeries {
    /// By id.
    series: IdMap<(usize, usize)>,
    pages: Vec<String>,
    /// Names all of whose series come from browsers, with their vital.
    whole_names: Vec<(i64, Group)>,
    /// The others, and the vital of each of their browser series.
    other_names: Vec<i64>,
    other_series: IdMap<Group>,
}

impl BrowserSeries {
    fn find(conn: &Connection, project: Option<&str>) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (vital, of_vital) in Vital::ALL.iter().enumerate() {
            for name in series::names_of(conn, of_vital.metric_name(), project)? {
                let all = series::of_name(conn, name.id, None)?;
                let count = all.len();
                let browser: Vec<(i64, String)> = all
                    .into_iter()
                    .filter_map(|(id, text)| Some((id, page(&text)?)))
                    .collect();
                if browser.len() == count {
                    found.whole_names.push((name.id, vital as Group));
                } else {
                    found.other_names.push(name.id);
                    found
                        .other_series
                        .extend(browser.iter().map(|(id, _)| (*id, vital as Group)));
                }
                for (id, page) in browser {
                    let place = *places.entry(page).or_insert_with_key(|page| {
                        found.pages.push(page.clone());
                        found.pages.len() - 1
                    });
                    found.series.insert(id, (vital, place));
                }
            }
        }
        Ok(found)
    }
}

/// The page of a browser's series; `None` when it is not one of a browser.
fn page(labels_text: &str) -> Option<String> {
    let labels = labels::pairs(labels_text);
    let find = |wanted: &str| {
        labels
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    (find("source")? == "browser")
        .then(|| find("page").map_or_else(|| "/".to_owned(), Clone::clone))
}

/// Reads the Web Vitals, if a browser sent LCP, INP or CLS in the period.
pub(crate) fn vitals(conn: &Connection, scope: &Scope) -> Result<Option<Vitals>, StoreError> {
    let to = scope.end();
    let browser = BrowserSeries::find(conn, scope.project.as_deref())?;
    if browser.series.is_empty() {
        return Ok(None);
    }
    let mut open = Minutes::of(browser.series.keys().copied(), Sketches::Always);
    let mut pages = by_page(conn, scope, to, &browser, &mut open)?;
    let mut summary: OfVitals = Default::default();
    for (_, of_page) in &pages {
        for (sum, part) in summary.iter_mut().zip(of_page) {
            if let Some(part) = part {
                add_to(sum, part);
            }
        }
    }
    let opens =
        |(vital, sum): (&Vital, &Option<Rollup>)| vital.opens_the_section() && sum.is_some();
    if !Vital::ALL.iter().zip(&summary).any(opens) {
        return Ok(None);
    }
    let views = |of_page: &OfVitals| of_page[0].as_ref().map_or(0, |lcp| lcp.count);
    pages.sort_by(|(page_a, a), (page_b, b)| {
        views(b).cmp(&views(a)).then_with(|| page_a.cmp(page_b))
    });
    pages.truncate(PAGES);
    Ok(Some(Vitals {
        summary,
        over_time: over_time(conn, scope, to, browser, &mut open)?,
        pages,
    }))
}

/// The pages with data, each with its vitals.
fn by_page(
    conn: &Connection,
    scope: &Scope,
    to: i64,
    browser: &BrowserSeries,
    open: &mut Minutes,
) -> Result<Vec<(String, OfVitals)>, StoreError> {
    let names = browser
        .whole_names
        .iter()
        .map(|&(name, _)| name)
        .chain(browser.other_names.iter().copied())
        .collect();
    let groups = browser
        .series
        .iter()
        .map(|(&id, &(vital, page))| (id, (page * VITALS + vital) as Group))
        .collect();
    let pieces = plan(conn, scope.from_ms, to, Resolution::Day)?;
    let mut pages: Vec<[Option<Total>; VITALS]> = vec![Default::default(); browser.pages.len()];
    let add = |_, group: Group, found: scan::Found<'_>| {
        let (page, vital) = (group as usize / VITALS, group as usize % VITALS);
        match pages.get_mut(page) {
            Some(of_page) => found.add_to(&mut of_page[vital]),
            None => Ok(()),
        }
    };
    let selection = Selection::Series { names, groups };
    scan::find(conn, &pieces, &selection, Sketches::Always, Some(open), add)?;
    let pages = pages
        .into_iter()
        .map(|of_page| of_page.map(|sum| sum.map(Total::finish)));
    let with_data = browser
        .pages
        .iter()
        .cloned()
        .zip(pages)
        .filter(|(_, vitals)| vitals.iter().any(Option::is_some));
    Ok(with_data.collect())
}

fn over_time(
    conn: &Connection,
    scope: &Scope,
    to: i64,
    browser: BrowserSeries,
    open: &mut Minutes,
) -> Result<Vec<(i64, Figures)>, StoreError> {
    let tier = scope.resolution;
    let whole = browser.whole_names.iter().map(|&(name, _)| name);
    let names = whole.chain(browser.other_names.iter().copied());
    let Some(earliest) = earliest(conn, tier, names, i64::MIN)? else {
        return Ok(Vec::new());
    };
    let selections = [
        Selection::Totals(browser.whole_names),
        Selection::Series {
            names: browser.other_names,
            groups: browser.other_series,
        },
    ];
    let mut rows = Vec::new();
    let mut from = scope.from_ms.max(earliest);
    while from < to {
        let end = to.min(tier.bucket_of(from) + BUCKETS_HELD * tier.step_ms());
        let pieces = plan(conn, from, end, tier)?;
        let mut buckets: BTreeMap<i64, OfVitals> = BTreeMap::new();
        let mut add = |at, vital: Group, rollup: &Rollup| {
            let bucket = buckets.entry(tier.bucket_of(at)).or_default();
            if let Some(sum) = bucket.get_mut(vital as usize) {
                add_to(sum, rollup);
            }
        };
        for selection in &selections {
            let (always, known) = (Sketches::Always, Some(&mut *open));
            scan_with(conn, &pieces, selection, always, known, &mut add)?;
        }
        rows.extend(buckets.iter().map(|(&at, of)| (at, figures(of))));
        from = end;
    }
    Ok(rows)
}
