//! What the labels of recorded faults mean.

/// What should reach severity 7.
const SEVERE: [&str; 9] = [
    "loop",
    "token_explosion",
    "tool_failure",
    "retry_storm",
    "latency_fast",
    "prompt_injection",
    "agent_timeout",
    "crash",
    "agent_error",
];
/// Faults beside those.
const ALSO_HARD: [&str; 3] = ["denial_of_service", "latency_slow", "silent_degradation"];
/// Changes that need not be faults.
const SOFT: [&str; 4] = ["model_swap", "config_change", "workload_shift", "silent_failure"];

/// Diagnoses that are right for a kind.
const ACCEPTED: [(&str, &[&str]); 15] = [
    ("loop", &["infinite_loop"]),
    (
        "agent_timeout",
        &["infinite_loop", "latency_degradation", "tool_instability"],
    ),
    (
        "token_explosion",
        &["token_explosion", "prompt_drift", "cost_overrun"],
    ),
    (
        "latency_fast",
        &["latency_degradation", "tool_instability", "external_cause"],
    ),
    (
        "latency_slow",
        &["latency_degradation", "tool_instability", "external_cause"],
    ),
    ("tool_failure", &["tool_instability"]),
    (
        "retry_storm",
        &["retry_storm", "tool_instability", "memory_corruption"],
    ),
    ("prompt_injection", &["prompt_injection", "prompt_drift"]),
    ("silent_degradation", &["silent_degradation", "prompt_drift"]),
    ("crash", &["tool_instability", "crash"]),
    ("agent_error", &["tool_instability", "infinite_loop", "crash"]),
    (
        "model_swap",
        &[
            "prompt_drift",
            "model_change",
            "latency_degradation",
            "silent_degradation",
        ],
    ),
    ("config_change", &["prompt_drift", "model_change"]),
    ("workload_shift", &["prompt_drift", "workload_shift"]),
    (
        "denial_of_service",
        &["prompt_injection", "prompt_drift", "silent_degradation"],
    ),
];

/// Whether a fault should reach severity 7.
pub fn is_severe(kind: &str) -> bool {
    SEVERE.contains(&kind)
}

/// Whether it is a fault.
pub fn is_hard(kind: &str) -> bool {
    is_severe(kind) || ALSO_HARD.contains(&kind)
}

/// Whether it begins from nothing and grows, so that it cannot be known at once.
pub fn is_creeping(kind: &str) -> bool {
    kind == "latency_slow"
}

/// Whether it is a change that need not be one.
pub fn is_soft(kind: &str) -> bool {
    SOFT.contains(&kind)
}

/// Whether a diagnosis is right; `None` for kinds for which none is.
pub fn is_right(kind: &str, diagnosis: &str) -> Option<bool> {
    let (_, accepted) = ACCEPTED.iter().find(|(accepted, _)| *accepted == kind)?;
    Some(accepted.contains(&diagnosis))
}
