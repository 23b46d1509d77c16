//! Translation between wire and domain, one file per domain room.
