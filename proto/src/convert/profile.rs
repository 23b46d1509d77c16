//! Baseline profiles.

use super::vitals::{metric, unknown};
use super::{FINITE, POSITIVE, WireError, nested, number, optional, time};
use crate::v1;
use immune_domain::baseline::{Changed, Moments, Profile, State, Version};
use immune_domain::vitals::Metric;

impl From<State> for v1::ProfileState {
    fn from(state: State) -> Self {
        match state {
            State::Learning => v1::ProfileState::Learning,
            State::Active => v1::ProfileState::Active,
            State::Stale => v1::ProfileState::Stale,
        }
    }
}

/// A profile's state by its number on the wire.
pub fn state(field: &str, number: i32) -> Result<State, WireError> {
    match v1::ProfileState::try_from(number) {
        Ok(v1::ProfileState::Learning) => Ok(State::Learning),
        Ok(v1::ProfileState::Active) => Ok(State::Active),
        Ok(v1::ProfileState::Stale) => Ok(State::Stale),
        Ok(v1::ProfileState::Unspecified) | Err(_) => Err(unknown(field, "a baseline state", number)),
    }
}

impl From<&Profile> for v1::Profile {
    fn from(profile: &Profile) -> Self {
        let moments = Metric::ALL.map(|metric| {
            let Moments { count, mean, stddev } = profile.moments(metric);
            v1::Moments {
                metric: v1::Metric::from(metric).into(),
                count,
                mean,
                stddev,
            }
        });
        v1::Profile {
            key: Some((&profile.key).into()),
            version: profile.version,
            state: v1::ProfileState::from(profile.state).into(),
            sample_count: profile.sample_count,
            moments: moments.into(),
            updated_at: Some(time::to_wire(profile.updated_at)),
            agent_version: Some(profile.of.into()),
        }
    }
}

impl From<Version> for v1::AgentVersion {
    fn from(version: Version) -> Self {
        v1::AgentVersion {
            epoch: version.epoch,
            since: Some(time::to_wire(version.since)),
            model_changed: version.changed.model,
            prompt_changed: version.changed.prompt,
            tools_changed: version.changed.tools,
        }
    }
}

impl TryFrom<v1::AgentVersion> for Version {
    type Error = WireError;

    fn try_from(wire: v1::AgentVersion) -> Result<Self, Self::Error> {
        Ok(Version {
            epoch: wire.epoch,
            since: time::from_wire("since", wire.since)?,
            changed: Changed {
                model: wire.model_changed,
                prompt: wire.prompt_changed,
                tools: wire.tools_changed,
            },
        })
    }
}

impl From<Profile> for v1::Profile {
    fn from(profile: Profile) -> Self {
        v1::Profile::from(&profile)
    }
}

impl TryFrom<v1::Profile> for Profile {
    type Error = WireError;

    /// A metric that is not there was never measured.
    fn try_from(wire: v1::Profile) -> Result<Self, Self::Error> {
        let mut moments: [Option<Moments>; 3] = [None; 3];
        for (i, each) in wire.moments.into_iter().enumerate() {
            let at = |error: WireError| error.under(format_args!("moments[{i}]"));
            let slot = &mut moments[metric("metric", each.metric).map_err(at)?.index()];
            if slot.is_some() {
                return Err(at(WireError::new("metric", "is there twice")));
            }
            *slot = Some(Moments {
                count: each.count,
                mean: number("mean", each.mean, FINITE).map_err(at)?,
                stddev: number("stddev", each.stddev, POSITIVE).map_err(at)?,
            });
        }
        Ok(Profile {
            key: nested("key", wire.key)?,
            version: wire.version,
            state: state("state", wire.state)?,
            sample_count: wire.sample_count,
            moments: moments.map(Option::unwrap_or_default),
            updated_at: time::from_wire("updated_at", wire.updated_at)?,
            of: optional("agent_version", wire.agent_version)?.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guarantees: nothing of a profile is lost or changed on the wire.
        #[test]
        fn round_trip(profile in arbitrary::profile()) {
            prop_assert_eq!(Profile::try_from(v1::Profile::from(&profile)), Ok(profile));
        }

        /// Guarantees: numbers that would poison every later judgement are refused where they come in.
        #[test]
        fn refuses_what_is_no_spread(profile in arbitrary::profile()) {
            let mut wire = v1::Profile::from(&profile);
            wire.moments[1].stddev = -1.0;
            let error = Profile::try_from(wire).expect_err("not a spread").to_string();
            prop_assert_eq!(error, "moments[1].stddev: -1 is not a finite number of at least 0");

            let mut wire = v1::Profile::from(&profile);
            wire.moments[2].metric = wire.moments[0].metric;
            let error = Profile::try_from(wire).expect_err("twice").to_string();
            prop_assert_eq!(error, "moments[2].metric: is there twice");
        }
    }
}
