//! What handlers share.

use std::sync::{Arc, Mutex, PoisonError};

use monlight_shared::service::Context;

use crate::live::Hub;

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// Database, clock, lifecycle.
    pub ctx: Context,
    /// Where live tails hear of new entries.
    pub hub: Hub,
    /// How the directory of containers is.
    pub sources: Sources,
}

/// Whether `LOG_SOURCES` can be read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<Mutex<Option<String>>>);

impl Sources {
    /// What is the matter, `None` when all is well. Logs a change once.
    pub fn set_fault(&self, fault: Option<String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &fault) {
            (None, Some(fault)) => tracing::warn!(fault, "no log files can be found"),
            (Some(_), None) => tracing::info!("log files can be found again"),
            _ => {}
        }
        *known = fault;
    }

    /// What is the matter, `None` when all is well.
    pub fn fault(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
