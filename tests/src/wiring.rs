//! The two wirings that every flow runs in: all roles in one process on an embedded store, and each role a process of
//! its own on PostgreSQL, Redis and InfluxDB.

use crate::api::Api;
use crate::cluster::{Cluster, Options};
use crate::node::ROLES;
use crate::process::Process;
use serde_json::Value;

/// How the roles are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// One process, SQLite, a bus in memory.
    OneProcess,
    /// Six processes, PostgreSQL, InfluxDB, Redis.
    Cluster,
    /// Six processes, PostgreSQL, InfluxDB, gRPC streams in the place of Redis.
    Streams,
}

/// A system of either wiring, on its own data.
pub enum System {
    /// One process.
    One(Box<Process>),
    /// Six.
    Many(Box<Cluster>),
}

impl System {
    /// Chooses ports and starts nothing of the system itself.
    pub async fn prepare(wiring: Wiring) -> Self {
        match wiring {
            Wiring::OneProcess => System::One(Box::new(Process::prepare())),
            Wiring::Cluster | Wiring::Streams => {
                let options = Options {
                    has_redis: wiring == Wiring::Cluster,
                    ..Options::default()
                };
                System::Many(Box::new(Cluster::prepare_on_shared(options).await))
            }
        }
    }

    /// Starts it with a configuration over the harness's own, and waits until it is ready.
    pub async fn start(&mut self, config: Value) {
        match self {
            System::One(process) => {
                process.configure(config);
                process.restart().await;
            }
            System::Many(cluster) => cluster.start_with(config).await,
        }
    }

    /// A client of its REST.
    pub fn api(&self) -> Api {
        Api::new(self.rest())
    }

    /// Where its REST is.
    pub fn rest(&self) -> String {
        match self {
            System::One(process) => format!("http://127.0.0.1:{}", process.rest),
            System::Many(cluster) => cluster.rest(),
        }
    }

    /// Where agents send OTLP over gRPC.
    pub fn otlp_grpc(&self) -> String {
        match self {
            System::One(process) => format!("http://127.0.0.1:{}", process.otlp_grpc),
            System::Many(cluster) => cluster.otlp_grpc(),
        }
    }

    /// Where agents send OTLP over HTTP.
    pub fn otlp_http(&self) -> String {
        match self {
            System::One(process) => format!("http://127.0.0.1:{}", process.otlp_http),
            System::Many(cluster) => cluster.otlp_http().swap_remove(0),
        }
    }

    /// Where a role's gRPC is, by its place in the order of ports.
    pub fn grpc(&self, role: usize) -> u16 {
        match self {
            System::One(process) => process.grpc + role as u16,
            System::Many(cluster) => {
                cluster
                    .of(ROLES[role])
                    .next()
                    .expect("each role has a replica")
                    .grpc
            }
        }
    }
}

/// Makes a test of each flow in each wiring.
#[macro_export]
macro_rules! in_both_wirings {
    ($($flow:ident),+ $(,)?) => {
        mod one_process {
            $(
                #[tokio::test]
                async fn $flow() {
                    super::$flow($crate::wiring::Wiring::OneProcess).await;
                }
            )+
        }
        mod cluster {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $flow() {
                    super::$flow($crate::wiring::Wiring::Cluster).await;
                }
            )+
        }
    };
}
