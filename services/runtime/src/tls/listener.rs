//! Accepting connections, with or without TLS. Nothing that a client does ends it.

use super::certificate::Facts;
use super::{DoorFiles, Protocols, ServerTls, TlsError};
use crate::metrics::TlsMetrics;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Handshakes under way at once; further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 128;
/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Wait after a connection could not be accepted, for instance for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);
/// At most one failed handshake in this time is logged; all are counted.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// A listener whose connections may be TLS. For axum it is a listener like any other.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<ServerTls>,
    handshakes: JoinSet<Option<Accepted>>,
    log: Seldom,
}

/// A connection, past its handshake.
pub struct Accepted {
    /// What to read and write.
    pub stream: Stream,
    /// Who it is from.
    pub address: SocketAddr,
    /// What the client's certificate says, where one was asked for.
    pub certificate: Option<Facts>,
}

/// A connection's bytes.
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Listener {
    /// With TLS when files are configured, and without when not.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub fn for_door(
        tcp: TcpListener,
        files: Option<&DoorFiles>,
        protocols: Protocols,
        metrics: &TlsMetrics,
    ) -> Result<Self, TlsError> {
        let tls = files.map(|files| ServerTls::for_door(files.clone(), protocols, metrics));
        Ok(Listener::new(tcp, tls.transpose()?))
    }

    /// Takes connections as they are, or with TLS.
    pub fn new(tcp: TcpListener, tls: Option<ServerTls>) -> Self {
        Listener {
            tcp,
            tls,
            handshakes: JoinSet::new(),
            log: Seldom::default(),
        }
    }

    /// Whether connections are TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next connection. Waiting for it may be given up at any time; nothing is lost.
    pub async fn accept(&mut self) -> Accepted {
        loop {
            let has_room = self.handshakes.len() < HANDSHAKES_MAX;
            tokio::select! {
                Some(done) = self.handshakes.join_next(), if !self.handshakes.is_empty() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
                accepted = self.tcp.accept(), if has_room => match accepted {
                    Ok((stream, address)) => {
                        // Answers are small and waited for.
                        let _ = stream.set_nodelay(true);
                        match &self.tls {
                            None => return Accepted { stream: Stream::Plain(stream), address, certificate: None },
                            Some(tls) => {
                                let (tls, log) = (tls.clone(), self.log.clone());
                                self.handshakes.spawn(handshake(tls, stream, address, log));
                            }
                        }
                    }
                    Err(error) if is_of_the_peer(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "connections are not accepted; trying again");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
    }
}

/// Says yes at most once in [`LOG_EVERY`].
#[derive(Clone, Default)]
struct Seldom(Arc<Mutex<Option<Instant>>>);

impl Seldom {
    fn may(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

async fn handshake(tls: ServerTls, stream: TcpStream, address: SocketAddr, log: Seldom) -> Option<Accepted> {
    let shaking = TlsAcceptor::from(tls.config()).accept(stream);
    let problem = match tokio::time::timeout(HANDSHAKE_MAX, shaking).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate = certificates.and_then(|chain| chain.first()).and_then(Facts::of);
            return Some(Accepted {
                stream: Stream::Tls(Box::new(stream)),
                address,
                certificate,
            });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("not done after {HANDSHAKE_MAX:?}"),
    };
    tls.metrics.handshakes_failed.inc();
    if log.may() {
        tracing::warn!(%address, %problem, "a connection was refused in its TLS handshake");
    }
    None
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        let accepted = Listener::accept(self).await;
        (accepted.stream, accepted.address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Listener::local_addr(self)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
