//! The bytes of a connection: tells when the first arrive, and can be cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Wraps a connection. A server of HTTP/2 speaks first, so the first byte says that it has taken the connection,
/// which a finished handshake of TLS does not: in TLS 1.3 the server looks at our certificate after it.
pub(super) struct Watched<S> {
    stream: S,
    first_byte: Option<oneshot::Sender<()>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Watched<S> {
    /// Wraps; `first_byte` is told, and `cut` ends the connection whatever is under way.
    pub(super) fn new(stream: S, first_byte: oneshot::Sender<()>, cut: CancellationToken) -> Self {
        Watched {
            stream,
            first_byte: Some(first_byte),
            cut: Box::pin(cut.cancelled_owned()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "a certificate of the connection has expired",
            )));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before
            && let Some(first_byte) = self.first_byte.take()
        {
            // Nobody listens any more when connecting took too long.
            let _ = first_byte.send(());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
