//! The store as its users see it.

use crate::access::PgAccess;
use crate::action_log::PgActionLog;
use crate::baselines::PgBaselines;
use crate::cases::PgCases;
use crate::client_records::PgClientRecords;
use crate::connect;
use crate::database::{Database, Repeat};
use crate::error::OpenError;
use crate::healings::PgHealings;
use crate::notifications::PgNotifications;
use crate::options::{Options, parse};
use crate::pool::Pool;
use crate::vitals::PgVitals;
use immune_store::error::Result;
use immune_store::{
    AccessStore, ActionLog, BaselineStore, CaseStore, ClientRecordStore, HealingStore, NotificationStore,
    Stores, VitalsStore,
};
use sqlx::Connection;
use std::sync::Arc;

/// A PostgreSQL database. Clones share its connections.
#[derive(Clone)]
pub struct PostgresStore {
    database: Arc<Database>,
}

impl PostgresStore {
    /// Prepares a store. The server is asked at the first call, not here: a process starts while its database is
    /// away. An error is a mistake in the options.
    pub fn open(options: Options) -> std::result::Result<PostgresStore, OpenError> {
        let pool = Pool::new(parse(&options.url)?, options.limits);
        Ok(PostgresStore {
            database: Arc::new(Database::new(pool)),
        })
    }

    /// Asks the server once whether this program can work with it. A process refuses to start on
    /// [`OpenError::Older`], [`OpenError::Newer`], [`OpenError::Dirty`] and [`OpenError::Server`];
    /// [`OpenError::Away`] passes, and the schema is looked at again whenever a connection is made.
    pub async fn check_schema(&self) -> std::result::Result<(), OpenError> {
        let pool = &self.database.pool;
        let conn = connect::open_checked(pool.options(), pool.limits())
            .await
            .map_err(connect::away)?;
        // A farewell that fails finds the connection closed already.
        let _ = conn.close().await;
        Ok(())
    }

    /// Answers when the server does, takes writes and has the right schema.
    pub async fn ping(&self) -> Result<()> {
        let answer = self
            .database
            .run("asking the database", Repeat::Always, || sqlx::query("SELECT 1"));
        answer.await.map(|_| ())
    }

    /// Waits for calls under way and lets go of the server; calls that come later fail as unavailable.
    pub async fn close(&self) {
        self.database.announcer.close();
        self.database.pool.close().await;
    }

    /// All contracts, vitals included.
    pub fn stores(&self) -> Stores {
        Stores {
            vitals: self.vitals(),
            baselines: self.baselines(),
            cases: self.cases(),
            healings: self.healings(),
            client_records: self.client_records(),
            action_log: self.action_log(),
            access: self.access(),
            notifications: self.notifications(),
        }
    }

    /// Records of executions, for clusters without InfluxDB.
    pub fn vitals(&self) -> Arc<dyn VitalsStore> {
        Arc::new(PgVitals(self.database.clone()))
    }

    /// Profiles.
    pub fn baselines(&self) -> Arc<dyn BaselineStore> {
        Arc::new(PgBaselines(self.database.clone()))
    }

    /// Cases and outgoing events.
    pub fn cases(&self) -> Arc<dyn CaseStore> {
        Arc::new(PgCases(self.database.clone()))
    }

    /// Attempts and immune memory.
    pub fn healings(&self) -> Arc<dyn HealingStore> {
        Arc::new(PgHealings(self.database.clone()))
    }

    /// Records posted by client-deployed immune systems.
    pub fn client_records(&self) -> Arc<dyn ClientRecordStore> {
        Arc::new(PgClientRecords(self.database.clone()))
    }

    /// What targets have still to be told.
    pub fn notifications(&self) -> Arc<dyn NotificationStore> {
        Arc::new(PgNotifications(self.database.clone()))
    }

    /// The audit record.
    pub fn action_log(&self) -> Arc<dyn ActionLog> {
        Arc::new(PgActionLog(self.database.clone()))
    }

    /// Keys and sessions.
    pub fn access(&self) -> Arc<dyn AccessStore> {
        Arc::new(PgAccess(self.database.clone()))
    }
}
