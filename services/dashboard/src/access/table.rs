//! The one table of who may do what. An endpoint that is not here is refused, and a test says so first.

use axum::http::Method;
use immune_runtime::access::Role;
use std::fmt;

/// What an endpoint asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: a load balancer has no key.
    Nobody,
    /// The signature of a chat over the request, checked by its handler, which asks for a role after it.
    Signature,
    /// A role that covers one of these.
    Any(&'static [Role]),
}

/// What the table says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The path is known with this method.
    Needs(Needs),
    /// The path is known, but not with this method.
    NoSuchMethod,
    /// The path is not in the table.
    None,
}

impl Needs {
    /// Whether a caller with this role may pass.
    pub fn allows(self, role: Role) -> bool {
        match self {
            Needs::Nobody | Needs::Signature => true,
            Needs::Any(roles) => roles.iter().any(|needed| role.covers(*needed)),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Needs::Nobody => f.write_str("nobody"),
            Needs::Signature => f.write_str("a signature"),
            Needs::Any(roles) => {
                let names: Vec<String> = roles.iter().map(Role::to_string).collect();
                f.write_str(&names.join(" or "))
            }
        }
    }
}

/// Reads.
const VIEW: Needs = Needs::Any(&[Role::Viewer]);
/// Telemetry and records of client-deployed systems. Those read, too, and so hold an operator's key.
const WRITE: Needs = Needs::Any(&[Role::Ingest, Role::Operator]);
/// Decisions.
const DECIDE: Needs = Needs::Any(&[Role::Operator]);
/// Changes to what the system has learned.
const ADMIN: Needs = Needs::Any(&[Role::Admin]);

/// Method, pattern of the path, and what it needs.
pub const TABLE: &[(Method, &str, Needs)] = &[
    (Method::POST, "/api/v1/vitals", WRITE),
    (Method::GET, "/api/v1/vitals/recent", VIEW),
    (Method::GET, "/api/v1/vitals/all", VIEW),
    (Method::GET, "/api/v1/vitals/latest", VIEW),
    (Method::GET, "/api/v1/vitals/execution-count", VIEW),
    (Method::GET, "/api/v1/vitals/total-executions", VIEW),
    (Method::POST, "/api/v1/baselines", WRITE),
    (Method::GET, "/api/v1/baselines/count", VIEW),
    (Method::GET, "/api/v1/baselines/{agent_id}", VIEW),
    (Method::POST, "/api/v1/events/infection", WRITE),
    (Method::POST, "/api/v1/events/quarantine", WRITE),
    (Method::POST, "/api/v1/approvals", WRITE),
    (Method::GET, "/api/v1/approvals/latest", VIEW),
    (Method::GET, "/api/v1/approvals/pending", VIEW),
    (Method::GET, "/api/v1/approvals/rejected", VIEW),
    (Method::POST, "/api/v1/healing/events", WRITE),
    (Method::GET, "/api/v1/healing/failed-actions", VIEW),
    (Method::GET, "/api/v1/healing/total", VIEW),
    (Method::GET, "/api/v1/healing/success-rate", VIEW),
    (Method::GET, "/api/v1/healing/pattern-summary", VIEW),
    (Method::POST, "/api/v1/action-log", WRITE),
    (Method::GET, "/api/v1/action-log/recent", VIEW),
    (Method::GET, "/api/v1/health", Needs::Nobody),
    (Method::POST, "/api/v1/run", WRITE),
    (Method::POST, "/api/v1/ingest", WRITE),
    (Method::POST, "/api/v1/agents/register", WRITE),
    (Method::GET, "/api/v1/agents/{agent_id}/admission", VIEW),
    (Method::GET, "/auth/login", Needs::Nobody),
    (Method::GET, "/auth/callback", Needs::Nobody),
    (Method::POST, "/auth/key", Needs::Nobody),
    (Method::POST, "/auth/logout", Needs::Nobody),
    (Method::POST, "/auth/backchannel-logout", Needs::Nobody),
    (Method::GET, "/api/me", VIEW),
    (Method::GET, "/api/status", VIEW),
    (Method::GET, "/api/stats", VIEW),
    (Method::GET, "/api/infections", VIEW),
    (Method::GET, "/api/fleet", VIEW),
    (Method::GET, "/api/incidents", VIEW),
    (Method::GET, "/api/sparks", VIEW),
    (Method::GET, "/api/policy", VIEW),
    (Method::GET, "/api/agents", VIEW),
    (Method::GET, "/api/agents/{agent_id}", VIEW),
    (Method::GET, "/api/agents/{agent_id}/series", VIEW),
    (Method::POST, "/api/agents/{agent_id}/infected", WRITE),
    (Method::GET, "/api/agents/{agent_id}/baseline", VIEW),
    (Method::POST, "/api/agents/{agent_id}/baseline/reset", ADMIN),
    (Method::POST, "/api/agents/{agent_id}/baseline/freeze", ADMIN),
    (Method::POST, "/api/agents/{agent_id}/baseline/unfreeze", ADMIN),
    (Method::POST, "/api/agents/{agent_id}/baseline/pin", ADMIN),
    (Method::POST, "/api/agents/{agent_id}/baseline/accept", ADMIN),
    (Method::POST, "/api/agents/{agent_id}/baseline/import", ADMIN),
    (Method::GET, "/api/pending-approvals", VIEW),
    (Method::GET, "/api/rejected-approvals", VIEW),
    (Method::POST, "/api/approve-healing", DECIDE),
    (Method::POST, "/api/approve-all", DECIDE),
    (Method::POST, "/api/heal-explicitly", DECIDE),
    (Method::POST, "/api/heal-all-rejected", DECIDE),
    (Method::POST, "/api/backtest", DECIDE),
    (Method::POST, "/api/feedback", DECIDE),
    (Method::GET, "/api/healings", VIEW),
    (Method::GET, "/api/cases", VIEW),
    (Method::GET, "/api/cases/{case_id}", VIEW),
    (Method::POST, "/api/cases/{case_id}/approve", DECIDE),
    (Method::POST, "/api/cases/{case_id}/reject", DECIDE),
    (Method::POST, "/api/cases/{case_id}/heal-now", DECIDE),
    (Method::POST, "/api/cases/{case_id}/release", DECIDE),
    (Method::GET, "/api/memory", VIEW),
    (Method::POST, "/api/memory/pin", ADMIN),
    (Method::POST, "/api/memory/forget", ADMIN),
    (Method::GET, "/api/keys", ADMIN),
    (Method::POST, "/api/keys", ADMIN),
    (Method::DELETE, "/api/keys/{key_id}", ADMIN),
    (Method::GET, "/api/action-log", VIEW),
    (Method::GET, "/api/action-log/export", VIEW),
    (Method::GET, "/api/notifications", ADMIN),
    (Method::POST, "/api/notifications/{notification_id}/retry", ADMIN),
    (Method::DELETE, "/api/notifications/{notification_id}", ADMIN),
    (Method::POST, "/api/notifications/targets/{target}/test", ADMIN),
    (Method::POST, "/chat/slack", Needs::Signature),
    (Method::GET, "/api/events", VIEW),
    (Method::GET, "/api/system", VIEW),
    (Method::GET, "/api/openapi.json", VIEW),
    // The page itself holds no data; what it shows comes from the paths above.
    (Method::GET, "/", Needs::Nobody),
    (Method::GET, "/fleet", Needs::Nobody),
    (Method::GET, "/agents/{agent_id}", Needs::Nobody),
    (Method::GET, "/approvals", Needs::Nobody),
    (Method::GET, "/cases", Needs::Nobody),
    (Method::GET, "/cases/{case_id}", Needs::Nobody),
    (Method::GET, "/memory", Needs::Nobody),
    (Method::GET, "/log", Needs::Nobody),
    (Method::GET, "/policy", Needs::Nobody),
    (Method::GET, "/system", Needs::Nobody),
    (Method::GET, "/access", Needs::Nobody),
    (Method::GET, "/notifications", Needs::Nobody),
    (Method::GET, "/login", Needs::Nobody),
    (Method::GET, "/assets/{build}/{*file}", Needs::Nobody),
];

/// What the table says of a method and the pattern of a path. HEAD is asked like GET.
pub fn find(method: &Method, pattern: &str) -> Rule {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut rule = Rule::None;
    for (known, path, needs) in TABLE {
        if *path == pattern {
            if known == method {
                return Rule::Needs(*needs);
            }
            rule = Rule::NoSuchMethod;
        }
    }
    rule
}
