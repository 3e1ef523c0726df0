//! What the tests of all services need: a service without a port, on a temporary database, with a clock that stands
//! still until it is moved.

mod process;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::clock::{Clock, ManualClock};
use crate::config::{Common, Env, Reader};
use crate::lifecycle::Lifecycle;
use crate::metrics::Registry;
use crate::service::{self, Context, Service};

pub use process::{TestConnection, TestProcess};

pub mod files;
pub mod receiver;

/// The key that test services are given, and that [`TestService`] sends.
pub const TEST_KEY: &str = "test-key";

/// 2025-01-20T10:00:00Z, when manual clocks start.
pub const TEST_START_SECONDS: i64 = 1_737_367_200;

/// A service behind its real router.
pub struct TestService {
    /// The whole router, as the server would call it.
    pub router: Router,
    /// What the service was started with.
    pub ctx: Context,
    /// Moves its clock.
    pub clock: ManualClock,
    /// Holds the database; removed at the end.
    pub dir: Arc<TempDir>,
}

impl TestService {
    /// Starts `S` with the test key and the given settings on an empty database.
    pub fn new<S: Service>(settings: &[(&str, &str)]) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        Self::on::<S>(dir, settings)
    }

    /// Starts `S` on the database in `dir`, which an earlier one may have left.
    pub fn on<S: Service>(dir: Arc<TempDir>, settings: &[(&str, &str)]) -> Self {
        let start = jiff::Timestamp::from_second(TEST_START_SECONDS).expect("in range");
        let (clock, hand) = Clock::manual(start);
        Self::with_clock::<S>(dir, settings, clock, hand)
    }

    /// As [`TestService::on`], with a clock that is already there.
    pub fn with_clock<S: Service>(
        dir: Arc<TempDir>,
        settings: &[(&str, &str)],
        clock: Clock,
        hand: ManualClock,
    ) -> Self {
        let database = dir.path().join("test.db").to_string_lossy().into_owned();
        let base = [
            ("API_KEY", TEST_KEY),
            ("ADMIN_API_KEY", TEST_KEY),
            ("DATABASE_PATH", database.as_str()),
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
        ];
        let env = Env::of(base.into_iter().chain(settings.iter().copied()));
        let mut reader = Reader::new(&env);
        let common = Common::read(&mut reader, &S::INFO);
        let config = S::configure(&mut reader);
        reader.finish().expect("usable settings");
        let metrics = Registry::for_process();
        let store = files::open_with(
            &common.database_path,
            service::schema::<S>(),
            &clock,
            &metrics,
        );
        let lifecycle = Lifecycle::new(clock.clone());
        let ctx = Context {
            store,
            clock,
            metrics,
            lifecycle,
            common: Arc::new(common),
        };
        let router = S::start(ctx.clone(), config).expect("starts");
        Self {
            router,
            ctx,
            clock: hand,
            dir,
        }
    }

    /// Ends it in order; its directory can then be given to [`TestService::on`].
    pub async fn stop(self) -> Arc<TempDir> {
        self.ctx.lifecycle.finish(Duration::from_secs(10)).await;
        let store = self.ctx.store.clone();
        tokio::task::spawn_blocking(move || store.close())
            .await
            .expect("closes");
        self.dir
    }

    /// GET with the test key.
    pub async fn get(&self, path: &str) -> TestResponse {
        self.send(
            self.request(Method::GET, path)
                .body(Body::empty())
                .expect("a request"),
        )
        .await
    }

    /// POST of a JSON text with the test key.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> TestResponse {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json");
        self.send(request.body(Body::from(body.into())).expect("a request"))
            .await
    }

    /// POST of a JSON value with the test key.
    pub async fn post_json(&self, path: &str, body: &serde_json::Value) -> TestResponse {
        self.post(path, body.to_string()).await
    }

    /// DELETE with the test key.
    pub async fn delete(&self, path: &str) -> TestResponse {
        self.send(
            self.request(Method::DELETE, path)
                .body(Body::empty())
                .expect("a request"),
        )
        .await
    }

    /// A request that already carries the test key.
    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-api-key", TEST_KEY)
    }

    /// Sends a request just as it is.
    pub async fn send(&self, request: Request<Body>) -> TestResponse {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("the router never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        TestResponse {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct TestResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl TestResponse {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|fault| panic!("no JSON ({fault}): {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Fails the test unless the status is `expected`; answers the response for more.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "often only the check matters"
    )]
    #[track_caller]
    pub fn expect(self, expected: u16) -> Self {
        assert_eq!(self.status.as_u16(), expected, "{}", self.text());
        self
    }
}
