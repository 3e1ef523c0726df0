//! Log lines on stderr, as text or as JSON, and panics among them.

use std::io::IsTerminal;

use crate::config::{LogFormat, LogLevel};

/// Sends `tracing` events to stderr. Called once, at start-up; a second call changes nothing.
pub fn init(level: LogLevel, format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // Telling stderr that stderr cannot be written would panic, and the panic would be logged, and that ends the
        // process: a log reader that goes away must not take the service along.
        .log_internal_errors(false);
    // An error says that somebody else installed a subscriber, as a test may have.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let text = panic
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.payload().downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(place, text, "panic");
    }));
}
