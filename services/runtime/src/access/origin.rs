//! Which process a call came from: its roles, as a certificate or the shared token names them.

use std::fmt;

/// The name of one of the six roles, as an identity between processes. What a person may do is [`super::Role`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// OTLP in, vitals out.
    Ingestion,
    /// Learns.
    Baseline,
    /// Judges.
    Sentinel,
    /// Contains and decides.
    Quarantine,
    /// Heals.
    Healer,
    /// The door for people.
    Dashboard,
}

impl RoleName {
    /// All roles, in the order of their ports.
    pub const ALL: [RoleName; 6] = [
        RoleName::Ingestion,
        RoleName::Baseline,
        RoleName::Sentinel,
        RoleName::Quarantine,
        RoleName::Healer,
        RoleName::Dashboard,
    ];

    /// The name, as configuration, certificates and logs have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            RoleName::Ingestion => "ingestion",
            RoleName::Baseline => "baseline",
            RoleName::Sentinel => "sentinel",
            RoleName::Quarantine => "quarantine",
            RoleName::Healer => "healer",
            RoleName::Dashboard => "dashboard",
        }
    }

    /// The role of a name.
    pub fn parse(name: &str) -> Option<Self> {
        RoleName::ALL.into_iter().find(|role| role.as_str() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            RoleName::Ingestion => 1,
            RoleName::Baseline => 2,
            RoleName::Sentinel => 4,
            RoleName::Quarantine => 8,
            RoleName::Healer => 16,
            RoleName::Dashboard => 32,
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The roles that a process runs: one in a cluster, several where they share a process. Prints as
/// `ingestion+baseline`, and as `none`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Roles = Roles(0);

    /// With one more.
    #[must_use]
    pub const fn with(self, role: RoleName) -> Self {
        Roles(self.0 | role.bit())
    }

    /// Whether a role is among them.
    pub const fn contains(self, role: RoleName) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of their ports.
    pub fn iter(self) -> impl Iterator<Item = RoleName> {
        RoleName::ALL.into_iter().filter(move |role| self.contains(*role))
    }

    /// The roles of a text in the form that [`fmt::Display`] gives; `None` when a name is not a role's.
    pub fn parse(text: &str) -> Option<Self> {
        text.split('+').map(RoleName::parse).collect()
    }
}

impl From<RoleName> for Roles {
    fn from(role: RoleName) -> Self {
        Roles::NONE.with(role)
    }
}

impl FromIterator<RoleName> for Roles {
    fn from_iter<I: IntoIterator<Item = RoleName>>(roles: I) -> Self {
        roles.into_iter().fold(Roles::NONE, Roles::with)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<&str> = self.iter().map(RoleName::as_str).collect();
        f.write_str(&names.join("+"))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({self})")
    }
}

/// Where a gRPC call came from; an extension of every request that a role receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Over the in-process channel: identity metadata is believed.
    InProcess,
    /// From another process whose roles its certificate, or the shared token of this machine, has proven. Identity
    /// metadata is believed only from `dashboard`, the door that verified the person.
    Role(Roles),
    /// Over a loopback listener that is open by configuration: the caller is whoever is on this machine.
    Loopback,
}

impl Origin {
    /// Whether the person that the call names was verified by who sends it.
    pub const fn is_believed(self) -> bool {
        match self {
            Origin::InProcess => true,
            Origin::Role(roles) => roles.contains(RoleName::Dashboard),
            Origin::Loopback => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what a set of roles prints is read back as the same set, and anything else is no set.
    #[test]
    fn roles_are_read_as_they_print() {
        for bits in 1..64u8 {
            let roles: Roles = RoleName::ALL
                .into_iter()
                .filter(|role| bits & role.bit() != 0)
                .collect();
            assert_eq!(Roles::parse(&roles.to_string()), Some(roles));
        }
        for text in [
            "",
            "none",
            "ingestion+",
            "+",
            "Dashboard",
            "dashboard,healer",
            "root",
        ] {
            assert_eq!(Roles::parse(text), None, "{text:?}");
        }
    }
}
