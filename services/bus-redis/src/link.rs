//! A way to Redis that is made again when it breaks.

use crate::connect::{Connection, connect};
use crate::keys::Keys;
use crate::script::Call;
use crate::trouble::{Trouble, is_out_of_memory, is_script_unknown};
use crate::{Address, Config, Metrics};
use futures::StreamExt;
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisError, RedisResult, Value, cmd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The wait after the first failure; each doubles it.
const BACKOFF_MIN: Duration = Duration::from_millis(25);
/// The longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Commands that are at a cluster at once, of one piece of work.
const CLUSTER_COMMANDS_MAX: usize = 256;

/// What every part of one bus knows.
pub(crate) struct Site {
    pub(crate) address: Address,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) metrics: Metrics,
}

/// A way to Redis. It has one connection at a time; the first is made when it is first used.
pub(crate) struct Link {
    site: std::sync::Arc<Site>,
    purpose: &'static str,
    answer: Duration,
    state: Mutex<State>,
    /// One at a time makes a connection; the others wait for it.
    making: Semaphore,
}

#[derive(Default)]
struct State {
    current: Option<(u64, Connection)>,
    made: u64,
    failures: u32,
    not_before: Option<Instant>,
}

/// A connection with the number that tells it from those made later.
pub(crate) struct Held<'a> {
    link: &'a Link,
    number: u64,
    connection: Connection,
}

/// What Redis said to each of several calls.
pub(crate) type Answers = Vec<Result<Value, RedisError>>;

impl Link {
    /// A way that waits for `answer` at most for each answer.
    pub(crate) fn new(site: std::sync::Arc<Site>, purpose: &'static str, answer: Duration) -> Self {
        Link {
            site,
            purpose,
            answer,
            state: Mutex::default(),
            making: Semaphore::new(1),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does all calls, in order where they touch one partition.
    ///
    /// # Errors
    /// When there is no connection, or none of the answers came. What Redis refuses is in the answers.
    pub(crate) async fn run(&self, calls: &[Call]) -> Result<Answers, Trouble> {
        self.held().await?.run(calls).await
    }

    /// The connection; makes one when there is none, as early as the failures before allow.
    pub(crate) async fn held(&self) -> Result<Held<'_>, Trouble> {
        if let Some(held) = self.current() {
            return Ok(held);
        }
        let _turn = self.making.acquire().await.expect("it is never closed");
        if let Some(held) = self.current() {
            return Ok(held);
        }
        let not_before = self.state().not_before;
        if let Some(at) = not_before {
            tokio::time::sleep_until(at).await;
        }
        match self.make().await {
            Ok(connection) => Ok(self.made(connection)),
            Err(trouble) => {
                self.trouble(&trouble);
                Err(trouble)
            }
        }
    }

    fn current(&self) -> Option<Held<'_>> {
        let (number, connection) = self.state().current.clone()?;
        Some(Held {
            link: self,
            number,
            connection,
        })
    }

    async fn make(&self) -> Result<Connection, Trouble> {
        let site = &self.site;
        let mut connection = connect(&site.address, &site.config.tls, self.answer).await?;
        let here = site.config.partitions;
        let key: &str = &site.keys.division;
        let mut set = cmd("SET");
        connection.one(set.arg(key).arg(here).arg("NX")).await?;
        let there: u16 =
            redis::from_redis_value(connection.one(cmd("GET").arg(key)).await?).map_err(RedisError::from)?;
        if there != here {
            return Err(Trouble::Divided { there, here });
        }
        Ok(connection)
    }

    fn made(&self, connection: Connection) -> Held<'_> {
        let mut state = self.state();
        state.made += 1;
        let number = state.made;
        state.current = Some((number, connection.clone()));
        drop(state);
        if number > 1 {
            self.site.metrics.reconnects.inc();
        }
        tracing::info!(redis = %self.site.address, purpose = self.purpose, number, "connected");
        Held {
            link: self,
            number,
            connection,
        }
    }

    /// Counts a failure, and says so at the first of several.
    fn trouble(&self, trouble: &Trouble) {
        let mut state = self.state();
        let wait = BACKOFF_MIN
            .saturating_mul(1 << state.failures.min(16))
            .min(BACKOFF_MAX);
        state.failures = state.failures.saturating_add(1);
        state.not_before = Some(Instant::now() + wait);
        let failures = state.failures;
        drop(state);
        // The first, then ever more rarely: a long absence is not a full disk.
        if failures.is_power_of_two() {
            let error = trouble as &(dyn std::error::Error + 'static);
            tracing::warn!(redis = %self.site.address, purpose = self.purpose, failures, error, "redis is away");
        }
    }

    fn well(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.not_before = None;
    }
}

impl Held<'_> {
    /// Does all calls on this connection; see [`Link::run`].
    pub(crate) async fn run(&mut self, calls: &[Call]) -> Result<Answers, Trouble> {
        let commands = calls.iter().map(|call| call.command(false)).collect();
        let mut answers = self.send(commands).await?;
        let unknown: Vec<usize> = (0..answers.len())
            .filter(|i| answers[*i].as_ref().is_err_and(is_script_unknown))
            .collect();
        if !unknown.is_empty() {
            let commands = unknown.iter().map(|i| calls[*i].command(true)).collect();
            let again = self.send(commands).await?;
            for (i, answer) in unknown.into_iter().zip(again) {
                answers[i] = answer;
            }
        }
        let bad = answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .find(|error| !is_out_of_memory(error));
        match bad {
            Some(error) => self.broken(&Trouble::Redis(error.clone())),
            None => self.link.well(),
        }
        Ok(answers)
    }

    /// Asks how many replicas have everything that was written on this connection.
    pub(crate) async fn replicas(&mut self, want: u32, within: Duration) -> Result<i64, Trouble> {
        let mut wait = cmd("WAIT");
        wait.arg(want).arg(within.as_millis() as u64);
        match self.connection.one(&wait).await {
            Ok(answer) => Ok(redis::from_redis_value(answer).map_err(RedisError::from)?),
            Err(error) => {
                let trouble = Trouble::Redis(error);
                self.broken(&trouble);
                Err(trouble)
            }
        }
    }

    async fn send(&mut self, commands: Vec<redis::Cmd>) -> Result<Answers, Trouble> {
        // The library limits each answer; the limit around it is for what the library may forget.
        let after = self.link.answer * 2;
        let sent = tokio::time::timeout(after, self.connection.all(commands)).await;
        let trouble = match sent {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => Trouble::Redis(error),
            Err(_) => Trouble::Late { after },
        };
        self.broken(&trouble);
        Err(trouble)
    }

    /// The next use makes a connection anew. After any refusal: the server may have become a replica, or be loading.
    fn broken(&self, trouble: &Trouble) {
        let mut state = self.link.state();
        let is_current = state
            .current
            .as_ref()
            .is_some_and(|(number, _)| *number == self.number);
        if is_current {
            state.current = None;
        }
        drop(state);
        if is_current {
            self.link.trouble(trouble);
        }
    }
}

impl Connection {
    /// Does one command.
    async fn one(&mut self, command: &redis::Cmd) -> RedisResult<Value> {
        let answer = match self {
            Connection::One(connection) => connection.req_packed_command(command).await?,
            Connection::Cluster(connection) => connection.req_packed_command(command).await?,
        };
        // To the library a refusal is an answer.
        answer.extract_error()
    }

    /// Does all commands: in one go at one server, side by side at a cluster.
    async fn all(&mut self, commands: Vec<redis::Cmd>) -> RedisResult<Answers> {
        match self {
            Connection::One(connection) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                pipeline.ignore_errors();
                for command in commands {
                    pipeline.add_command(command);
                }
                pipeline.query_async(connection).await
            }
            Connection::Cluster(connection) => {
                let each = commands.into_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { connection.req_packed_command(&command).await?.extract_error() }
                });
                Ok(futures::stream::iter(each)
                    .buffered(CLUSTER_COMMANDS_MAX)
                    .collect()
                    .await)
            }
        }
    }
}
