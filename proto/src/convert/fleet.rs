//! Fleet incidents.

use super::{WireError, id, run, time};
use crate::v1;
use immune_domain::fleet::{Incident, Shared, Sign, Signs};

/// Ways to depart that a message may name: each once.
const WHAT_MAX: usize = Sign::ALL.len();

impl From<&Incident> for v1::FleetIncident {
    fn from(incident: &Incident) -> Self {
        v1::FleetIncident {
            incident_id: incident.id.clone(),
            run_id: incident.run.to_string(),
            what: incident
                .what
                .iter()
                .map(|sign| sign.as_str().to_owned())
                .collect(),
            shared: incident.shared.kind().to_owned(),
            name: incident
                .shared
                .name()
                .map(|name| name.to_string())
                .unwrap_or_default(),
            departing: incident.departing,
            active: incident.active,
            opened_at: Some(time::to_wire(incident.opened_at)),
            closed_at: incident.closed_at.map(time::to_wire),
            held_back: incident.held_back,
            because: incident.told(),
        }
    }
}

impl TryFrom<v1::FleetIncident> for Incident {
    type Error = WireError;

    /// What it says of itself (`because`) follows from the rest.
    fn try_from(wire: v1::FleetIncident) -> Result<Self, Self::Error> {
        Ok(Incident {
            id: id("incident_id", wire.incident_id)?,
            run: run("run_id", wire.run_id)?,
            what: what(&wire.what)?,
            shared: shared(&wire.shared, &wire.name)?,
            departing: wire.departing,
            active: wire.active,
            opened_at: time::from_wire("opened_at", wire.opened_at)?,
            closed_at: match wire.closed_at {
                None => None,
                closed_at => Some(time::from_wire("closed_at", closed_at)?),
            },
            held_back: wire.held_back,
        })
    }
}

fn what(words: &[String]) -> Result<Signs, WireError> {
    if words.is_empty() || words.len() > WHAT_MAX {
        let problem = format!("has {} words, 1 to {WHAT_MAX} are allowed", words.len());
        return Err(WireError::new("what", problem));
    }
    let signs = words.iter().enumerate().map(|(i, word)| {
        let sign = word.parse::<Sign>();
        sign.map_err(|error| WireError::new(format!("what[{i}]"), error.to_string()))
    });
    signs.collect()
}

fn shared(kind: &str, name: &str) -> Result<Shared, WireError> {
    match (kind, name) {
        ("run", "") => Ok(Shared::Run),
        ("model", name) if !name.is_empty() => Ok(Shared::Model(name.into())),
        ("tool", name) if !name.is_empty() => Ok(Shared::Tool(name.into())),
        (kind, name) => {
            let problem = format!("{kind:?} with name {name:?}: must be run, or model or tool with a name");
            Err(WireError::new("shared", problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::Timestamp;

    fn incidents() -> Vec<Incident> {
        let shared = [
            Shared::Run,
            Shared::Model("gpt".into()),
            Shared::Tool("search".into()),
        ];
        let incident = |shared| Incident {
            id: "i-1".to_owned(),
            run: "r".into(),
            what: Sign::ALL.into_iter().step_by(2).collect(),
            shared,
            departing: 7,
            active: 9,
            opened_at: Timestamp::from_micros(1_700_000_000_000_001),
            closed_at: Some(Timestamp::from_micros(1_700_000_000_000_002)),
            held_back: 3,
        };
        let mut all: Vec<Incident> = shared.into_iter().map(incident).collect();
        all[0].closed_at = None;
        all
    }

    /// Guarantees: an incident is the same after it was sent.
    #[test]
    fn what_is_sent_arrives() {
        for incident in incidents() {
            assert_eq!(
                Incident::try_from(v1::FleetIncident::from(&incident)),
                Ok(incident)
            );
        }
    }

    /// Guarantees: what is no incident is refused with its field.
    #[test]
    fn others_are_refused() {
        let refused = |change: fn(&mut v1::FleetIncident)| {
            let mut wire = v1::FleetIncident::from(&incidents()[1]);
            change(&mut wire);
            Incident::try_from(wire).expect_err("it is refused").field
        };
        assert_eq!(refused(|wire| wire.what = vec!["mood".to_owned()]), "what[0]");
        assert_eq!(refused(|wire| wire.what.clear()), "what");
        assert_eq!(refused(|wire| wire.name.clear()), "shared");
        assert_eq!(refused(|wire| wire.shared = "planet".to_owned()), "shared");
        assert_eq!(refused(|wire| wire.opened_at = None), "opened_at");
        assert_eq!(refused(|wire| wire.incident_id.clear()), "incident_id");
    }
}
