//! The browser relay's process; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    monlight_shared::service::main::<browser_relay::BrowserRelay>()
}
