//! What the contracts say of each method: its form, and whether it may be repeated.

use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A method of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Path of its calls: `/immune.v1.QuarantineService/Decide`.
    pub path: String,
    /// One message each way: the whole call has a deadline.
    pub is_unary: bool,
    /// A call that may or may not have arrived can be sent again: the contract says `NO_SIDE_EFFECTS` or
    /// `IDEMPOTENT`.
    pub is_repeatable: bool,
}

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let sets = [immune_proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let methods = sets.into_iter().flat_map(read);
    methods.map(|method| (method.path.clone(), method)).collect()
});

/// The method of a path; `None` for those of other contracts.
pub fn find(path: &str) -> Option<&'static Method> {
    METHODS.get(path)
}

/// Every method, in no order.
pub fn all() -> impl Iterator<Item = &'static Method> {
    METHODS.values()
}

fn read(descriptors: &[u8]) -> Vec<Method> {
    let set = FileDescriptorSet::decode(descriptors).expect("the build wrote a descriptor set");
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                let is_marked = match level {
                    Some(IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent) => true,
                    Some(IdempotencyLevel::IdempotencyUnknown) | None => false,
                };
                methods.push(Method {
                    path: format!("/{service_name}/{}", method.name()),
                    is_unary: !method.client_streaming() && !method.server_streaming(),
                    // The contract of health is not ours to mark; it only reads.
                    is_repeatable: is_marked || service_name == "grpc.health.v1.Health",
                });
            }
        }
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what counts, draws or decides anew with every call is not repeated behind the caller's back.
    #[test]
    fn what_must_not_be_repeated_is_not() {
        for path in [
            "/immune.v1.QuarantineService/Decide",
            "/immune.v1.QuarantineService/ClaimHealing",
            "/immune.v1.QuarantineService/ReportExecution",
            "/immune.v1.QuarantineService/GiveUpHealing",
            "/immune.v1.SentinelService/ReportAgentInfected",
            "/immune.v1.HealerService/ForgetMemory",
            "/immune.v1.BaselineService/ResetProfile",
            "/immune.v1.BaselineService/FreezeProfile",
            "/immune.v1.BaselineService/SetProfile",
        ] {
            assert!(!find(path).expect(path).is_repeatable, "{path}");
        }
    }

    /// Guarantees: reads, and what carries its own key, may be repeated; streams have no deadline of ours.
    #[test]
    fn marks_are_read() {
        for path in [
            "/immune.v1.QuarantineService/ReportInfection",
            "/immune.v1.QuarantineService/CheckAdmission",
            "/immune.v1.QuarantineService/RenewHealing",
            "/immune.v1.SentinelService/JudgeSince",
            "/immune.v1.IngestionService/RecordVitals",
            "/grpc.health.v1.Health/Check",
        ] {
            let method = find(path).expect(path);
            assert!(method.is_repeatable && method.is_unary, "{path}");
        }
        assert!(!find("/immune.v1.SentinelService/WatchVerdicts").unwrap().is_unary);
        assert!(find("/immune.v1.Nobody/Knows").is_none());
    }
}
