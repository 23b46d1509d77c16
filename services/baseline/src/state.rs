//! What the role says of itself to whoever asks whether it is ready.

/// How the role stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Partitions whose profiles are here.
    pub partitions_held: usize,
    /// Partitions in all; 0 before the bus has given one.
    pub partition_count: u16,
    /// Whether there is a partition, and the profiles of every one that the bus has given are here.
    pub is_loaded: bool,
    /// Why the store's last answer was none; `None` when it was one. For the log and people who operate this; it may
    /// hold the backend's own words.
    pub store_error: Option<String>,
}
