//! Which role may call which gRPC method. One table; what it does not name is refused.

use super::{Origin, RoleName};
use RoleName::{Baseline, Dashboard, Healer, Ingestion, Sentinel};

/// The methods of a service, each with its callers.
type Service = (&'static str, &'static [(&'static str, &'static [RoleName])]);

/// Every method of every service of ours. A method without callers is for programs on the machine, or is answered by
/// others than us.
const CALLS: &[Service] = &[
    (
        "immune.v1.IngestionService",
        &[
            ("RecordVitals", &[Dashboard]),
            ("GetIngestionStatus", &[Dashboard]),
        ],
    ),
    ("immune.v1.VitalsBusService", &[("Publish", &[Ingestion])]),
    (
        "immune.v1.BaselineService",
        &[
            ("GetProfile", &[Sentinel, Dashboard]),
            ("GetProfiles", &[Dashboard]),
            ("WatchProfiles", &[Ingestion, Sentinel]),
            ("ResetProfile", &[Dashboard]),
            ("FreezeProfile", &[Dashboard]),
            ("SetProfile", &[Dashboard]),
            ("CountReadyProfiles", &[Dashboard]),
        ],
    ),
    (
        "immune.v1.SentinelService",
        &[
            ("WatchVerdicts", &[Baseline]),
            ("JudgeSince", &[Healer]),
            ("ReportAgentInfected", &[Dashboard]),
            ("GetAgent", &[Dashboard]),
            ("ListAgents", &[Dashboard]),
            ("WatchAgents", &[Dashboard]),
            ("ListFleetIncidents", &[Dashboard]),
            ("Backtest", &[Dashboard]),
            ("GetSentinelStatus", &[Dashboard]),
        ],
    ),
    (
        "immune.v1.QuarantineService",
        &[
            ("ReportInfection", &[Sentinel]),
            ("GetCase", &[Healer, Dashboard]),
            ("ListCases", &[Sentinel, Dashboard]),
            ("GetCaseTotals", &[Dashboard]),
            ("WatchCases", &[Sentinel, Dashboard]),
            ("Decide", &[Dashboard]),
            ("CheckAdmission", &[Dashboard]),
            ("ReportFleetIncident", &[Sentinel]),
            ("ReportExecution", &[Sentinel]),
            ("ClaimHealing", &[Healer]),
            ("RenewHealing", &[Healer]),
            ("BeginStep", &[Healer]),
            ("EndStep", &[Healer]),
            ("GiveUpHealing", &[Healer]),
            ("VerifyHealing", &[Healer]),
        ],
    ),
    (
        "immune.v1.HealerService",
        &[
            ("ListHealings", &[Dashboard]),
            ("GetHealingTotals", &[Dashboard]),
            ("ListMemories", &[Dashboard]),
            ("PinMemory", &[Dashboard]),
            ("ForgetMemory", &[Dashboard]),
            ("PreviewPlan", &[Dashboard]),
        ],
    ),
    (
        "immune.v1.DashboardService",
        &[("GetStats", &[]), ("ListFleet", &[])],
    ),
    (
        "immune.v1.AgentLifecycle",
        &[("Act", &[]), ("GetOperation", &[]), ("GetAgent", &[])],
    ),
];

/// Services that every process whose certificate our CA has signed may call, also one without a role.
const FOR_ALL: &[&str] = &["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];

/// The roles that may call a method, by path (`/immune.v1.QuarantineService/Decide`); `None` when the table does not
/// have it.
pub fn callers(path: &str) -> Option<&'static [RoleName]> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    if is_for_all(path) {
        return Some(&RoleName::ALL);
    }
    let (_, methods) = CALLS.iter().find(|(name, _)| *name == service)?;
    let (_, callers) = methods.iter().find(|(name, _)| *name == method)?;
    Some(callers)
}

/// Whether everybody who is let in at all may call a method: health and reflection.
pub fn is_for_all(path: &str) -> bool {
    let service = path.strip_prefix('/').and_then(|path| path.split('/').next());
    service.is_some_and(|service| FOR_ALL.contains(&service))
}

/// Whether a caller may call a method.
pub fn may_call(origin: Origin, path: &str) -> bool {
    match origin {
        Origin::InProcess | Origin::Loopback => true,
        Origin::Role(roles) => {
            is_for_all(path)
                || callers(path).is_some_and(|callers| callers.iter().any(|role| roles.contains(*role)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Roles;
    use crate::grpc::methods;

    fn may(role: RoleName, path: &str) -> bool {
        may_call(Origin::Role(role.into()), path)
    }

    /// Scenario: every method of every service in the contracts, called by each role.
    /// Guarantees: the table has a line for each, no line is for a method that is gone, and exactly the callers of
    /// the line are let in.
    #[test]
    fn every_method_has_a_line() {
        let in_contracts: Vec<&str> = methods::all()
            .map(|method| method.path.as_str())
            .filter(|path| path.starts_with("/immune."))
            .collect();
        assert!(in_contracts.len() > 30, "the contracts were read");
        for path in &in_contracts {
            let callers = callers(path).unwrap_or_else(|| panic!("{path} has no line in access/calls.rs"));
            for role in RoleName::ALL {
                assert_eq!(may(role, path), callers.contains(&role), "{role} calls {path}");
            }
            assert!(!may_call(Origin::Role(Roles::NONE), path), "no role calls {path}");
        }
        for (service, lines) in CALLS {
            for (method, _) in *lines {
                let path = format!("/{service}/{method}");
                assert!(in_contracts.contains(&path.as_str()), "{path} is in no contract");
            }
        }
    }

    /// Guarantees: what must never happen, said once more in plain words, so that an edit of the table is noticed.
    #[test]
    fn duties_stay_apart() {
        let only = |path: &str, one: RoleName| {
            for role in RoleName::ALL {
                assert_eq!(may(role, path), role == one, "{role} calls {path}");
            }
        };
        only("/immune.v1.QuarantineService/Decide", Dashboard);
        only("/immune.v1.QuarantineService/ReportInfection", Sentinel);
        only("/immune.v1.QuarantineService/ClaimHealing", Healer);
        only("/immune.v1.HealerService/PinMemory", Dashboard);
        only("/immune.v1.VitalsBusService/Publish", Ingestion);
        assert!(!may(Dashboard, "/immune.v1.QuarantineService/NewMethod"));
        assert!(!may(Dashboard, "/grpc.health.v1.Healthy/Check"));
        for role in RoleName::ALL {
            assert!(
                may(role, "/grpc.health.v1.Health/Check"),
                "{role} asks for health"
            );
        }
    }

    /// Scenario: a process that runs two roles.
    /// Guarantees: it may do what either may.
    #[test]
    fn roles_of_one_process_add_up() {
        let both = Origin::Role(Roles::from(Ingestion).with(Healer));
        assert!(may_call(both, "/immune.v1.VitalsBusService/Publish"));
        assert!(may_call(both, "/immune.v1.QuarantineService/ClaimHealing"));
        assert!(!may_call(both, "/immune.v1.QuarantineService/Decide"));
    }
}
