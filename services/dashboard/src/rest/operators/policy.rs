//! `/api/policy`: which rules hold, to read. They are changed where they are configured.

use crate::app::App;
use crate::problems::Answer;
use crate::rest::read::context::Context;
use crate::view::policy::PolicyView;
use axum::Json;
use axum::extract::State;
use immune_domain::policy::{Match, Policy};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The rules.
#[derive(Serialize, ToSchema)]
pub struct Rules {
    /// What holds where no rule says otherwise.
    defaults: PolicyView,
    /// Rules that concern the run, in the order in which they are tried; the first that matches an agent holds.
    rules: Vec<RuleView>,
}

/// One rule.
#[derive(Serialize, ToSchema)]
pub struct RuleView {
    /// Its name.
    name: String,
    /// Whom it matches; patterns, `*` for any run of characters. An absent part matches everyone.
    #[serde(rename = "match")]
    #[schema(value_type = Object)]
    matches: Match,
    /// The same in a sentence.
    whom: String,
    /// What it changes.
    #[schema(value_type = Object)]
    set: BTreeMap<String, Value>,
    /// What holds for those whom it matches.
    effective: PolicyView,
}

/// The rules that hold for agents of the run.
#[utoipa::path(get, path = "/api/policy", tag = "operators",
    responses((status = 200, description = "The rules", body = Rules)))]
pub async fn get(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Rules>> {
    let policies = app.policies.listed();
    let of_run = policies.rules.iter().filter(|rule| {
        let pattern = rule.matches.run.as_deref();
        pattern.is_none_or(|pattern| immune_domain::policy::matches_pattern(pattern, context.run.as_str()))
    });
    let rules = of_run.map(|rule| {
        let effective: Policy = rule.effective(&policies.defaults);
        RuleView {
            name: rule.name.clone(),
            whom: whom(&rule.matches),
            matches: rule.matches.clone(),
            set: rule.set.clone(),
            effective: PolicyView::of(&effective),
        }
    });
    Ok(Json(Rules {
        defaults: PolicyView::of(&policies.defaults),
        rules: rules.collect(),
    }))
}

fn whom(matches: &Match) -> String {
    let Match {
        run,
        agent,
        agent_type,
        namespace,
    } = matches;
    let parts = [
        ("the run is", run),
        ("the agent is", agent),
        ("the type is", agent_type),
        ("the namespace is", namespace),
    ];
    let said: Vec<String> = parts
        .into_iter()
        .filter_map(|(what, pattern)| Some(format!("{what} {:?}", pattern.as_ref()?)))
        .collect();
    match said.is_empty() {
        true => "every agent".to_owned(),
        false => format!("agents of which {}", said.join(" and ")),
    }
}
