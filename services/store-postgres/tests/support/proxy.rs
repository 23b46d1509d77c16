//! A proxy that loses answers (the server has done what it was asked, and the client never hears of it), or hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Stands between a store and its server.
pub struct Proxy {
    port: u16,
    /// Answers that pass before one is lost; 0 loses none.
    countdown: Arc<AtomicU32>,
    hangs: watch::Sender<bool>,
}

impl Proxy {
    /// Starts in front of a server of this machine.
    pub async fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let countdown = Arc::new(AtomicU32::new(0));
        let (shared, hangs) = (countdown.clone(), watch::Sender::new(false));
        let hanging = hangs.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, shared.clone(), hanging.clone()));
            }
        });
        Proxy {
            port,
            countdown,
            hangs,
        }
    }

    /// The URL that leads through the proxy.
    pub fn url(&self, url: &str, server: u16) -> String {
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }

    /// Loses the answer number `n` from now on, and cuts its connection.
    pub fn lose(&self, n: u32) {
        self.countdown.store(n, Ordering::SeqCst);
    }

    /// Passes nothing on, or everything again.
    pub fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    /// Whether the answer has been lost.
    pub fn has_lost(&self) -> bool {
        self.countdown.load(Ordering::SeqCst) == 0
    }
}

async fn pass(
    mut client: TcpStream,
    server: u16,
    countdown: Arc<AtomicU32>,
    mut hangs: watch::Receiver<bool>,
) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        if hangs.wait_for(|hangs| !hangs).await.is_err() {
            return;
        }
        tokio::select! {
            _ = hangs.changed() => {}
            n = client.read(&mut asked) => {
                let Ok(n @ 1..) = n else { return };
                if server.write_all(&asked[..n]).await.is_err() { return }
            }
            n = server.read(&mut answered) => {
                let Ok(n @ 1..) = n else { return };
                let left = countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                if left == Ok(1) { return }
                if client.write_all(&answered[..n]).await.is_err() { return }
            }
        }
    }
}
