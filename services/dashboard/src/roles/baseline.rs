//! What people do to a baseline, at the replica that holds the agent. The role records it.

use super::Roles;
use crate::problems::{Answer, garbled};
use immune_domain::AgentKey;
use immune_domain::baseline::{Learned, Origin, Profile};
use immune_domain::case::Person;
use immune_proto::convert;
use immune_proto::convert::profile::moments_to_wire;
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_runtime::access::with_person;

impl Roles {
    /// Has it learned anew; whether there was one.
    pub async fn reset_profile(&self, key: &AgentKey, reason: String, by: &Person) -> Answer<bool> {
        let request = v1::ResetProfileRequest {
            key: Some(key.into()),
            reason,
        };
        let ask = |channel| {
            let request = with_person(request.clone(), by);
            async move { BaselineServiceClient::new(channel).reset_profile(request).await }
        };
        Ok(self.ask("baseline", self.baseline.owner(key, ask)).await?.existed)
    }

    /// Stops it from learning, or lets it learn again.
    pub async fn freeze_profile(
        &self,
        key: &AgentKey,
        is_frozen: bool,
        reason: String,
        by: &Person,
    ) -> Answer<Profile> {
        let request = v1::FreezeProfileRequest {
            key: Some(key.into()),
            is_frozen,
            reason,
        };
        let ask = |channel| {
            let request = with_person(request.clone(), by);
            async move { BaselineServiceClient::new(channel).freeze_profile(request).await }
        };
        let answer = self.ask("baseline", self.baseline.owner(key, ask)).await?;
        convert::nested("profile", answer.profile).map_err(garbled)
    }

    /// Gives it numbers.
    pub async fn set_profile(
        &self,
        key: &AgentKey,
        learned: &Learned,
        origin: Origin,
        reason: String,
        by: &Person,
    ) -> Answer<Profile> {
        let request = v1::SetProfileRequest {
            key: Some(key.into()),
            origin: origin.as_str().to_owned(),
            sample_count: learned.learner.samples(),
            moments: moments_to_wire(learned.learner.moments()),
            known: learned.known.to_bytes(),
            reason,
        };
        let ask = |channel| {
            let request = with_person(request.clone(), by);
            async move { BaselineServiceClient::new(channel).set_profile(request).await }
        };
        let answer = self.ask("baseline", self.baseline.owner(key, ask)).await?;
        convert::nested("profile", answer.profile).map_err(garbled)
    }
}
