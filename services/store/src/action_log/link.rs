//! Links of the chain.

use super::{StoredRow, canonical};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The hash of a row and of everything before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkHash(pub [u8; 32]);

impl LinkHash {
    /// What stands before the first row.
    pub const ZERO: LinkHash = LinkHash([0; 32]);

    /// The hash of a row that follows this one, from its canonical bytes.
    #[must_use]
    pub fn then(self, canonical: &[u8]) -> LinkHash {
        let mut digest = Sha256::new();
        digest.update(self.0);
        digest.update(canonical);
        LinkHash(digest.finalize().into())
    }

    /// The hash of a row that follows this one.
    #[must_use]
    pub fn then_row(self, row: &StoredRow) -> LinkHash {
        self.then(&canonical::row(row))
    }
}

impl fmt::Display for LinkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LinkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LinkHash {
    type Err = ParseLinkError;

    fn from_str(text: &str) -> Result<Self, ParseLinkError> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseLinkError::Hash);
        }
        for (n, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| ParseLinkError::Hash)?;
        }
        Ok(LinkHash(hash))
    }
}

impl Serialize for LinkHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LinkHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A row's place and hash: who keeps one elsewhere can show later that nothing up to it has changed. Written as
/// `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// Place of the row.
    pub sequence: u64,
    /// Its hash.
    pub hash: LinkHash,
}

impl Link {
    /// What stands before the first row.
    pub const ZERO: Link = Link {
        sequence: 0,
        hash: LinkHash::ZERO,
    };
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for Link {
    type Err = ParseLinkError;

    fn from_str(text: &str) -> Result<Self, ParseLinkError> {
        let (sequence, hash) = text.split_once(':').ok_or(ParseLinkError::Shape)?;
        Ok(Link {
            sequence: sequence.parse().map_err(|_| ParseLinkError::Sequence)?,
            hash: hash.parse()?,
        })
    }
}

/// What is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseLinkError {
    /// There is no colon.
    #[error("must be SEQUENCE:HASH")]
    Shape,
    /// The place is no number.
    #[error("the sequence must be a number")]
    Sequence,
    /// The hash is none.
    #[error("the hash must be 64 hexadecimal digits")]
    Hash,
}

impl ParseLinkError {
    /// What a caller may do about it.
    pub fn kind(self) -> immune_domain::ErrorKind {
        match self {
            ParseLinkError::Shape | ParseLinkError::Sequence | ParseLinkError::Hash => {
                immune_domain::ErrorKind::Invalid
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a link is read back from what it prints, and what is no link is told apart.
    #[test]
    fn links_are_written_and_read() {
        let link = Link {
            sequence: 7,
            hash: LinkHash::ZERO.then(b"x"),
        };
        assert_eq!(link.to_string().parse(), Ok(link));
        assert_eq!("7".parse::<Link>(), Err(ParseLinkError::Shape));
        assert_eq!("x:00".parse::<Link>(), Err(ParseLinkError::Sequence));
        assert_eq!("7:00".parse::<Link>(), Err(ParseLinkError::Hash));
        assert_eq!(
            format!("7:{}", "é".repeat(32)).parse::<Link>(),
            Err(ParseLinkError::Hash)
        );
    }
}
