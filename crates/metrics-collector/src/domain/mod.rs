//! What a metric is and how it is counted: values in, values out. Knows neither HTTP nor SQL nor the clock.
//!
//! Read in this order: [`metric`] turns a request body into items, [`labels`] and [`timestamp`] make their parts
//! comparable. What exporters expose is read by [`exposition`], becomes series ([`exposed`]) and, beside what was read
//! before, [`change`]s, those of histograms with the help of [`buckets`]. [`block`] packs points for the disk, [`rollup`]
//! sums them up with the help of [`sketch`] (stored as [`bits`]) and [`percentile`], [`figures`] makes one of what is left
//! of it, [`range`], [`label_filter`] and [`aggregate`] say what a question is about, [`vitals`] rates pages, [`number`] writes figures. Targets are
//! scraped in a [`rhythm`]. A [`rule`] has a [`reading`] of each
//! group, which [`rule_state`] turns into what people are told, in the words of [`rule_alert`].

pub(crate) mod metric;
mod raw_batch;

pub(crate) mod labels;
pub(crate) mod strict_json;
pub(crate) mod timestamp;

pub(crate) mod buckets;
pub(crate) mod change;
pub(crate) mod exposed;
pub(crate) mod exposition;

pub(crate) mod block;
pub(crate) mod counted_block;

mod bits;
pub(crate) mod figures;
pub(crate) mod percentile;
pub(crate) mod rollup;
pub(crate) mod sketch;

pub(crate) mod aggregate;
pub(crate) mod label_filter;
pub(crate) mod range;

pub(crate) mod vitals;

pub(crate) mod number;
pub(crate) mod rhythm;

pub(crate) mod quiet_hours;
pub(crate) mod reading;
pub(crate) mod rule;
pub(crate) mod rule_alert;
pub(crate) mod rule_state;
pub(crate) mod sliding;
