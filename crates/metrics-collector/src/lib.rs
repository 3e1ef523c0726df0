//! Takes counters, gauges and histograms and rolls them up.
