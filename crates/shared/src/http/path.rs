//! The variable part of a path.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

/// The only variable of a route such as `/api/things/{id}`, percent-decoded. Bytes that are no UTF-8
/// become U+FFFD, as in a [`Query`](super::Query), so the handler says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(text.map_or_else(
            |_| Self(char::REPLACEMENT_CHARACTER.into()),
            |Path(text)| Self(text),
        ))
    }
}
