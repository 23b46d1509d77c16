//! The words that keeper, reader and consumer have in common.

use crate::place::Position;

/// What Redis said about a partition that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) fence: u64,
    /// The position that was acknowledged last, by any replica.
    pub(crate) acked: Option<Position>,
    /// The last entry; the start when there never was one.
    pub(crate) last: Position,
}

/// A time of holding a partition. Told apart from earlier ones of this replica by its number, so that what belongs
/// to an earlier one is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tenure {
    pub(crate) index: u16,
    pub(crate) number: u64,
}

/// Where a tenure is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) tenure: Tenure,
    /// Counts how often the position was set rather than advanced: an answer to an earlier question is void.
    pub(crate) epoch: u32,
    pub(crate) position: Position,
}

/// What the consumer is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Gained(u16),
    Lost(u16),
}

/// A lease to be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewal {
    pub(crate) tenure: Tenure,
    pub(crate) fence: u64,
    /// The acknowledged position, when Redis does not have it.
    pub(crate) acked: Option<Position>,
    /// Where the reader was when this was made.
    pub(crate) read: Reading,
}

/// What became of an entry that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advance {
    /// It is the next.
    Next,
    /// It is the next that is left: so many before it are gone.
    Gap { entries: u64, since_ms: u64 },
    /// It is the next, but Redis numbers anew: it has lost what it knew.
    Renumbered,
    /// The tenure has ended, or reads elsewhere.
    Void,
}

/// How far the consumer itself has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// At work.
    Open,
    /// Nothing more is delivered; what was delivered may be acknowledged.
    Closing,
    /// The consumer is gone; leases are to be given back.
    Ended,
}
