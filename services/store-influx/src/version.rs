//! The three generations of InfluxDB that are understood.

use serde::{Deserialize, Serialize};

/// A generation of InfluxDB: how to write to it, how to log in, and what it can delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// 1.x: user and password, `/write`, databases with retention policies.
    #[serde(rename = "1")]
    V1,
    /// 2.x: token, `/api/v2/write`, buckets; read through the mapping of a database onto a bucket.
    #[serde(rename = "2")]
    V2,
    /// 3.x: token, `/api/v3/write_lp`, databases; cannot delete single points.
    #[serde(rename = "3")]
    V3,
}

impl Version {
    /// From what a server says of itself: `1.6.7`, `v2.7.1`, `3.8.0`. `None` when that is none of ours.
    pub fn parse(said: &str) -> Option<Version> {
        let said = said.trim().trim_start_matches(['v', 'V']);
        match said.split('.').next()? {
            "1" => Some(Version::V1),
            "2" => Some(Version::V2),
            "3" => Some(Version::V3),
            _ => None,
        }
    }

    /// Whether single points can be removed. Where not, age is left to the retention of the database.
    pub const fn deletes(self) -> bool {
        match self {
            Version::V1 | Version::V2 => true,
            Version::V3 => false,
        }
    }

    /// The command that makes a database of this name, for people.
    pub(crate) fn command_for(self, database: &str, org: &str) -> String {
        match self {
            Version::V1 => format!("influx -execute 'CREATE DATABASE \"{database}\"'"),
            Version::V2 => format!(
                "influx bucket create --org {org} --name {database}, then influx v1 dbrp create --org {org} \
                 --db {database} --rp autogen --default --bucket-id <the id of the bucket>"
            ),
            Version::V3 => format!("influxdb3 create database {database}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the forms in which the generations give their version are told apart, others are nobody's.
    #[test]
    fn versions_are_told_apart() {
        for (said, version) in [
            ("1.6.7~rc0", Some(Version::V1)),
            ("1.8.10", Some(Version::V1)),
            ("v2.7.1", Some(Version::V2)),
            ("3.8.0", Some(Version::V3)),
            ("10.1", None),
            ("", None),
            ("unknown", None),
        ] {
            assert_eq!(Version::parse(said), version, "{said}");
        }
    }
}
