//! The public door for browser telemetry.
#![expect(dead_code, reason = "the parts come one by one")]
mod domain;
