//! How the roles of this process and of others know each other.

use crate::config::Config;
use anyhow::Context;
use immune_runtime::access::{RoleToken, Roles};
use immune_runtime::config::Secret;
use immune_runtime::grpc::server::{ServerSecurity, Strangers};
use immune_runtime::grpc::{ClientSecurity, Options, Peers, Target};
use immune_runtime::metrics::Metrics;
use immune_runtime::tls::{ClientTls, ServerTls};
use tokio_util::sync::CancellationToken;

/// The two sides of it: as who we call, and whom we let in.
pub struct Security {
    client: ClientSecurity,
    server: ServerSecurity,
}

impl Security {
    /// Reads certificates, or the token, as configured. `may_strangers_call` is asked at every call of a program on
    /// this machine that presents nothing.
    ///
    /// # Errors
    /// When a file cannot be read or used; the message names it.
    pub fn read(
        config: &Config,
        metrics: &Metrics,
        may_strangers_call: impl Fn() -> bool + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let grpc = &config.grpc;
        if let Some(files) = &grpc.tls {
            let client = ClientTls::load(files.clone(), metrics).context("grpc.tls")?;
            let server = ServerTls::for_roles(files.clone(), metrics).context("grpc.tls")?;
            return Ok(Security {
                client: ClientSecurity::MutualTls(client),
                server: ServerSecurity::MutualTls(server),
            });
        }
        let token = match (&grpc.token, &grpc.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("grpc.token_file = {}", file.display()))?;
                Some(Secret::new(text.trim()))
            }
            (None, None) => None,
        };
        let me: Roles = config.roles.0.iter().map(|role| role.name()).collect();
        Ok(Security {
            server: ServerSecurity::Loopback {
                token: token.as_ref().map(RoleToken::new),
                strangers: Strangers::when(may_strangers_call),
            },
            client: match token {
                Some(token) => ClientSecurity::Token { token, me },
                None => ClientSecurity::Stranger,
            },
        })
    }

    /// The replicas of a role in other processes.
    pub fn peers(
        &self,
        target: &Target,
        options: &Options,
        metrics: &Metrics,
        end: CancellationToken,
    ) -> Peers {
        Peers::resolve(target, self.client.clone(), options, metrics, end)
    }

    /// Whom listeners let in.
    pub fn server(&self) -> ServerSecurity {
        self.server.clone()
    }
}
