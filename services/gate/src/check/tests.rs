use super::*;
use crate::table::tests::opened;
use immune_domain::policy::{Match, Policies, Rule};
use std::time::Duration;
use tokio::time::Instant;

fn checker(change: impl FnOnce(&mut Config)) -> Checker {
    let mut config = Config::default();
    change(&mut config);
    Checker::new(config, LivePolicies::default(), Metrics::default())
}

fn agent(name: &str) -> Identified {
    Identified::Agent {
        run: "default".to_owned(),
        agent: name.to_owned(),
    }
}

/// What is answered to the sick agent, and to the well one.
fn answers(checker: &Checker) -> [&'static str; 2] {
    ["sick", "well"].map(|name| checker.check(&agent(name)).label())
}

/// Scenario: each setting of `when_blind`, before anything was read, while news are fresh, and when they are old.
/// Guarantees: the table of the documentation; last known is never more than was known.
#[test]
fn what_is_answered_blind() {
    let table = [
        (
            WhenBlind::LastKnown,
            ["unavailable", "unavailable"],
            ["denied_contained", "allowed_blind"],
        ),
        (
            WhenBlind::Deny,
            ["denied_blind", "denied_blind"],
            ["denied_contained", "denied_blind"],
        ),
        (
            WhenBlind::Allow,
            ["allowed_blind", "allowed_blind"],
            ["allowed_blind", "allowed_blind"],
        ),
    ];
    for (setting, at_start, when_old) in table {
        let mut checker = checker(|config| config.when_blind = setting);
        assert_eq!(answers(&checker), at_start, "{setting:?}");
        checker.table.put(&opened("c-1", "sick"));
        checker.table.followed(Instant::now());
        assert_eq!(answers(&checker), ["denied_contained", "allowed"], "{setting:?}");
        checker.table.grow_older(Duration::from_secs(11));
        assert!(checker.is_blind());
        assert_eq!(answers(&checker), when_old, "{setting:?}");
        let Answer::Denied(denial) = checker.check(&agent("sick")) else {
            continue;
        };
        let reason = denial.reason;
        assert!(
            reason.ends_with("as last known: the store of cases has not answered for 11 s"),
            "{reason}"
        );
    }
}

/// Scenario: more agents are contained than have room.
/// Guarantees: those that are kept are denied for their own reason; all others are answered as `when_blind` says.
#[test]
fn a_full_table_is_blind_for_the_others() {
    let checker = checker(|config| {
        config.agents_max = 1;
        config.when_blind = WhenBlind::Deny;
    });
    checker.table.put(&opened("c-1", "sick"));
    checker.table.put(&opened("c-2", "beyond"));
    checker.table.followed(Instant::now());
    assert_eq!(answers(&checker), ["denied_contained", "denied_blind"]);
    assert_eq!(checker.check(&agent("beyond")).label(), "denied_blind");
}

/// Scenario: policy comes to observe a contained agent, and stops to.
/// Guarantees: an agent that policy only observes is not denied, from the moment on that policy says so.
#[test]
fn observed_agents_pass() {
    let policies = LivePolicies::default();
    let checker = Checker::new(Config::default(), policies.clone(), Metrics::default());
    checker.table.put(&opened("c-1", "sick"));
    checker.table.put(&opened("c-2", "other"));
    checker.table.followed(Instant::now());
    assert_eq!(answers(&checker)[0], "denied_contained");
    let observe = Rule {
        name: "only look".to_owned(),
        matches: Match {
            agent: Some("sick".to_owned()),
            ..Match::default()
        },
        set: [("mode".to_owned(), serde_json::json!("observe"))].into(),
    };
    policies.replace(Policies {
        rules: vec![observe],
        ..Policies::default()
    });
    assert_eq!(answers(&checker)[0], "allowed_observed");
    assert_eq!(checker.check(&agent("other")).label(), "denied_contained");
    policies.replace(Policies::default());
    assert_eq!(answers(&checker)[0], "denied_contained");
}

/// Scenario: requests of nobody, of somebody unclear, and of agents that are not on the list of known ones.
/// Guarantees: nobody is answered as the setting says; what is not clear is denied even where nobody may pass; the
/// list decides who is known.
#[test]
fn whose_request_it_is() {
    let unclear = Identified::Unclear("header x-agent-id was sent more than once".to_owned());
    for (setting, label) in [
        (Setting::Deny, "denied_unidentified"),
        (Setting::Allow, "allowed_unidentified"),
    ] {
        let checker = checker(|config| config.unidentified = setting);
        checker.table.followed(Instant::now());
        assert_eq!(checker.check(&Identified::Nobody).label(), label);
        assert_eq!(checker.check(&unclear).label(), "denied_malformed");
        assert_eq!(checker.check(&agent("never seen")).label(), "allowed");
    }
    let checker = checker(|config| config.known_agents = vec!["shop/*".to_owned()]);
    checker.table.followed(Instant::now());
    assert_eq!(checker.check(&agent("shop/buyer")).label(), "allowed");
    assert_eq!(checker.check(&agent("bank/buyer")).label(), "denied_unknown");
}
