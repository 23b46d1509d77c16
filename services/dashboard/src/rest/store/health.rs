//! `/api/v1/health`: whether the server and its stores answer. Open to everybody.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use immune_domain::{AgentKey, RunId};
use immune_store::client_records::RecordKind;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long the stores may take.
const STORES_MAX: Duration = Duration::from_secs(3);

/// How the server is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `healthy`, `unhealthy`.
    status: &'static str,
    /// What does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Whether the server and its stores answer.
#[utoipa::path(get, path = "/api/v1/health", tag = "store",
    responses((status = 200, description = "They do", body = Health),
              (status = 503, description = "They do not", body = Health)))]
pub async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    match stores(&app).await {
        Ok(()) => (
            StatusCode::OK,
            Json(Health {
                status: "healthy",
                detail: None,
            }),
        ),
        Err(silent) => {
            let detail = Some(format!("{silent} does not answer"));
            (
                StatusCode::SERVICE_UNAVAILABLE,
                Json(Health {
                    status: "unhealthy",
                    detail,
                }),
            )
        }
    }
}

/// Asks every store of this role something small; names the one that does not answer.
pub(crate) async fn stores(app: &App) -> Result<(), &'static str> {
    let run = RunId::default();
    let nobody = AgentKey::new(run.clone(), "-");
    let vitals = async {
        app.vitals
            .ping()
            .await
            .map_err(|error| ("the store of vitals", error))
    };
    let records = async {
        let latest = app.client_records.latest(&nobody, RecordKind::Feedback).await;
        latest.map(|_| ()).map_err(|error| ("the workflow store", error))
    };
    let log = async {
        app.action_log
            .recent(&run, None, 1)
            .await
            .map(|_| ())
            .map_err(|error| ("the action log", error))
    };
    let all = async { tokio::try_join!(vitals, records, log) };
    match tokio::time::timeout(STORES_MAX, all).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((which, error))) => {
            tracing::warn!(%error, which, "a store does not answer");
            Err(which)
        }
        Err(_) => Err("a store"),
    }
}
