//! Where the parts of a server listen, by its configuration.

use crate::config::{Config, Grpc};
use crate::roles::Role;
use reqwest::Url;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    host: String,
    port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What to knock at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// OTLP over gRPC.
    pub otlp_grpc: Option<Place>,
    /// OTLP over HTTP.
    pub otlp_http: Option<Place>,
    /// gRPC of each role, ingestion first.
    pub roles: Vec<(Role, Place)>,
    /// `/metrics`, on the server's own machine.
    pub metrics: Option<Place>,
}

impl Targets {
    /// The listeners of a configuration. Where the server is on another machine, its OTLP doors are looked for
    /// there; its roles listen on loopback only and cannot be seen from here.
    pub fn of(config: &Config, server: &Url) -> Self {
        let away = host_elsewhere(server);
        let place = |listen: SocketAddr| match &away {
            Some(host) => Place {
                host: host.clone(),
                port: listen.port(),
            },
            None => Place {
                host: reachable(listen.ip()).to_string(),
                port: listen.port(),
            },
        };
        // A port of 0 is chosen at start and cannot be known here.
        let known = |listen: SocketAddr| (listen.port() != 0).then(|| place(listen));
        let here = |listen: SocketAddr| known(listen).filter(|_| away.is_none());
        let Grpc {
            enabled,
            host,
            first_port,
            ..
        } = config.grpc;
        let ports = (first_port..)
            .zip(Role::ALL)
            .filter(|_| enabled && first_port != 0);
        Targets {
            otlp_grpc: known(config.ingestion.grpc_listen),
            otlp_http: known(config.ingestion.http_listen),
            roles: ports
                .filter_map(|(port, role)| Some((role, here(SocketAddr::new(host, port))?)))
                .collect(),
            metrics: here(config.metrics.listen).filter(|_| config.metrics.enabled),
        }
    }
}

/// The host of a server that is not on this machine.
fn host_elsewhere(server: &Url) -> Option<String> {
    let host = server.host_str()?.trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (!is_here).then(|| host.to_owned())
}

/// An address that listens everywhere is reached over loopback.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(server: &str) -> Targets {
        Targets::of(&Config::default(), &Url::parse(server).expect("a url"))
    }

    /// Guarantees: a server here is knocked at on every port of the contract; one elsewhere only where it can listen.
    #[test]
    fn a_server_elsewhere_has_only_its_doors() {
        let here = targets("http://localhost:8090");
        let shown: Vec<String> = here
            .roles
            .iter()
            .map(|(role, place)| format!("{} {place}", role.as_str()))
            .collect();
        assert_eq!(shown[0], "ingestion 127.0.0.1:50051");
        assert_eq!(shown[5], "dashboard 127.0.0.1:50056");
        assert_eq!(
            here.otlp_grpc.map(|place| place.to_string()).as_deref(),
            Some("127.0.0.1:4317")
        );

        let there = targets("https://immune.example");
        assert!(there.roles.is_empty() && there.metrics.is_none());
        assert_eq!(
            there.otlp_http.map(|place| place.to_string()).as_deref(),
            Some("immune.example:4318")
        );
    }
}
