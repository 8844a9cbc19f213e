//! Connections: accepting, TLS, time limits and the graceful end.

use super::routes::{self, Peer, Site};
use super::tls::{RELOAD_INTERVAL, Tls};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

/// Connections at the same time. Each holds some 20 kB, so this many stay under half a gigabyte.
const MAX_CONNECTIONS: usize = 20_000;

/// How long a TLS handshake may take; slow radios need seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the head of a request may take, counted from the end of the last one: also how long
/// an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The longest head of a request, bytes.
const MAX_HEAD: usize = 32 * 1024;

/// How long a stopping hub waits for requests that run. Polls end at once; the rest are
/// statements that take milliseconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// How long to wait before accepting again when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves, then lets running requests finish.
pub async fn serve(
    site: Site,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) {
    let app = site.app.clone();
    let router = routes::router(site);
    let (stopping, stopped) = watch::channel(false);
    // Every connection holds a sender; when the last is gone the receiver knows.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    if let Some(tls) = tls.clone() {
        let app = app.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RELOAD_INTERVAL).await;
                tls.reload(app.now());
            }
        });
    }
    tokio::pin!(stop);
    loop {
        let (stream, address, permit) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &limit) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = Connection {
            router: router.clone(),
            peer: Peer { address, tls: tls.is_some() },
            stopped: stopped.clone(),
            hold: Hold(Arc::new(Held { _alive: alive.clone(), _permit: permit })),
        };
        let tls = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
        tokio::spawn(connection.run(stream, tls));
    }
    drop(listener);
    drop(alive);
    stopping.send_replace(true);
    app.wakeups.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, all_gone.recv()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut");
    }
}

async fn accept(
    listener: &TcpListener,
    limit: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = limit.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    // Answers are small and whole; waiting for more to send would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, address, permit))
}

struct Connection {
    router: Router,
    peer: Peer,
    stopped: watch::Receiver<bool>,
    hold: Hold,
}

/// What a connection holds as long as it is open, also when it has become a websocket: one of the
/// places that there are, and the hub's end.
#[derive(Clone)]
pub struct Hold(#[allow(dead_code)] Arc<Held>);

struct Held {
    _alive: mpsc::Sender<()>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else { return self.http(stream).await };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.peer.address, %error, "the TLS handshake failed");
            }
            Err(_) => tracing::debug!(peer = %self.peer.address, "the TLS handshake timed out"),
        }
    }

    async fn http(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (router, peer, hold) = (self.router.clone(), self.peer, self.hold.clone());
        let service =
            service_fn(move |request| answer(router.clone(), peer, hold.clone(), request));
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let stop = async { drop(self.stopped.wait_for(|stopped| *stopped).await) };
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = stop => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %peer.address, %error, "the connection ended early");
        }
    }
}

async fn answer(
    mut router: Router,
    peer: Peer,
    hold: Hold,
    mut request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(hold);
    router.call(request.map(Body::new)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::store::data_dir::DataDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    /// A serving hub. Dropping the sender stops it; the handle ends when it has stopped.
    async fn hub() -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let (app, dir) = testing::app().await;
        let data = DataDir::open(dir.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let site = Site { app: Arc::new(app), public_metrics: false, data };
        let running = tokio::spawn(async move {
            serve(site, listener, None, async { drop(stopped.await) }).await;
            drop(dir);
        });
        (address, stop, running)
    }

    async fn exchange(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn post(extra: &str, body: &str) -> Vec<u8> {
        format!("POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{extra}\r\n\r\n{body}")
            .into_bytes()
    }

    #[tokio::test]
    async fn every_answer_has_a_date_a_type_and_a_request_id() {
        let (address, _stop, _running) = hub().await;
        for request in [
            post("content-length: 2", "{}"),
            b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_vec(),
            b"GET /nothing HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_vec(),
            b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_vec(),
        ] {
            let answer = exchange(address, &request).await;
            for header in ["\r\ndate: ", "\r\ncontent-type: ", "\r\nx-amzn-requestid: "] {
                assert!(answer.contains(header), "{answer}");
            }
        }
    }

    #[tokio::test]
    async fn a_chunked_body_is_read_like_any_other() {
        let (address, _stop, _running) = hub().await;
        let target = "x-amz-target: AmazonSSM.RegisterManagedInstance";
        let plain = post(&format!("{target}\r\ncontent-length: 2"), "{}");
        let chunked = post(
            &format!("{target}\r\ntransfer-encoding: chunked"),
            "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        );
        for request in [plain, chunked] {
            let answer = exchange(address, &request).await;
            assert!(answer.contains("Value null at 'activationId'"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
        let (address, _stop, _running) = hub().await;
        let size = super::super::BODY_LIMIT + 1;
        let answer = exchange(address, &post(&format!("content-length: {size}"), "{")).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("RequestEntityTooLargeException"), "{answer}");
    }

    #[tokio::test]
    async fn nobody_gets_a_channel_without_a_signature() {
        let (address, _stop, _running) = hub().await;
        let upgrade = "upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
        for (method, more) in [
            ("POST", "connection: close"),
            ("GET", "connection: close"),
            ("GET", &format!("connection: upgrade, close\r\n{upgrade}")),
        ] {
            let request =
                format!("{method} /v1/control-channel/mi-1 HTTP/1.1\r\nhost: h\r\n{more}\r\n\r\n");
            let answer = exchange(address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            assert!(answer.contains("<MissingAuthenticationTokenException>"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_hub_that_stops_lets_idle_connections_go() {
        let (address, stop, running) = hub().await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut first = [0; 15];
        idle.read_exact(&mut first).await.unwrap();
        drop(stop);
        running.await.unwrap();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
