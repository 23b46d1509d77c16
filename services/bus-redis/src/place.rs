//! Where an entry is in its stream.

use std::fmt;
use std::str::FromStr;

/// The id that Redis gave an entry: the time of its clock, milliseconds, and a count within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Id {
    pub(crate) ms: u64,
    pub(crate) count: u64,
}

/// An entry by its id and by its number among all that its partition ever had, from 1. Numbers tell whether entries
/// between two that were read are gone; 0 where the number is not known.
///
/// Written as `<id>:<number>`, the [`immune_bus::Place`] of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) id: Id,
    pub(crate) number: u64,
}

impl Position {
    /// Before the first entry.
    pub(crate) const START: Position = Position {
        id: Id { ms: 0, count: 0 },
        number: 0,
    };

    /// Before the first entry of a millisecond.
    pub(crate) fn before(ms: u64) -> Self {
        let id = match ms.checked_sub(1) {
            Some(ms) => Id { ms, count: u64::MAX },
            None => Id::default(),
        };
        Position { id, number: 0 }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.count)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.number)
    }
}

/// A text that no position was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAPosition;

impl FromStr for Id {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (ms, count) = text.split_once('-').ok_or(NotAPosition)?;
        Ok(Id {
            ms: ms.parse().map_err(|_| NotAPosition)?,
            count: count.parse().map_err(|_| NotAPosition)?,
        })
    }
}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (id, number) = text.split_once(':').ok_or(NotAPosition)?;
        Ok(Position {
            id: id.parse()?,
            number: number.parse().map_err(|_| NotAPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: positions survive being written, order is that of Redis, and other texts are refused.
    #[test]
    fn written_and_read() {
        let position = Position {
            id: Id {
                ms: 1_767_225_600_000,
                count: 12,
            },
            number: 345,
        };
        assert_eq!(position.to_string(), "1767225600000-12:345");
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "1-2", "1:2", "a-1:2", "1-2:-3", "1-2:3:4"] {
            assert_eq!(text.parse::<Position>(), Err(NotAPosition), "{text}");
        }
        let first = Id { ms: 5, count: 0 };
        assert!(Position::before(5).id < first && Position::before(5).id > Id { ms: 4, count: 7 });
        assert_eq!(Position::before(0), Position::START);
    }
}
