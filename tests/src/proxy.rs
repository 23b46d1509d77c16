//! A TCP proxy that can be cut, slowed and mended: the network between two parts, in the hands of a test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Passes everything on.
    Open,
    /// Passes everything on, each read delayed.
    Slow(Duration),
    /// Connections stay, and nothing passes: a partition.
    Silent,
    /// Connections are closed, and new ones at once.
    Cut,
}

/// A proxy in front of one address; it ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    line: Arc<watch::Sender<Line>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and passes on to `to`.
    ///
    /// # Panics
    /// When loopback has no port.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a port");
        let address = listener.local_addr().expect("it is bound");
        let line = Arc::new(watch::Sender::new(Line::Open));
        let lines = line.clone();
        let task = tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                let line = lines.subscribe();
                tokio::spawn(async move {
                    if *line.borrow() != Line::Cut
                        && let Ok(outer) = TcpStream::connect(to).await
                    {
                        carry(inner, outer, line).await;
                    }
                });
            }
        });
        Proxy { address, line, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to all connections.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.line.send_replace(Line::Cut);
    }
}

async fn carry(inner: TcpStream, outer: TcpStream, line: watch::Receiver<Line>) {
    let mut cut = line.clone();
    let (inner_read, inner_write) = inner.into_split();
    let (outer_read, outer_write) = outer.into_split();
    tokio::select! {
        () = one_way(inner_read, outer_write, line.clone()) => {}
        () = one_way(outer_read, inner_write, line) => {}
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

async fn one_way(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut line: watch::Receiver<Line>,
) {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let now = *line.borrow();
        match now {
            Line::Open => {}
            Line::Slow(delay) => tokio::time::sleep(delay).await,
            Line::Silent | Line::Cut => {
                if line.wait_for(|line| *line != Line::Silent).await.is_err() {
                    return;
                }
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
