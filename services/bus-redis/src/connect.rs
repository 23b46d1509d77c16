//! Making connections: to one server, to the primary that sentinels name, to a cluster.

use crate::address::{Address, Kind, Login};
use crate::config::Tls;
use crate::trouble::Trouble;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, ClientTlsConfig, RedisError, TlsCertificates, TlsMode};
use std::path::Path;
use std::time::Duration;

/// How often the cluster's client tries a command elsewhere before it says that it failed.
const CLUSTER_RETRIES: u32 = 3;

/// A connection; clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    /// To one server.
    One(MultiplexedConnection),
    /// To every primary of a cluster.
    Cluster(ClusterConnection),
}

/// Makes a connection that waits for `answer` at most for each answer.
pub(crate) async fn connect(address: &Address, tls: &Tls, answer: Duration) -> Result<Connection, Trouble> {
    // Each sentinel may be asked in vain before the primary is.
    let hosts = u32::try_from(address.hosts.len()).unwrap_or(u32::MAX);
    let after = answer.saturating_mul(hosts.saturating_add(1));
    match tokio::time::timeout(after, reach(address, tls, answer)).await {
        Ok(connection) => connection,
        Err(_) => Err(Trouble::Late { after }),
    }
}

async fn reach(address: &Address, tls: &Tls, answer: Duration) -> Result<Connection, Trouble> {
    let certificates = if address.is_tls {
        certificates(tls).await?
    } else {
        None
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(answer))
        .set_response_timeout(Some(answer));
    let client = match &address.kind {
        Kind::One { database } => {
            let info = address.hosts[0].info(address.is_tls, address.login.settings(*database))?;
            match certificates {
                Some(certificates) => Client::build_with_tls(info, certificates)?,
                None => Client::open(info)?,
            }
        }
        Kind::Sentinel {
            service,
            database,
            login,
        } => {
            let mut client = sentinel(address, service, *database, login, certificates)?;
            client.async_get_client().await?
        }
        Kind::Cluster => {
            let client = cluster(address, certificates, answer)?;
            return Ok(Connection::Cluster(client.get_async_connection().await?));
        }
    };
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(Connection::One(connection))
}

fn cluster(
    address: &Address,
    certificates: Option<TlsCertificates>,
    answer: Duration,
) -> Result<ClusterClient, RedisError> {
    let nodes = address
        .hosts
        .iter()
        .map(|host| host.info(address.is_tls, address.login.settings(0)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut builder = ClusterClient::builder(nodes)
        .connection_timeout(answer)
        .response_timeout(answer)
        .retries(CLUSTER_RETRIES);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build()
}

fn sentinel(
    address: &Address,
    service: &str,
    database: i64,
    login: &Login,
    certificates: Option<TlsCertificates>,
) -> Result<SentinelClient, RedisError> {
    let mut sentinels = Vec::new();
    for host in &address.hosts {
        let info = host.info(address.is_tls, login.settings(0))?;
        sentinels.push(info.addr().clone());
    }
    let mut builder = SentinelClientBuilder::new(sentinels, service, SentinelServerType::Master)?
        .set_client_to_redis_db(database);
    if let Some(user) = &address.login.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &address.login.password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = &login.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &login.password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if address.is_tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}

async fn certificates(tls: &Tls) -> Result<Option<TlsCertificates>, Trouble> {
    let client_tls = match (&tls.certificate_file, &tls.key_file) {
        (Some(certificate), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(certificate).await?,
            client_key: read(key).await?,
        }),
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    let root_cert = match &tls.ca_file {
        Some(file) => Some(read(file).await?),
        None => None,
    };
    let is_any = client_tls.is_some() || root_cert.is_some();
    Ok(is_any.then_some(TlsCertificates {
        client_tls,
        root_cert,
    }))
}

async fn read(file: &Path) -> Result<Vec<u8>, Trouble> {
    tokio::fs::read(file)
        .await
        .map_err(|source| Trouble::Certificate {
            file: file.display().to_string(),
            source,
        })
}
