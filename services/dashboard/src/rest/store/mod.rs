//! The store API of the original, as existing clients use it: paths, fields and status codes are a contract. To add
//! an endpoint: a handler here with its `utoipa::path`, a line in [`router`], a line in `access::table`.

pub(super) mod action_log;
pub(super) mod approvals;
mod baselines;
mod events;
mod healing;
pub(crate) mod health;
mod run;
mod vitals;

pub(crate) use vitals::{Limits, NewVitals, read_vitals};

use crate::app::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this group.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(vitals::post))
        .routes(routes!(vitals::recent))
        .routes(routes!(vitals::all))
        .routes(routes!(vitals::latest))
        .routes(routes!(vitals::execution_count))
        .routes(routes!(vitals::total_executions))
        .routes(routes!(baselines::post))
        .routes(routes!(baselines::count))
        .routes(routes!(baselines::get))
        .routes(routes!(events::infection))
        .routes(routes!(events::quarantine))
        .routes(routes!(approvals::post))
        .routes(routes!(approvals::latest))
        .routes(routes!(approvals::pending))
        .routes(routes!(approvals::rejected))
        .routes(routes!(healing::post))
        .routes(routes!(healing::failed_actions))
        .routes(routes!(healing::total))
        .routes(routes!(healing::success_rate))
        .routes(routes!(healing::pattern_summary))
        .routes(routes!(action_log::post))
        .routes(routes!(action_log::recent))
        .routes(routes!(health::health))
        .routes(routes!(run::post))
}
