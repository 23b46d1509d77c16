//! Roles, from least to most; `ingest` stands apart.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Decides approvals and orders heals; reads.
    Operator,
    /// Changes policy, keys and memory; all that an operator may.
    Admin,
    /// Writes telemetry and records, and nothing else.
    Ingest,
}

impl Role {
    /// All roles, from least to most, `ingest` last.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Operator, Role::Admin, Role::Ingest];

    /// The name, as configuration, stores and answers have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
            Role::Ingest => "ingest",
        }
    }

    /// The role of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Whether a caller with this role may do what asks for `needed`.
    pub fn covers(self, needed: Role) -> bool {
        match (self, needed) {
            (Role::Admin, Role::Viewer | Role::Operator | Role::Admin | Role::Ingest) => true,
            (Role::Operator, Role::Viewer | Role::Operator) => true,
            (Role::Viewer, Role::Viewer) => true,
            (Role::Ingest, Role::Ingest) => true,
            (Role::Operator, Role::Admin | Role::Ingest)
            | (Role::Viewer, Role::Operator | Role::Admin | Role::Ingest)
            | (Role::Ingest, Role::Viewer | Role::Operator | Role::Admin) => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
