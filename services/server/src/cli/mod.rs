//! The command line: one file per command.
//!
//! Exit status: 0 done, 1 failed or refused, 2 wrong usage.

pub mod client;
pub mod completions;
pub mod decide;
pub mod doctor;
pub mod failure;
pub mod get;
pub mod pick;
pub mod table;
