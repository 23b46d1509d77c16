//! What clients see: the shapes of answers. Times are epoch seconds, severities have one decimal.

pub mod agent;
pub mod baseline;
pub mod brief;
pub mod case;
pub mod infection;
pub mod outlook;
pub mod policy;
pub mod series;
pub mod vitals;
