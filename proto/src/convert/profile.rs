//! Baseline profiles.

use super::vitals::{metric, unknown};
use super::{FINITE, POSITIVE, WireError, nested, number, optional, time, word};
use crate::v1;
use immune_domain::baseline::{Changed, Moments, Origin, Profile, State, Version};
use immune_domain::detection::guarded::Known;
use immune_domain::vitals::Metric;
use std::sync::Arc;

impl From<State> for v1::ProfileState {
    fn from(state: State) -> Self {
        match state {
            State::Learning => v1::ProfileState::Learning,
            State::Active => v1::ProfileState::Active,
            State::Stale => v1::ProfileState::Stale,
            State::Suspect => v1::ProfileState::Suspect,
        }
    }
}

/// A profile's state by its number on the wire.
pub fn state(field: &str, number: i32) -> Result<State, WireError> {
    match v1::ProfileState::try_from(number) {
        Ok(v1::ProfileState::Learning) => Ok(State::Learning),
        Ok(v1::ProfileState::Active) => Ok(State::Active),
        Ok(v1::ProfileState::Stale) => Ok(State::Stale),
        Ok(v1::ProfileState::Suspect) => Ok(State::Suspect),
        Ok(v1::ProfileState::Unspecified) | Err(_) => Err(unknown(field, "a baseline state", number)),
    }
}

impl From<&Profile> for v1::Profile {
    fn from(profile: &Profile) -> Self {
        v1::Profile {
            key: Some((&profile.key).into()),
            version: profile.version,
            state: v1::ProfileState::from(profile.state).into(),
            sample_count: profile.sample_count,
            moments: moments_to_wire(profile.moments),
            updated_at: Some(time::to_wire(profile.updated_at)),
            agent_version: Some(profile.of.into()),
            is_frozen: profile.is_frozen,
            known: profile.known.as_deref().map(Known::to_bytes).unwrap_or_default(),
        }
    }
}

/// The numbers of each metric.
pub fn moments_to_wire(moments: [Moments; 3]) -> Vec<v1::Moments> {
    let each = Metric::ALL.map(|metric| {
        let Moments { count, mean, stddev } = moments[metric.index()];
        v1::Moments {
            metric: v1::Metric::from(metric).into(),
            count,
            mean,
            stddev,
        }
    });
    each.into()
}

/// The numbers by [`Metric::index`]; a metric that is not there was never measured.
pub fn moments_from_wire(wire: Vec<v1::Moments>) -> Result<[Moments; 3], WireError> {
    let mut moments: [Option<Moments>; 3] = [None; 3];
    for (i, each) in wire.into_iter().enumerate() {
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
    Ok(moments.map(Option::unwrap_or_default))
}

/// What a guarded detector begins from; none where there are no bytes.
pub fn known(field: &str, bytes: &[u8]) -> Result<Option<Known>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let known = Known::from_bytes(bytes);
    known.map(Some).ok_or_else(|| {
        let problem = format!("{} bytes are no reference of a detector in form 1", bytes.len());
        WireError::new(field, problem)
    })
}

impl From<Version> for v1::AgentVersion {
    fn from(version: Version) -> Self {
        v1::AgentVersion {
            epoch: version.epoch,
            since: Some(time::to_wire(version.since)),
            model_changed: version.changed.model,
            prompt_changed: version.changed.prompt,
            tools_changed: version.changed.tools,
            origin: version.origin.as_str().to_owned(),
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
            origin: match wire.origin.as_str() {
                "" => Origin::Seen,
                origin => word("origin", origin)?,
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

    fn try_from(wire: v1::Profile) -> Result<Self, Self::Error> {
        Ok(Profile {
            key: nested("key", wire.key)?,
            version: wire.version,
            state: state("state", wire.state)?,
            sample_count: wire.sample_count,
            moments: moments_from_wire(wire.moments)?,
            updated_at: time::from_wire("updated_at", wire.updated_at)?,
            of: optional("agent_version", wire.agent_version)?.unwrap_or_default(),
            is_frozen: wire.is_frozen,
            known: known("known", &wire.known)?.map(Arc::new),
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
