//! The options of custom resources, `resources`.

use crate::{admission, cases, policies};
use serde::{Deserialize, Serialize};

const NAMESPACES_MAX: usize = 100;

/// Policies and cases as custom resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether there are custom resources; default false.
    pub enabled: bool,
    /// The plane's own namespace: policies in it match as they say, and cases of agents elsewhere are shown in it.
    pub namespace: String,
    /// Namespaces besides, whose policies count for their agents and in which their cases are shown; default none.
    pub namespaces: Vec<String>,
    /// Whether every namespace is one of them; default false.
    pub all_namespaces: bool,
    /// Whether the file's rules come before those of custom resources; default false.
    pub protected: bool,
    /// Whether ImmunePolicies are followed; default true.
    pub policies: bool,
    /// Whether and how cases are shown as AgentCases.
    pub cases: cases::Config,
    /// The webhook that makes decisions on AgentCases possible.
    pub webhook: admission::Config,
    /// kubeconfig file; default: the pod's service account, else `KUBECONFIG` or `~/.kube/config`.
    pub kubeconfig: Option<std::path::PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: false,
            namespace: String::new(),
            namespaces: Vec::new(),
            all_namespaces: false,
            protected: false,
            policies: true,
            cases: cases::Config::default(),
            webhook: admission::Config::default(),
            kubeconfig: None,
        }
    }
}

impl Config {
    /// Adds every mistake with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if !self.enabled {
            return;
        }
        if self.namespace.is_empty() {
            mistakes.push(format!(
                "{path}.namespace is empty: say in which namespace the plane runs"
            ));
        }
        if self.namespaces.len() > NAMESPACES_MAX {
            mistakes.push(format!(
                "{path}.namespaces: {}, the most is {NAMESPACES_MAX}; all_namespaces needs no list",
                self.namespaces.len()
            ));
        }
        self.cases.check(&format!("{path}.cases"), mistakes);
        self.webhook.check(&format!("{path}.webhook"), mistakes);
    }

    /// Where cases are shown.
    pub fn scope(&self) -> cases::Scope {
        cases::Scope {
            own: self.namespace.clone(),
            namespaces: self.namespaces.clone(),
            all: self.all_namespaces,
        }
    }

    /// Namespaces whose policies are followed; `None` stands for all of them.
    pub fn followed(&self) -> Vec<Option<String>> {
        if self.all_namespaces {
            return vec![None];
        }
        let others = self.namespaces.iter().filter(|name| **name != self.namespace);
        std::iter::once(&self.namespace)
            .chain(others)
            .cloned()
            .map(Some)
            .collect()
    }

    /// Whose word counts how far.
    pub fn order(&self) -> policies::Order {
        policies::Order {
            own: self.namespace.clone(),
            is_file_first: self.protected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what could not work is refused with its path; what is off is never wrong; the plane's own namespace
    /// is followed once.
    #[test]
    fn mistakes_are_told() {
        let mut config = Config {
            namespaces: vec!["immune".to_owned(), "team-a".to_owned()],
            webhook: admission::Config {
                listen: "9443".to_owned(),
                ..admission::Config::default()
            },
            ..Config::default()
        };
        let mut mistakes = Vec::new();
        config.check("resources", &mut mistakes);
        assert!(mistakes.is_empty());
        config.enabled = true;
        config.check("resources", &mut mistakes);
        let starts = [
            "resources.namespace",
            "resources.webhook.listen",
            "resources.webhook.certificate_file",
        ];
        for (mistake, start) in mistakes.iter().zip(starts) {
            assert!(mistake.starts_with(start), "{mistake}");
        }
        assert_eq!(mistakes.len(), 6, "{mistakes:?}");
        config.namespace = "immune".to_owned();
        assert_eq!(
            config.followed(),
            [Some("immune".to_owned()), Some("team-a".to_owned())]
        );
    }
}
