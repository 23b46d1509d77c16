//! The suite of levers, on the lifecycle client against the simulated platform, over HTTP and over gRPC.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::AgentKey;
use immune_levers::Lever;
use immune_levers::conformance::{Manner, Platform};
use immune_simulator::{Faults, Handle, Honesty};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

struct Simulated {
    simulation: Handle,
    lever: Arc<dyn Lever>,
}

async fn simulated(url: fn(&Handle) -> String) -> Simulated {
    let simulation = world::start(world::quick()).await;
    let lever = Arc::new(world::lever(&url(&simulation)));
    Simulated { simulation, lever }
}

#[async_trait::async_trait]
impl Platform for Simulated {
    fn lever(&self) -> Arc<dyn Lever> {
        Arc::clone(&self.lever)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3)
    }

    async fn agent(&self) -> AgentKey {
        AgentKey::new("default", "research-1")
    }

    async fn effects(&self, key: &AgentKey) -> u64 {
        self.simulation.agent(key.agent.as_str()).unwrap().effects
    }

    async fn is_contained(&self, key: &AgentKey) -> bool {
        self.simulation.agent(key.agent.as_str()).unwrap().is_contained()
    }

    async fn behave(&self, manner: Manner) {
        self.simulation.set_faults(match manner {
            Manner::Well => Faults::default(),
            Manner::Refuses(words) => Faults {
                refuses: Some(words.to_owned()),
                ..Faults::default()
            },
            Manner::CannotDo => Faults {
                unsupported: BTreeSet::from(["*".to_owned()]),
                ..Faults::default()
            },
            Manner::Hangs => Faults {
                hangs: true,
                ..Faults::default()
            },
            Manner::LiesAboutActions => Faults {
                honesty: Honesty::LiesAboutActions,
                ..Faults::default()
            },
        });
    }
}

mod over_http {
    use super::{Handle, simulated};

    async fn fresh() -> super::Simulated {
        simulated(Handle::lifecycle_base_url).await
    }

    immune_levers::conformance!(fresh);
}

mod over_grpc {
    use super::{Handle, simulated};

    async fn fresh() -> super::Simulated {
        simulated(Handle::lifecycle_grpc_url).await
    }

    immune_levers::conformance!(fresh);
}
