//! The operators' API: what existing scripts use (`original.md`), and cases, memory and live events beside it. To add
//! an endpoint: a handler here with its `utoipa::path`, a line in [`router`], a line in `access::table`.

mod action_log;
mod action_log_export;
mod admission;
mod agents;
mod approvals;
mod backtest;
mod baseline;
mod cases;
pub(crate) mod chat;
mod events;
mod feedback;
mod fleet;
mod healings;
mod incidents;
mod infected;
mod ingest;
mod keys;
mod me;
mod memory;
mod notifications;
mod openapi;
mod policy;
mod series;
mod sparks;
mod status;
mod system;

use crate::app::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this group.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(me::me))
        .routes(routes!(status::status))
        .routes(routes!(status::stats))
        .routes(routes!(status::infections))
        .routes(routes!(agents::list))
        .routes(routes!(agents::get))
        .routes(routes!(fleet::get))
        .routes(routes!(incidents::list))
        .routes(routes!(sparks::get))
        .routes(routes!(series::get))
        .routes(routes!(policy::get))
        .routes(routes!(infected::post))
        .routes(routes!(approvals::pending))
        .routes(routes!(approvals::rejected))
        .routes(routes!(approvals::approve_healing))
        .routes(routes!(approvals::approve_all))
        .routes(routes!(approvals::heal_explicitly))
        .routes(routes!(approvals::heal_all_rejected))
        .routes(routes!(backtest::post))
        .routes(routes!(feedback::post))
        .routes(routes!(healings::list))
        .routes(routes!(cases::list))
        .routes(routes!(cases::get))
        .routes(routes!(cases::approve))
        .routes(routes!(cases::reject))
        .routes(routes!(cases::heal_now))
        .routes(routes!(cases::release))
        .routes(routes!(baseline::get))
        .routes(routes!(baseline::reset))
        .routes(routes!(baseline::freeze))
        .routes(routes!(baseline::unfreeze))
        .routes(routes!(baseline::pin))
        .routes(routes!(baseline::accept))
        .routes(routes!(baseline::import))
        .routes(routes!(memory::list))
        .routes(routes!(memory::pin))
        .routes(routes!(memory::forget))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(action_log::list))
        .routes(routes!(action_log_export::export))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::retry))
        .routes(routes!(notifications::discard))
        .routes(routes!(notifications::test))
        .routes(routes!(chat::slack))
        .routes(routes!(events::watch))
        .routes(routes!(system::system))
        .routes(routes!(openapi::document))
        .routes(routes!(ingest::ingest))
        .routes(routes!(ingest::register))
        .routes(routes!(admission::check))
}

/// The answer of what was done and has nothing else to say.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct Done {
    /// True.
    ok: bool,
}

const DONE: Done = Done { ok: true };
