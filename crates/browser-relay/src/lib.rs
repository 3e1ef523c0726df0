//! The public door for browser telemetry.
