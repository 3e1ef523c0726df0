//! Receives exception reports, groups them by fingerprint, keeps the newest occurrences.
