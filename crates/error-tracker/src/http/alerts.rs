//! Alerts.

use axum::extract::State;
use monlight_shared::http::ApiError;

use crate::state::AppState;

/// `POST /api/test-alert`: says what keeps alerts from being sent.
pub(super) async fn test_alert(State(state): State<AppState>) -> ApiError {
    let not_yet = "Mail delivery is not part of this version yet; the mail settings were read and are complete";
    ApiError::Unavailable {
        detail: state.alerts.missing().unwrap_or(not_yet).to_owned(),
        retry_after: 3_600,
    }
}
