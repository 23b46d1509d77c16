//! `/api/keys`: API keys that people create. A secret is shown once, in the answer that creates its key.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::operators::{DONE, Done};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, TEXT_BYTES_MAX};
use crate::rest::read::path::NamePath;
use crate::view::vitals::seconds;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use immune_domain::{RunId, Timestamp};
use immune_door::keys::{KeyError, NewKey};
use immune_runtime::access::Role;
use immune_runtime::http::problem::Problem;
use immune_store::access::StoredKey;
use immune_store::action_log::LogRow;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// The longest that a key may be meant to last, seconds: ten years.
const EXPIRES_IN_MAX: u64 = 10 * 365 * 86_400;

/// A key to create.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `create` reads it")]
pub struct NewKeyBody {
    /// Name in the action log: 1 to 64 letters, digits and any of `. - _ @`.
    name: String,
    /// `viewer`, `operator`, `admin` or `ingest`; not above one's own.
    role: String,
    /// Runs that it is bound to; default: those of who creates it. At most 100.
    runs: Option<Vec<String>>,
    /// Seconds from now until it opens nothing; or `expires_at`. Default: never.
    expires_in_seconds: Option<u64>,
    /// From when on it opens nothing, seconds since the epoch; or `expires_in_seconds`.
    expires_at: Option<f64>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Identity.
    id: String,
    /// Name in the action log.
    name: String,
    /// `viewer`, `operator`, `admin` or `ingest`.
    role: String,
    /// Runs that it is bound to; empty means all.
    runs: Vec<String>,
    /// `active`, `expired` or `revoked`.
    state: &'static str,
    /// When it was created, seconds since the epoch.
    created_at: f64,
    /// Who created it.
    created_by: String,
    /// From when on it opens nothing, seconds since the epoch; null: never.
    expires_at: Option<f64>,
    /// Since when it is revoked, seconds since the epoch.
    revoked_at: Option<f64>,
    /// Who revoked it.
    revoked_by: Option<String>,
    /// When it was used last, to about a minute, seconds since the epoch.
    last_used_at: Option<f64>,
}

/// A key that was just created.
#[derive(Serialize, ToSchema)]
pub struct CreatedKey {
    /// The key.
    #[serde(flatten)]
    key: KeyView,
    /// What its holder sends as `X-API-Key` or `Authorization: Bearer`. Shown here and never again.
    secret: String,
}

impl KeyView {
    fn new(key: StoredKey, now: Timestamp) -> Self {
        let state = match (&key.revoked, key.may_be_used(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "active",
            (None, false) => "expired",
        };
        let (revoked_at, revoked_by) = key.revoked.unzip();
        KeyView {
            id: key.id,
            name: key.name,
            role: key.role,
            runs: key.runs.iter().map(|run| run.as_str().to_owned()).collect(),
            state,
            created_at: seconds(key.created_at),
            created_by: key.created_by,
            expires_at: key.expires_at.map(seconds),
            revoked_at: revoked_at.map(seconds),
            revoked_by,
            last_used_at: key.last_used_at.map(seconds),
        }
    }
}

/// Keys that were created here, oldest first; never those of the configuration, and never a secret.
#[utoipa::path(get, path = "/api/keys", tag = "operators",
    responses((status = 200, description = "The keys, revoked and expired ones included", body = Vec<KeyView>)))]
pub async fn list(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Vec<KeyView>>> {
    let (keys, now) = (app.door.keys(), app.clock.now());
    let keys = keys.list(&context.caller).await.map_err(problem)?;
    Ok(Json(keys.into_iter().map(|key| KeyView::new(key, now)).collect()))
}

/// Creates a key and shows its secret, once.
#[utoipa::path(post, path = "/api/keys", tag = "operators", request_body = NewKeyBody,
    responses((status = 201, description = "Created", body = CreatedKey)))]
pub async fn create(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<(StatusCode, Json<CreatedKey>)> {
    let (caller, now) = (&context.caller, app.clock.now());
    let mut fields = Fields::of(&body);
    let name = fields.required_text("name", TEXT_BYTES_MAX);
    let role = fields.required_word("role", &Role::ALL.map(Role::as_str));
    let runs = fields.texts("runs").unwrap_or_default();
    let lasts = fields.integer("expires_in_seconds", EXPIRES_IN_MAX);
    let ends = fields.number("expires_at", 0.0..=1e11);
    if lasts.is_some() && ends.is_some() {
        fields.mistake("expires_at", "stands beside expires_in_seconds; give one of them");
    }
    fields.done()?;
    let new = NewKey {
        name,
        role: Role::parse(role).ok_or_else(|| crate::problems::field("role", "is no role"))?,
        runs: runs.into_iter().map(RunId::from).collect(),
        expires_at: lasts
            .map(|seconds| now.plus(Duration::from_secs(seconds)))
            .or_else(|| ends.and_then(Timestamp::from_epoch_seconds)),
    };
    let wanted = json!({ "name": new.name, "role": role });
    let created = app
        .door
        .keys()
        .create(new, caller, app.door.has_login(), now)
        .await;
    let created = match created {
        Ok(created) => created,
        Err(error) => return Err(refused(&app, &context, "key_created", wanted, error).await),
    };
    let key = &created.key;
    let about = json!({
        "key_id": key.id, "name": key.name, "role": key.role, "runs": key.runs,
        "expires_at": key.expires_at.map(seconds),
    });
    if let Err(error) = record(&app, &context, "key_created", "done", about).await {
        // Nobody has a key that is not on record.
        let (id, keys) = (&key.id, app.door.keys());
        if let Err(error) = keys.revoke(id, caller, true, app.clock.now()).await {
            tracing::error!(key = %id, %error, "a key without a record could not be revoked; nobody knows its secret");
        }
        return Err(error);
    }
    let answer = CreatedKey {
        key: KeyView::new(created.key, now),
        secret: created.secret.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Revokes a key: it opens nothing any more, here at once, in other processes within seconds. Sessions that were
/// opened with it end.
#[utoipa::path(delete, path = "/api/keys/{key_id}", tag = "operators",
    params(("key_id" = String, Path, description = "Which key")),
    responses((status = 200, description = "Revoked", body = Done),
              (status = 404, description = "There is none that may be used")))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    context: Context,
    NamePath(key_id): NamePath,
) -> Answer<Json<Done>> {
    let (caller, now) = (&context.caller, app.clock.now());
    let revoked = app
        .door
        .keys()
        .revoke(&key_id, caller, app.door.has_login(), now)
        .await;
    match revoked {
        Ok(key) => {
            let about = json!({ "key_id": key.id, "name": key.name, "role": key.role, "runs": key.runs });
            record(&app, &context, "key_revoked", "done", about).await?;
            Ok(Json(DONE))
        }
        Err(error) => {
            let id: String = key_id.chars().take(64).collect();
            Err(refused(&app, &context, "key_revoked", json!({ "key_id": id }), error).await)
        }
    }
}

/// Writes into the action log what was done to a key, or refused.
async fn record(app: &App, context: &Context, kind: &str, outcome: &str, mut about: Value) -> Answer<()> {
    about["via"] = json!(context.caller.person.via);
    let row = LogRow {
        run: context.run.clone(),
        at: app.clock.now(),
        kind: kind.to_owned(),
        agent: None,
        actor: context.caller.person.subject.clone(),
        outcome: outcome.to_owned(),
        payload: about,
    };
    app.action_log.append(&[row]).await.map_err(stored)
}

/// What the client sees of a refusal; it goes into the action log where somebody reached for what is not theirs.
async fn refused(app: &App, context: &Context, kind: &str, mut about: Value, error: KeyError) -> Problem {
    match &error {
        KeyError::RoleAbove(_)
        | KeyError::RunOutside(_)
        | KeyError::LastAdmin
        | KeyError::FirstMustBeAdmin => {
            about["refused_because"] = json!(error.word());
            if let Err(problem) = record(app, context, kind, "refused", about).await {
                return problem;
            }
        }
        KeyError::NoStore
        | KeyError::Name
        | KeyError::Runs
        | KeyError::Expired
        | KeyError::NameTaken(_)
        | KeyError::Full
        | KeyError::NotFound
        | KeyError::Store(_) => {}
    }
    problem(error)
}

fn problem(error: KeyError) -> Problem {
    match error {
        KeyError::Store(error) => stored(error),
        KeyError::Name => wrong("name", &error),
        KeyError::Runs => wrong("runs", &error),
        KeyError::Expired => wrong("expires_at", &error),
        KeyError::NoStore
        | KeyError::FirstMustBeAdmin
        | KeyError::LastAdmin
        | KeyError::RoleAbove(_)
        | KeyError::RunOutside(_)
        | KeyError::NameTaken(_)
        | KeyError::Full
        | KeyError::NotFound => {
            Problem::new(error.kind(), &format!("keys.{}", error.word()), error.to_string())
        }
    }
}

/// A field that is wrong; the error's sentence begins with its name.
fn wrong(field: &str, error: &KeyError) -> Problem {
    let text = error.to_string();
    let rest = text.strip_prefix(field).unwrap_or(&text);
    crate::problems::field(field, rest.trim_start())
}
