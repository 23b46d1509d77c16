//! Walking along the chain.

use super::{ActionLog, Link, LinkHash, canonical};
use crate::error::Result;

/// Rows that are read at a time.
const PAGE: u32 = 250;

/// Walks begun anew because retention removed rows under the walker.
const RESTARTS_MAX: u32 = 3;

/// What a walk along the chain has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Rows that were walked along.
    pub rows: u64,
    /// Of these, rows of other runs of which only the links were given.
    pub hidden: u64,
    /// The link that the walk began after.
    pub start: Link,
    /// The last good link.
    pub last: Link,
    /// Rows that have no link yet, and so are not covered.
    pub unchained: u64,
    /// Rows before the chain's beginning, which are not covered: retention is about to remove them, or somebody put
    /// them there.
    pub strays: u64,
    /// Links that were kept elsewhere and lie before what is kept here, so that they say nothing.
    pub too_old: Vec<Link>,
    /// Where the chain is broken first.
    pub broken_at: Option<Break>,
}

impl Verdict {
    /// Whether nothing was found.
    pub fn is_intact(&self) -> bool {
        self.broken_at.is_none()
    }
}

/// How the chain is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A row directly after the last good one does not have its hash.
    #[error(
        "row {sequence} is not what was chained: it hashes to {computed}, and {stored} is written beside it"
    )]
    Changed {
        /// Which row.
        sequence: u64,
        /// The hash beside it.
        stored: LinkHash,
        /// The hash that it has.
        computed: LinkHash,
    },
    /// A row does not follow the one that is now before it.
    #[error("row {sequence} does not follow row {after}: rows between them are gone, or it was changed")]
    Missing {
        /// Which row.
        sequence: u64,
        /// The last good row; 0 for the beginning.
        after: u64,
    },
    /// A row without a hash stands among rows that have one.
    #[error(
        "row {sequence} has no hash although later rows have one: it was put in, or its hash was removed"
    )]
    Unlinked {
        /// Which row.
        sequence: u64,
    },
    /// A row that comes later has a smaller place.
    #[error("row {sequence} comes after row {after}")]
    Disordered {
        /// Which row.
        sequence: u64,
        /// The row before it.
        after: u64,
    },
    /// A row has another hash than one that was kept.
    #[error("row {sequence} has hash {found}, and {kept} was kept: the log was written anew")]
    Rewritten {
        /// Which row.
        sequence: u64,
        /// The hash that it has.
        found: LinkHash,
        /// The hash that was kept.
        kept: LinkHash,
    },
    /// A row whose link was kept is not there.
    #[error("row {sequence} was there and is gone: the log ends at {last}")]
    Truncated {
        /// Which row.
        sequence: u64,
        /// The last row that is there; 0 for none.
        last: u64,
    },
}

/// Walks along the chain, row by row.
#[derive(Debug)]
pub struct Verifier {
    verdict: Verdict,
    /// Links to come across, the next one last.
    expected: Vec<Link>,
}

impl Verifier {
    /// Begins after a link that is believed, and expects to come across others.
    pub fn new(start: Link, expected: &[Link]) -> Self {
        let mut expected = expected.to_vec();
        expected.sort_by_key(|link| std::cmp::Reverse(link.sequence));
        let mut verifier = Verifier {
            verdict: Verdict {
                rows: 0,
                hidden: 0,
                start,
                last: start,
                unchained: 0,
                strays: 0,
                too_old: Vec::new(),
                broken_at: None,
            },
            expected,
        };
        while let Some(link) = verifier.expected.pop_if(|link| link.sequence < start.sequence) {
            verifier.verdict.too_old.push(link);
        }
        verifier.compare(start);
        verifier
    }

    /// The last good link.
    pub fn at(&self) -> Link {
        self.verdict.last
    }

    /// Takes the next row: its canonical bytes, `None` where they are hidden from the reader, and the hash that is
    /// written beside it. Returns whether to go on.
    pub fn row(&mut self, sequence: u64, content: Option<&[u8]>, stored: Option<LinkHash>) -> bool {
        if self.verdict.broken_at.is_some() {
            return false;
        }
        let last = self.verdict.last;
        let Some(stored) = stored else {
            return self.broken(Break::Unlinked { sequence });
        };
        if sequence <= last.sequence {
            return self.broken(Break::Disordered {
                sequence,
                after: last.sequence,
            });
        }
        let computed = content.map_or(stored, |content| last.hash.then(content));
        if computed != stored {
            return self.broken(if sequence == last.sequence + 1 {
                Break::Changed {
                    sequence,
                    stored,
                    computed,
                }
            } else {
                Break::Missing {
                    sequence,
                    after: last.sequence,
                }
            });
        }
        let link = Link {
            sequence,
            hash: stored,
        };
        self.verdict.rows += 1;
        self.verdict.hidden += u64::from(content.is_none());
        self.compare(link);
        if self.verdict.broken_at.is_none() {
            self.verdict.last = link;
        }
        self.verdict.broken_at.is_none()
    }

    /// Takes what the next row says of its predecessor, where that is written down. Returns whether to go on.
    pub fn previous(&mut self, sequence: u64, previous: LinkHash) -> bool {
        let last = self.verdict.last;
        if self.verdict.broken_at.is_none() && previous != last.hash {
            return self.broken(Break::Missing {
                sequence,
                after: last.sequence,
            });
        }
        self.verdict.broken_at.is_none()
    }

    /// What was found, when there are no more rows.
    pub fn finish(mut self) -> Verdict {
        if let (None, Some(link)) = (self.verdict.broken_at, self.expected.last()) {
            self.verdict.broken_at = Some(Break::Truncated {
                sequence: link.sequence,
                last: self.verdict.last.sequence,
            });
        }
        self.verdict
    }

    fn broken(&mut self, at: Break) -> bool {
        self.verdict.broken_at = Some(at);
        false
    }

    /// Compares a link with those that were to come up to it.
    fn compare(&mut self, link: Link) {
        while let Some(kept) = self.expected.pop_if(|kept| kept.sequence <= link.sequence) {
            let at = if kept.sequence < link.sequence {
                Break::Missing {
                    sequence: link.sequence,
                    after: self.verdict.last.sequence,
                }
            } else if kept.hash != link.hash {
                Break::Rewritten {
                    sequence: link.sequence,
                    found: link.hash,
                    kept: kept.hash,
                }
            } else {
                continue;
            };
            self.verdict.broken_at = Some(at);
            return;
        }
    }
}

/// Walks along a log from where its rows begin, or after a link that is believed, to its end. `kept` are links that
/// were kept elsewhere; the log's own note of its last link is compared, too.
///
/// # Errors
/// When the store does not answer. What is wrong with the log is in the verdict.
pub async fn verify(log: &dyn ActionLog, from: Option<Link>, kept: &[Link]) -> Result<Verdict> {
    let mut restarts = 0;
    loop {
        let chain = log.chain().await?;
        let start = from.unwrap_or(chain.start);
        let mut expected = kept.to_vec();
        if chain.head.sequence >= start.sequence {
            expected.push(chain.head);
        }
        let mut verifier = Verifier::new(start, &expected);
        if start.sequence > chain.head.sequence {
            verifier.broken(Break::Truncated {
                sequence: start.sequence,
                last: chain.head.sequence,
            });
        }
        'walk: while verifier.verdict.broken_at.is_none() {
            let page = log.after(verifier.at().sequence, PAGE).await?;
            for stored in &page {
                // What was written since the walk began may not be chained yet.
                if stored.hash.is_none() && stored.sequence > chain.head.sequence {
                    break 'walk;
                }
                if !verifier.row(stored.sequence, Some(&canonical::row(stored)), stored.hash) {
                    break 'walk;
                }
            }
            if page.is_empty() {
                break;
            }
        }
        let verdict = Verdict {
            unchained: chain.unchained,
            strays: chain.strays,
            ..verifier.finish()
        };
        let has_moved = verdict.broken_at.is_some()
            && from.is_none()
            && log.chain().await?.start != chain.start
            && restarts < RESTARTS_MAX;
        if !has_moved {
            return Ok(verdict);
        }
        restarts += 1;
    }
}
