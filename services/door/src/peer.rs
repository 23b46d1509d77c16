//! Who is at the other end of a connection.

use axum::extract::ConnectInfo;
use axum::extract::connect_info::Connected;
use axum::http::Extensions;
use axum::serve::IncomingStream;
use immune_runtime::tls::Listener;
use std::net::{IpAddr, SocketAddr};

/// The address at the other end of a connection; an extension of every request, as axum's [`ConnectInfo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Peer(*stream.remote_addr())
    }
}

impl Peer {
    /// The peer of a request; `None` where nobody has put it there.
    pub fn of(extensions: &Extensions) -> Option<IpAddr> {
        let ConnectInfo(Peer(address)) = extensions.get::<ConnectInfo<Peer>>()?;
        Some(address.ip())
    }
}
