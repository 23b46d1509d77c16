//! The names of keys; see the crate's description.

use crate::config::Config;
use std::sync::Arc;

/// The keys of one bus, made once.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: String,
    partitions: Vec<Partition>,
    pub(crate) division: Arc<str>,
}

/// The keys of one partition that all consumers share.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) entries: Arc<str>,
    pub(crate) meta: Arc<str>,
}

/// The keys of one consumer.
#[derive(Debug)]
pub(crate) struct ConsumerKeys {
    pub(crate) members: Arc<str>,
    pub(crate) lives: Arc<str>,
    leases: Vec<Lease>,
}

/// The keys of one partition that belong to one consumer.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) lease: Arc<str>,
    pub(crate) state: Arc<str>,
}

impl Keys {
    pub(crate) fn new(config: &Config) -> Self {
        let prefix = config.prefix.clone();
        let partitions = (0..config.partitions)
            .map(|i| Partition {
                entries: format!("{prefix}:{{vitals.{i}}}:entries").into(),
                meta: format!("{prefix}:{{vitals.{i}}}:meta").into(),
            })
            .collect();
        Keys {
            division: format!("{prefix}:{{vitals}}:partitions").into(),
            prefix,
            partitions,
        }
    }

    /// The keys of a partition, which must be below the configured count.
    pub(crate) fn partition(&self, index: u16) -> &Partition {
        &self.partitions[usize::from(index)]
    }

    pub(crate) fn consumer(&self, name: &str) -> ConsumerKeys {
        let prefix = &self.prefix;
        let lease = |i: usize| Lease {
            lease: format!("{prefix}:{{vitals.{i}}}:{name}:lease").into(),
            state: format!("{prefix}:{{vitals.{i}}}:{name}:state").into(),
        };
        ConsumerKeys {
            members: format!("{prefix}:{{{name}}}:members").into(),
            lives: format!("{prefix}:{{{name}}}:lives").into(),
            leases: (0..self.partitions.len()).map(lease).collect(),
        }
    }
}

impl ConsumerKeys {
    /// The keys of a partition, which must be below the configured count.
    pub(crate) fn lease(&self, index: u16) -> &Lease {
        &self.leases[usize::from(index)]
    }
}
