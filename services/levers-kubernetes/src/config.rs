//! What the lever may touch, and how.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The options of the lever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether there is this lever at all; default false.
    pub enabled: bool,
    /// Namespaces whose workloads may be touched; default none.
    pub namespaces: Vec<String>,
    /// Whether workloads of every namespace may be touched; default false.
    pub all_namespaces: bool,
    /// Whether a contained workload is also scaled to zero (a Sandbox suspended): nothing of it runs then, whatever the
    /// network plugin does; its memory is lost. Default false.
    pub scale_to_zero: bool,
    /// Whether the pod template is labelled too, for meshes and gateways that select pods by label. The controller
    /// replaces the pods then. Default false.
    pub label_template: bool,
    /// Whether CiliumNetworkPolicies deny as well, which no other policy can overrule; needs Cilium. Default false.
    pub cilium: bool,
    /// Whether Sandboxes (`agents.x-k8s.io`) are looked for as well; needs their CRD. Default false.
    pub sandboxes: bool,
    /// Whether the Agents (`kagent.dev`) that own a Deployment are read for annotations. Default false.
    pub kagent: bool,
    /// Where contained agents may still resolve names; default the cluster's DNS in `kube-system`.
    pub dns: Vec<Peer>,
    /// Where contained agents may still send telemetry; default none.
    pub telemetry: Vec<Peer>,
    /// The longest time for one order, waiting for its effect included; seconds, default 50.
    pub deadline_seconds: f64,
    /// Time between two looks at whether an effect has come about; seconds, default 1.
    pub look_seconds: f64,
    /// The most requests to the API server per second; default 20.
    pub requests_per_second: u32,
    /// kubeconfig file; default: the pod's service account, else `KUBECONFIG` or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
}

/// Pods that contained agents may still reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peer {
    /// Their namespace.
    pub namespace: String,
    /// Their labels; default all pods of the namespace.
    pub pod_labels: BTreeMap<String, String>,
    /// Ports, as `4317/TCP`.
    pub ports: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: false,
            namespaces: Vec::new(),
            all_namespaces: false,
            scale_to_zero: false,
            label_template: false,
            cilium: false,
            sandboxes: false,
            kagent: false,
            dns: vec![Peer {
                namespace: "kube-system".to_owned(),
                pod_labels: BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())]),
                ports: vec!["53/UDP".to_owned(), "53/TCP".to_owned()],
            }],
            telemetry: Vec::new(),
            deadline_seconds: 50.0,
            look_seconds: 1.0,
            requests_per_second: 20,
            kubeconfig: None,
        }
    }
}

/// The longest deadline that can be set: a case waits for its lever, seconds.
const DEADLINE_SECONDS_MAX: f64 = 600.0;
const NAMESPACES_MAX: usize = 100;

impl Config {
    /// Adds every mistake with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if !self.enabled {
            return;
        }
        if self.namespaces.is_empty() && !self.all_namespaces {
            mistakes.push(format!(
                "{path}.namespaces = []: name the namespaces whose workloads may be touched, or set all_namespaces"
            ));
        }
        if self.namespaces.len() > NAMESPACES_MAX {
            let count = self.namespaces.len();
            mistakes.push(format!(
                "{path}.namespaces: {count}, the most is {NAMESPACES_MAX}; all_namespaces needs no list"
            ));
        }
        if let Some(name) = self.namespaces.iter().find(|name| !is_namespace(name)) {
            mistakes.push(format!("{path}.namespaces: {name:?} is no name of a namespace"));
        }
        for (list, peers) in [("dns", &self.dns), ("telemetry", &self.telemetry)] {
            for (i, peer) in peers.iter().enumerate() {
                peer.check(&format!("{path}.{list}[{i}]"), mistakes);
            }
        }
        let seconds = [
            (
                "deadline_seconds",
                self.deadline_seconds,
                0.1,
                DEADLINE_SECONDS_MAX,
            ),
            ("look_seconds", self.look_seconds, 0.01, 60.0),
        ];
        for (name, value, least, most) in seconds {
            if !(least..=most).contains(&value) {
                mistakes.push(format!("{path}.{name} = {value}: must be from {least} to {most}"));
            }
        }
        if !(1..=10_000).contains(&self.requests_per_second) {
            mistakes.push(format!(
                "{path}.requests_per_second = {}: must be from 1 to 10000",
                self.requests_per_second
            ));
        }
    }

    /// Whether workloads of this namespace may be touched.
    pub fn allows(&self, namespace: &str) -> bool {
        self.all_namespaces || self.namespaces.iter().any(|allowed| allowed == namespace)
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs_f64(self.deadline_seconds)
    }

    pub(crate) fn look(&self) -> Duration {
        Duration::from_secs_f64(self.look_seconds)
    }
}

impl Peer {
    fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if !is_namespace(&self.namespace) {
            mistakes.push(format!(
                "{path}.namespace = {:?}: is no name of a namespace",
                self.namespace
            ));
        }
        if self.ports.is_empty() {
            mistakes.push(format!("{path}.ports = []: every port would be open; name them"));
        }
        for port in &self.ports {
            if read_port(port).is_none() {
                mistakes.push(format!("{path}.ports: {port:?} is not like 4317/TCP"));
            }
        }
    }

    /// The ports, read; what cannot be read is left out, [`Config::check`] has said so.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (u16, &str)> {
        self.ports.iter().filter_map(|port| read_port(port))
    }
}

fn read_port(port: &str) -> Option<(u16, &str)> {
    let (number, protocol) = port.split_once('/')?;
    let number = number.parse().ok().filter(|number| *number != 0)?;
    matches!(protocol, "TCP" | "UDP" | "SCTP").then_some((number, protocol))
}

/// RFC 1123 label.
fn is_namespace(name: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(is_end)
        && bytes.last().is_some_and(is_end)
        && bytes.iter().all(|byte| is_end(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what would touch nothing, open everything or mean nothing is refused, each with its path.
    #[test]
    fn mistakes_are_told_with_their_path() {
        let mut mistakes = Vec::new();
        Config::default().check("k", &mut mistakes);
        assert!(mistakes.is_empty(), "off is never wrong: {mistakes:?}");
        let config = Config {
            enabled: true,
            dns: vec![Peer::default()],
            telemetry: vec![Peer {
                namespace: "immune".to_owned(),
                ports: vec!["4317".to_owned()],
                ..Peer::default()
            }],
            look_seconds: f64::NAN,
            requests_per_second: 0,
            ..Config::default()
        };
        config.check("k", &mut mistakes);
        let expected = [
            "k.namespaces = []",
            "k.dns[0].namespace = \"\"",
            "k.dns[0].ports = []",
            "k.telemetry[0].ports: \"4317\"",
            "k.look_seconds = NaN",
            "k.requests_per_second = 0",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(expected), "{mistake}");
        }
    }

    /// Guarantees: only what is named is allowed.
    #[test]
    fn only_named_namespaces_are_allowed() {
        let mut config = Config {
            namespaces: vec!["agents".to_owned()],
            ..Config::default()
        };
        assert!(config.allows("agents") && !config.allows("kube-system"));
        config.all_namespaces = true;
        assert!(config.allows("kube-system"));
    }
}
