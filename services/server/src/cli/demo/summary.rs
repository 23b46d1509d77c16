//! What the demo has shown, in numbers.

use super::narrator::Narrator;
use crate::channels::Channels;
use crate::roles::Role;
use immune_proto::v1::dashboard_service_client::DashboardServiceClient;
use immune_proto::v1::healer_service_client::HealerServiceClient;
use immune_proto::v1::{GetStatsRequest, GetStatsResponse, ListMemoriesRequest, MemoryRecord};
use std::time::Duration;

/// The numbers.
pub struct Summary {
    stats: Option<GetStatsResponse>,
    memories: Vec<MemoryRecord>,
    infections: u64,
    delays: Vec<Duration>,
}

/// Asks the roles, while they still answer.
pub async fn read(channels: Channels, narrator: &Narrator) -> Summary {
    let request = GetStatsRequest {
        run_id: String::new(),
    };
    let stats = DashboardServiceClient::new(channels.to(Role::Dashboard))
        .get_stats(request)
        .await;
    let request = ListMemoriesRequest {
        limit: 100,
        ..ListMemoriesRequest::default()
    };
    let memories = HealerServiceClient::new(channels.to(Role::Healer))
        .list_memories(request)
        .await;
    let (infections, mut delays) = narrator.read(|book| (book.infections, book.delays.clone()));
    delays.sort();
    Summary {
        stats: stats.ok().map(tonic::Response::into_inner),
        memories: memories
            .map(|memories| memories.into_inner().memories)
            .unwrap_or_default(),
        infections,
        delays,
    }
}

impl Summary {
    /// Prints them.
    pub fn print(&self) {
        println!("\nwhat happened");
        if let Some(stats) = &self.stats {
            println!("  agents               {:>8}", stats.total_agents);
            println!("  executions           {:>8}", stats.total_executions);
            println!("  baselines learned    {:>8}", stats.baselines_learned);
            println!("  cases opened         {:>8}", stats.total_infections);
            println!("  healed               {:>8}", stats.total_healed);
            println!("  still open           {:>8}", stats.current_infected);
            println!("  steps that failed    {:>8}", stats.failed_healings);
        }
        println!("  infections spread    {:>8}", self.infections);
        if let (Some(median), Some(longest)) = (self.delays.get(self.delays.len() / 2), self.delays.last()) {
            println!(
                "  detected after       {:>7.1}s median, {:.1}s at most",
                median.as_secs_f64(),
                longest.as_secs_f64()
            );
        }
        if !self.memories.is_empty() {
            println!("  immune memory");
        }
        for memory in &self.memories {
            let agent = memory.key.as_ref().map_or("", |key| key.agent_id.as_str());
            println!(
                "    {agent:<24} {:<20} {:<16} helped {} times, failed {} times",
                memory.diagnosis, memory.action, memory.successes, memory.failures
            );
        }
    }
}
