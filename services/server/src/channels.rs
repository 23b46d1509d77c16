//! Ways to the roles: in this process over a pipe, elsewhere over the network; a caller cannot tell.

use crate::roles::Role;
use immune_runtime::grpc::{Peers, RoleChannel, inproc};
use std::io;
use std::pin::Pin;
use tokio::io::DuplexStream;

/// Connections that a role accepts from others in this process.
pub type Connections = Pin<Box<dyn futures::Stream<Item = io::Result<DuplexStream>> + Send>>;

/// Every replica of each role that this process may call, by [`Role::index`].
#[derive(Clone)]
pub struct Channels([Peers; 6]);

impl Channels {
    /// Pipes to all roles, except where `elsewhere` knows of replicas on the network; and what is accepted at the
    /// other ends of the pipes, by [`Role::index`].
    pub fn new(elsewhere: impl Fn(Role) -> Option<Peers>) -> (Self, [Option<Connections>; 6]) {
        let mut connections = [const { None }; 6];
        let peers = Role::ALL.map(|role| {
            elsewhere(role).unwrap_or_else(|| {
                let (channel, accepted) = inproc::pair();
                connections[role.index()] = Some(Box::pin(accepted) as Connections);
                Peers::one(channel)
            })
        });
        (Channels(peers), connections)
    }

    /// Calls that any replica of a role can answer.
    pub fn to(&self, role: Role) -> RoleChannel {
        self.peers(role).any()
    }

    /// Every replica of a role.
    pub fn peers(&self, role: Role) -> Peers {
        self.0[role.index()].clone()
    }
}
