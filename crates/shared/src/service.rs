//! Puts a service together: command line, settings, database, tasks, server, and the end in order.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;

use crate::cli::{self, Command};
use crate::clock::Clock;
use crate::config::{ApiKeyName, COMMON_VARS, Common, Env, Reader, Var, key_var};
use crate::http;
use crate::lifecycle::Lifecycle;
use crate::metrics::Registry;
use crate::store::{Migration, QueueLimits, Schema, Store, TakeOver};
use crate::telemetry;

/// What tells one service from the others before anything runs.
#[derive(Clone, Copy, Debug)]
pub struct ServiceInfo {
    /// As in `error-tracker`: name of the program, of its cookie, in logs.
    pub name: &'static str,
    /// Of the program.
    pub version: &'static str,
    /// One sentence, for `--help`.
    pub summary: &'static str,
    /// Where it listens unless `PORT` says otherwise.
    pub default_port: u16,
    /// Its file unless `DATABASE_PATH` says otherwise.
    pub default_database: &'static str,
    /// Requests a minute and client unless `RATE_LIMIT` says otherwise.
    pub default_rate_limit: i64,
    /// The largest body unless `MAX_BODY_BYTES` says otherwise.
    pub default_max_body: i64,
    /// The variable that holds its key.
    pub api_key: ApiKeyName,
}

/// One of the four services.
pub trait Service {
    /// Who it is.
    const INFO: ServiceInfo;
    /// Its own settings.
    type Config: Send;

    /// Its own variables, in the order in which they are documented.
    fn vars() -> &'static [&'static Var];

    /// Reads its own settings; problems stay with the reader.
    fn configure(reader: &mut Reader<'_>) -> Self::Config;

    /// The steps of its schema.
    fn migrations() -> &'static [Migration];

    /// Where operators are listened to apart from strangers; see [`AdminAddress`](crate::config::AdminAddress). `None`:
    /// there is one port for all.
    fn admin_address(_: &Self::Config) -> Option<SocketAddr> {
        None
    }

    /// Connections that one public address may have at the same time; `None`: three quarters of all. See
    /// [`Settings`](crate::http::server::Settings::max_per_address).
    fn max_connections_per_address(_: &Self::Config) -> Option<usize> {
        None
    }

    /// How a file of the original service is taken over; `None`: it is refused.
    fn take_over() -> Option<TakeOver> {
        None
    }

    /// Starts its tasks and answers its routes. Called inside the runtime, with the database open.
    fn start(ctx: Context, config: Self::Config) -> anyhow::Result<Router>;
}

/// What the database of a service looks like.
pub fn schema<S: Service>() -> Schema {
    Schema {
        migrations: S::migrations(),
        take_over: S::take_over(),
    }
}

/// What the parts of a running service share. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Counters and gauges.
    pub metrics: Registry,
    /// Tasks and their end.
    pub lifecycle: Lifecycle,
    /// The settings that all services have.
    pub common: Arc<Common>,
}

/// All variables of a service in the order of the documentation: its key, its own, the common ones.
pub fn all_vars<S: Service>() -> Vec<&'static Var> {
    let mut vars = vec![key_var(S::INFO.api_key)];
    vars.extend_from_slice(S::vars());
    vars.extend(COMMON_VARS);
    vars
}

/// The whole life of a service. Exit status 0: ended as asked; 1: settings, database or port cannot be used, or the end
/// took too long; 2: unknown arguments.
pub fn main<S: Service>() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    main_with::<S>(&arguments, &Env::process())
}

/// [`main`] with arguments and an environment of one's own.
pub fn main_with<S: Service>(arguments: &[String], env: &Env) -> ExitCode {
    match Command::parse(arguments) {
        Ok(Command::Serve) => report(serve::<S>(env)),
        Ok(Command::Healthcheck) => cli::healthcheck(env, &S::INFO),
        Ok(Command::Version) => cli::print(&format!("{} {}\n", S::INFO.name, S::INFO.version)),
        Ok(Command::Help) => cli::print(&cli::help(&S::INFO, &all_vars::<S>())),
        Ok(Command::Env) => cli::print(&cli::env_table(&all_vars::<S>(), &S::INFO)),
        Ok(Command::Backup(target)) => report(cli::backup(env, &S::INFO, &target)),
        Err(usage) => {
            cli::complain(&format!("{}: {usage}\nTry '{0} --help'.\n", S::INFO.name));
            ExitCode::from(2)
        }
    }
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            cli::complain(&format!("FATAL: {fault:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn serve<S: Service>(env: &Env) -> anyhow::Result<()> {
    let mut reader = Reader::new(env);
    let common = Common::read(&mut reader, &S::INFO);
    let config = S::configure(&mut reader);
    reader.finish()?;
    telemetry::init(common.log_level, common.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(6)
        .thread_stack_size(512 * 1024)
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(run::<S>(common, config));
    // Whatever did not end in time must not keep the process: a plain drop waits for blocking threads without a bound.
    runtime.shutdown_background();
    ended
}

async fn run<S: Service>(common: Common, config: S::Config) -> anyhow::Result<()> {
    let clock = Clock::system();
    let metrics = Registry::for_process();
    let lifecycle = Lifecycle::new(clock.clone());
    // First of all: as process 1 of a container a signal that nobody listens for is lost.
    listen_for_signals(&lifecycle)?;
    let store = open_store::<S>(&common, &clock, &metrics, &lifecycle).await?;
    let common = Arc::new(common);
    let ctx = Context {
        store: store.clone(),
        clock,
        metrics,
        lifecycle: lifecycle.clone(),
        common: Arc::clone(&common),
    };
    let served = listen_and_serve::<S>(&ctx, config).await;
    // The server has had its share of the grace period, see `http::server::serve`.
    let in_time = lifecycle.finish(common.shutdown_grace * 2 / 5).await;
    let closed = close(store, &lifecycle, common.shutdown_grace).await;
    served?;
    closed?;
    anyhow::ensure!(in_time, "stopped before all requests and tasks were done");
    tracing::info!("stopped");
    Ok(())
}

async fn listen_and_serve<S: Service>(ctx: &Context, config: S::Config) -> anyhow::Result<()> {
    // The ports first: a second copy must not start tasks.
    let listener = http::server::bind(ctx.common.host, ctx.common.port).await?;
    let admin = match S::admin_address(&config) {
        Some(address) => Some(http::server::bind_for("ADMIN_PORT", address).await?),
        None => None,
    };
    if ctx.lifecycle.soft().is_cancelled() {
        return Ok(());
    }
    let per_address = S::max_connections_per_address(&config);
    let router = S::start(ctx.clone(), config)?;
    if let Some(admin) = &admin {
        tracing::info!("listening for operators on {}", admin.local_addr()?);
    }
    tracing::info!(
        service = S::INFO.name,
        version = S::INFO.version,
        "listening on {}",
        listener.local_addr()?
    );
    let Some(admin) = admin else {
        http::server::serve(listener, router, ctx, per_address).await;
        return Ok(());
    };
    tokio::join!(
        http::server::serve(
            listener,
            http::public_only(router.clone()),
            ctx,
            per_address
        ),
        http::server::serve_admin(admin, router, ctx)
    );
    Ok(())
}

/// Not a task of the lifecycle: it has to outlive them, to hear the second signal.
#[expect(
    clippy::disallowed_methods,
    reason = "the end of the service must not wait for it"
)]
fn listen_for_signals(lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let signals = lifecycle
        .clone()
        .follow_signals()
        .context("cannot listen for signals")?;
    tokio::spawn(signals);
    Ok(())
}

/// Opens the database on a thread of its own, so that signals are heard while a migration runs.
async fn open_store<S: Service>(
    common: &Common,
    clock: &Clock,
    metrics: &Registry,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Store> {
    let (path, clock, metrics) = (common.database_path.clone(), clock.clone(), metrics.clone());
    let opening = tokio::task::spawn_blocking(move || {
        let limits = QueueLimits::default();
        Store::open(&path, schema::<S>(), limits, clock, &metrics)
    });
    tokio::select! {
        opened = opening => Ok(opened.context("opening the database failed")??),
        // A migration that is cut leaves the file as it was before it.
        () = lifecycle.at_once().cancelled_owned() => anyhow::bail!("stopped while the database was being opened"),
    }
}

/// Closes the database. One that cannot be closed in time is left as a crash would leave it, which loses nothing.
#[expect(clippy::disallowed_methods, reason = "the bound of the graceful end")]
async fn close(store: Store, lifecycle: &Lifecycle, grace: Duration) -> anyhow::Result<()> {
    let closing = tokio::task::spawn_blocking(move || store.close());
    tokio::select! {
        closed = closing => closed.context("closing the database failed"),
        () = tokio::time::sleep(grace) => anyhow::bail!("the database could not be closed in time"),
        () = lifecycle.at_once().cancelled_owned() => anyhow::bail!("stopped before the database was closed"),
    }
}
