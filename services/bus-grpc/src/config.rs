//! Options of the bus over gRPC.

use serde::{Deserialize, Serialize};

/// How much is under way between ingestion and its consumers, and how long anybody waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a publication waits for a consumer that is behind or away, seconds, default 5. Then it is refused,
    /// and telemetry's senders are told to come back.
    pub publish_seconds_max: u64,
    /// Batches that a publisher keeps because a consumer has not settled them, per consumer, default 16,384. Beyond
    /// it publishing waits.
    pub unsettled_batches_max: usize,
    /// What they may hold, as encoded, bytes, per consumer, default 134,217,728 (128 MiB).
    pub unsettled_bytes_max: usize,
    /// Bytes of one message, default 1,048,576 (1 MiB). A larger batch goes out as several; one larger record goes
    /// out alone.
    pub entry_bytes_max: usize,
    /// Batches of one publisher that may wait in a consumer's queue, default 64.
    pub queue_batches: usize,
    /// What the batches of all publishers in a consumer's queue may hold, as encoded, bytes, default 67,108,864
    /// (64 MiB).
    pub queue_bytes_max: usize,
    /// Publishers (replicas of ingestion) that a consumer serves at once, default 64.
    pub publishers_max: usize,
    /// How long a consumer may say nothing before its stream counts as broken, seconds, default 20. Consumers say
    /// something every five seconds.
    pub silence_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            publish_seconds_max: 5,
            unsettled_batches_max: 16_384,
            unsettled_bytes_max: 128 * 1024 * 1024,
            entry_bytes_max: 1024 * 1024,
            queue_batches: 64,
            queue_bytes_max: 64 * 1024 * 1024,
            publishers_max: 64,
            silence_seconds_max: 20,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: usize, low: usize, high: usize| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        const MIB: usize = 1024 * 1024;
        let seconds = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        within("publish_seconds_max", seconds(self.publish_seconds_max), 1, 60);
        within("unsettled_batches_max", self.unsettled_batches_max, 1, 1_000_000);
        within("unsettled_bytes_max", self.unsettled_bytes_max, MIB, 4096 * MIB);
        within("entry_bytes_max", self.entry_bytes_max, 1024, 16 * MIB);
        within("queue_batches", self.queue_batches, 1, 65_536);
        within("queue_bytes_max", self.queue_bytes_max, MIB, 2048 * MIB);
        within("publishers_max", self.publishers_max, 1, 4096);
        within("silence_seconds_max", seconds(self.silence_seconds_max), 10, 600);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are within their own limits, and every mistake is named with its path.
    #[test]
    fn every_mistake_is_named() {
        let mut mistakes = Vec::new();
        Config::default().check("bus.grpc", &mut mistakes);
        assert_eq!(mistakes, Vec::<String>::new());
        let wrong = Config {
            publish_seconds_max: 0,
            queue_batches: 0,
            ..Config::default()
        };
        wrong.check("bus.grpc", &mut mistakes);
        assert_eq!(
            mistakes,
            [
                "bus.grpc.publish_seconds_max = 0: must be between 1 and 60",
                "bus.grpc.queue_batches = 0: must be between 1 and 65536"
            ]
        );
    }
}
