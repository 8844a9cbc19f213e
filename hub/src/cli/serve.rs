//! `stint-hub serve`.

use super::{logging, open};
use crate::app::App;
use crate::auth::{first_key, server_keys};
use crate::error::StartError;
use crate::schedule;
use crate::server::listener;
use crate::server::routes::Site;
use crate::server::self_signed;
use crate::server::tls::{Source, Tls};
use crate::store::Store;
use crate::store::data_dir::DataDir;
use crate::updates::shelf::Newest;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The account id of a hub that was never told another.
const DEFAULT_ACCOUNT: &str = "000000000000";
/// The name of the account id among the settings in the database.
const ACCOUNT_SETTING: &str = "account_id";

#[derive(Args)]
pub struct Arguments {
    /// The data directory; created if it doesn't exist.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7400")]
    listen: String,
    /// A PEM certificate chain; looked at again every hour.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve with a certificate of the hub's own authority, DIR/ca.pem.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_self_signed: bool,
    /// A further name or address for the self-signed certificate; may be repeated.
    #[arg(long, value_name = "NAME", requires = "tls_self_signed")]
    tls_name: Vec<String>,
    /// The twelve-digit account id in ARNs; remembered.
    #[arg(long, value_name = "N", value_parser = account_id)]
    account_id: Option<String>,
    /// Allow plain HTTP on an address that others can reach.
    #[arg(long)]
    insecure_http: bool,
    /// Answer /metrics to everybody, not only to this machine.
    #[arg(long)]
    public_metrics: bool,
    /// The S3 server to which the nodes upload output, for the URLs that answers show; AWS's if
    /// not given.
    #[arg(long, value_name = "URL", value_parser = server_url)]
    s3_endpoint: Option<String>,
    /// The URL under which nodes, clients and browsers reach this hub, as where a proxy ends TLS: for the
    /// links to packages in the jobs of nodes, the URLs of sessions, and as an origin of the console. Without it
    /// links and URLs have the name in the request's Host header, which no BootAgent node signs.
    #[arg(long, value_name = "URL", value_parser = server_url)]
    public_url: Option<String>,
    /// Take in agents of the BootAgent protocol that can't sign, without an activation: anybody who
    /// reaches the hub can pretend to be one, and nothing they are told is protected.
    #[arg(long)]
    accept_unsigned_bootagents: bool,
    /// The form of log lines.
    #[arg(long, value_enum, default_value = "text")]
    log_format: logging::Format,
}

fn account_id(text: &str) -> Result<String, &'static str> {
    let good = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.to_owned()).ok_or("an account id has twelve digits")
}

fn server_url(text: &str) -> Result<String, &'static str> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', '@', ' ']));
    good.then(|| url.to_owned()).ok_or("a server is given as https://HOST or http://HOST:PORT")
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the data directory, the address or the certificate can't be used.
pub fn run(arguments: &Arguments) -> Result<(), StartError> {
    logging::start(arguments.log_format);
    raise_descriptor_limit();
    super::runtime()?.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<(), StartError> {
    let address = resolve(&arguments.listen).await?;
    let wants_tls = arguments.tls_self_signed || arguments.tls_cert.is_some();
    if !wants_tls && !address.ip().is_loopback() && !arguments.insecure_http {
        return Err(StartError::new(
            format!("{address} is reachable from outside, and plain HTTP would show secrets there"),
            "use --tls-cert and --tls-key or --tls-self-signed, or allow it with --insecure-http",
        ));
    }
    // Before anything is written: a hub that can't serve leaves no traces. Connections wait.
    let listener = TcpListener::bind(address).await.map_err(|e| cannot_listen(address, &e))?;
    let dir = DataDir::open(&arguments.data)?;
    let _lock = dir.lock()?;
    let (store, seal) = open::open(&dir).await?;
    let account = account(&store, arguments.account_id.as_deref()).await?;
    let s3_server = arguments.s3_endpoint.clone();
    let public_url = arguments.public_url.clone();
    let accept_unsigned_bootagents = arguments.accept_unsigned_bootagents;
    let app = App::new(store, seal, account);
    let newest = Newest::of(Some(&dir));
    let app = Arc::new(App { s3_server, public_url, accept_unsigned_bootagents, newest, ..app });
    let variable = |name: &str| std::env::var(name).ok();
    let given = first_key::from_environment(
        variable(first_key::ID_VARIABLE),
        variable(first_key::SECRET_VARIABLE),
    )?;
    first_key::ensure(&dir, &app.store, &app.seal, given, app.now()).await?;
    server_keys::ensure(&app.store, &app.seal, app.now()).await.map_err(|e| {
        StartError::new(format!("the keys that nodes pin can't be used: {e}"), "see the cause")
    })?;
    let tls = tls(arguments, dir.clone(), address, &app)?;
    let stop = stop_signal()?;
    announce(&listener, tls.is_some())?;
    let schedule = tokio::spawn(schedule::run(app.clone(), dir.clone()));
    let site = Site { app: app.clone(), public_metrics: arguments.public_metrics, data: dir };
    listener::serve(site, listener, tls, stop).await;
    schedule.abort();
    let _ = schedule.await;
    app.store.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn resolve(listen: &str) -> Result<SocketAddr, StartError> {
    let bad = |what: String| {
        StartError::new(
            format!("--listen {listen} is no address: {what}"),
            "write it as 127.0.0.1:7400 or [::1]:7400",
        )
    };
    let mut found = tokio::net::lookup_host(listen).await.map_err(|e| bad(e.to_string()))?;
    found.next().ok_or_else(|| bad("the name has no address".to_owned()))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> StartError {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => StartError::new(
            format!("the address {address} is taken by another program"),
            "stop that, or choose another with --listen",
        ),
        _ => StartError::new(
            format!("can't listen on {address}: {error}"),
            "choose another address with --listen",
        ),
    }
}

async fn account(store: &Store, given: Option<&str>) -> Result<String, StartError> {
    let failed = |e: sqlx::Error| {
        StartError::new(format!("can't keep the account id: {e}"), "see the cause")
    };
    if let Some(given) = given {
        store.set_setting(ACCOUNT_SETTING, given).await.map_err(failed)?;
    }
    let kept = store.setting(ACCOUNT_SETTING).await.map_err(failed)?;
    Ok(kept.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()))
}

fn tls(
    arguments: &Arguments,
    dir: DataDir,
    address: SocketAddr,
    app: &App,
) -> Result<Option<Arc<Tls>>, StartError> {
    let source = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => Source::Files { cert: cert.clone(), key: key.clone() },
        _ if arguments.tls_self_signed => {
            tracing::info!("CA: {}", dir.file(self_signed::CA).display());
            Source::SelfSigned { dir, names: names(address.ip(), &arguments.tls_name) }
        }
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(Tls::load(source, app.now())?)))
}

/// Names under which clients may reach the hub.
fn names(address: IpAddr, more: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    // Linux's own name for it, without a system call that only libc wraps.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    names.extend(more.iter().cloned().chain([host.trim().to_owned()]));
    let mut unique = Vec::new();
    for name in names {
        if !name.is_empty() && !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

/// The one line on standard output, for people and for scripts that chose port 0.
fn announce(listener: &TcpListener, tls: bool) -> Result<(), StartError> {
    let address = listener.local_addr().and_then(|address| {
        let scheme = if tls { "https" } else { "http" };
        let mut out = std::io::stdout().lock();
        writeln!(out, "stint-hub listening on {scheme}://{address}")?;
        out.flush()?;
        Ok(address)
    });
    let address = address.map_err(|e| {
        StartError::new(format!("can't say where the hub listens: {e}"), "open standard output")
    })?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
    Ok(())
}

/// Resolves at the first SIGTERM or SIGINT. The handlers are in place when this returns, so that
/// no early signal kills the hub.
fn stop_signal() -> Result<impl Future<Output = ()>, StartError> {
    let handler = |kind: SignalKind| {
        signal(kind).map_err(|e| {
            StartError::new(format!("can't handle signals: {e}"), "raise the limit on processes")
        })
    };
    let (mut terminate, mut interrupt) =
        (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    })
}

/// Every poll holds a descriptor, and the usual soft limit of 1,024 is there only for programs
/// that use select(2).
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "can't raise the limit on descriptors");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_what_clients_dial() {
        let names = names("192.0.2.7".parse().unwrap(), &["hub.lan".to_owned()]);
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7", "hub.lan"] {
            assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name}");
        }
        assert!(!super::names("0.0.0.0".parse().unwrap(), &[]).contains(&"0.0.0.0".to_owned()));
    }

    #[tokio::test]
    async fn an_account_id_is_remembered() {
        let (app, _dir) = crate::app::testing::app().await;
        assert_eq!(account(&app.store, None).await.unwrap(), DEFAULT_ACCOUNT);
        assert_eq!(account(&app.store, Some("123456789012")).await.unwrap(), "123456789012");
        assert_eq!(account(&app.store, None).await.unwrap(), "123456789012");
    }
}
