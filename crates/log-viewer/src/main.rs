//! The log viewer's process; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    monlight_shared::service::main::<log_viewer::LogViewer>()
}
