//! One connection to one replica: TCP, TLS where it is asked for, HTTP/2.

use super::io::Watched;
use crate::access::RoleName;
use crate::grpc::options::Options;
use crate::tls::ClientTls;
use crate::tls::certificate::Facts;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

/// What may be under way to us, bytes: of one call, of all.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Share of a certificate's remaining time after which the connection is made anew.
const RENEW_AFTER: f64 = 0.9;

/// A connection that the replica has taken.
pub(super) struct Connection {
    /// Sends calls.
    pub(super) sender: SendRequest<Body>,
    /// Ends, with the reason, when no more calls can be sent.
    pub(super) ended: JoinHandle<String>,
    /// When it should be made anew, because the replica's certificate will expire.
    pub(super) renew_after: Option<Duration>,
}

/// Connects; says why when it cannot.
pub(super) async fn connect(
    role: RoleName,
    address: SocketAddr,
    tls: Option<&ClientTls>,
    options: &Options,
) -> Result<Connection, String> {
    match tokio::time::timeout(options.connect_max(), attempt(role, address, tls, options)).await {
        Ok(connected) => connected,
        Err(_) => Err(format!("no connection in {} ms", options.connect_ms_max)),
    }
}

async fn attempt(
    role: RoleName,
    address: SocketAddr,
    tls: Option<&ClientTls>,
    options: &Options,
) -> Result<Connection, String> {
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    // Calls are small and waited for.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else {
        return speak(tcp, None, options).await;
    };
    let connector = TlsConnector::from(Arc::new(tls.config(role)));
    let stream = connector
        .connect(ServerName::from(address.ip()), tcp)
        .await
        .map_err(|error| format!("TLS: {error}"))?;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let remaining = certificate.and_then(Facts::of).map(|facts| facts.remaining());
    // Its alert may be lost where we were writing: the reason is in the log of the replica.
    speak(stream, remaining, options).await.map_err(|error| {
        format!("TLS: the replica did not take the connection, as when it refuses our certificate: {error}")
    })
}

/// Begins HTTP/2 and waits until the other side has spoken.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    valid_for: Option<Duration>,
    options: &Options,
) -> Result<Connection, String> {
    let (heard, first_byte) = oneshot::channel();
    let cut = CancellationToken::new();
    let stream = TokioIo::new(Watched::new(stream, heard, cut.clone()));
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(Duration::from_millis(options.keep_alive_ms))
        .keep_alive_timeout(Duration::from_millis(options.keep_alive_wait_ms))
        .keep_alive_while_idle(true)
        .handshake(stream)
        .await
        .map_err(|error| words(&error))?;
    if let Some(valid_for) = valid_for {
        // Streams may outlive the certificate that they were begun under; they must not.
        tokio::spawn(async move {
            tokio::time::sleep(valid_for).await;
            cut.cancel();
        });
    }
    let mut ended = tokio::spawn(async move {
        match connection.await {
            Ok(()) => "the connection was closed".to_owned(),
            Err(error) => words(&error),
        }
    });
    tokio::select! {
        biased;
        heard = first_byte => if heard.is_err() {
            return Err(ended.await.unwrap_or_else(|error| error.to_string()));
        },
        because = &mut ended => return Err(because.unwrap_or_else(|error| error.to_string())),
    }
    Ok(Connection {
        sender,
        ended,
        renew_after: valid_for.map(|valid_for| valid_for.mul_f64(RENEW_AFTER)),
    })
}

/// An error with what caused it.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        source = cause.source();
    }
    words
}
