//! From what is to be done to the points that do it: which record is new, which corrects, which comes too late.

use crate::lines::{identifier, literal, tag_text, tag_value};
use crate::op::Op;
use crate::place::{AgentHash, GROUP, Identity, group_of};
use crate::recall::{Known, Recall};
use crate::record::{self, SIGHTING, VITALS};
use crate::server::Server;
use crate::trouble::Trouble;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ExecutionId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// How far the places of one execution's revisions may lie before its beginning and behind its end: a running
/// execution is reported with an end that is moved on until the true one is known.
const REVISIONS_BEFORE: Duration = Duration::from_secs(60);
const REVISIONS_AFTER: Duration = Duration::from_secs(600);
/// Records whose groups lie this close are looked up together, nanoseconds.
const TOGETHER: i64 = 2_000_000_000;
/// Agents in one statement at most.
const AGENTS_MAX: usize = 200;
/// Statements in one request at most: far below the size of a form that InfluxDB reads whole (10 MB).
const STATEMENTS_MAX: usize = 500;
/// Other places that are tried when a record's own is taken. The most crowded times have 1,000.
const ATTEMPTS_MAX: u64 = 1_000;

/// A point to write, for which operation.
pub(crate) struct Point {
    pub(crate) line: String,
    pub(crate) op: usize,
}

/// What will be true of an execution when the points of an operation are written.
pub(crate) struct Outcome {
    pub(crate) op: usize,
    identity: Identity,
    agent: AgentHash,
    known: Known,
}

/// The points of a batch.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) points: Vec<Point>,
    pub(crate) outcomes: Vec<Outcome>,
    /// Operations that cannot be written, and why.
    pub(crate) refused: Vec<(usize, String)>,
}

impl Plan {
    /// Remembers what was written; operations that were refused are left out.
    pub(crate) fn remember(self, recall: &mut Recall, refused: &HashMap<usize, String>) {
        for outcome in self.outcomes {
            if !refused.contains_key(&outcome.op) {
                recall.put(outcome.identity, outcome.agent, outcome.known);
            }
        }
    }
}

/// What was found in the store.
#[derive(Default)]
struct Found {
    executions: HashMap<Identity, Known>,
    places: HashMap<(AgentHash, i64), Identity>,
}

/// What the store must be asked before a batch can be written.
#[derive(Default)]
struct Questions<'a> {
    /// By run and group: agents whose points of that group matter.
    places: BTreeMap<(&'a str, i64), BTreeSet<&'a str>>,
    /// By agent: executions whose points matter, and between which places.
    executions: BTreeMap<&'a AgentKey, (BTreeSet<&'a str>, i64, i64)>,
}

impl<'a> Questions<'a> {
    fn of(ops: &[&'a Op], recall: &Recall) -> Self {
        let mut questions = Questions::default();
        for op in ops.iter().copied() {
            match op {
                Op::Append(vitals) => {
                    let identity = Identity::of(&vitals.key, &vitals.execution);
                    if recall.get(identity).is_some() || !recall.may_be_forgotten(vitals) {
                        continue;
                    }
                    let group = group_of(identity.place(vitals.timestamp, 0)).0;
                    let agents = questions
                        .places
                        .entry((vitals.key.run.as_str(), group))
                        .or_default();
                    agents.insert(vitals.key.agent.as_str());
                    if vitals.revision > 0 {
                        let began = vitals.started_at.min(vitals.timestamp).minus(REVISIONS_BEFORE);
                        let ended = vitals.timestamp.plus(REVISIONS_AFTER);
                        let from = crate::place::earliest(began);
                        questions.search(&vitals.key, &vitals.execution, from, crate::place::latest(ended));
                    }
                }
                Op::Retract(key, execution) => {
                    if recall.get(Identity::of(key, execution)).is_none() {
                        questions.search(key, execution, i64::MIN, i64::MAX);
                    }
                }
            }
        }
        questions
    }

    fn search(&mut self, key: &'a AgentKey, execution: &'a ExecutionId, from: i64, to: i64) {
        let (executions, first, last) = self
            .executions
            .entry(key)
            .or_insert_with(|| (BTreeSet::new(), from, to));
        executions.insert(execution.as_str());
        (*first, *last) = ((*first).min(from), (*last).max(to));
    }

    /// The statements, each with the run that it asks about.
    fn statements(&self) -> Vec<(&'a str, String)> {
        let mut statements = Vec::new();
        let mut groups = self.places.iter().peekable();
        while let Some(((run, first), agents)) = groups.next() {
            let (mut last, mut agents) = (*first, agents.clone());
            while let Some(((next_run, group), more)) = groups.peek()
                && next_run == run
                && group.saturating_sub(*first) <= TOGETHER
                && agents.len() + more.len() <= AGENTS_MAX
            {
                last = *group;
                agents.extend(more.iter());
                groups.next();
            }
            let agents: Vec<String> = agents.iter().map(|agent| is("agent_id", agent)).collect();
            statements.push((
                *run,
                format!(
                    "SELECT {SIGHTING} FROM {VITALS} WHERE {} AND ({}) AND time >= {first} AND time <= {} GROUP BY \
                     \"agent_id\"",
                    is("run_id", run),
                    agents.join(" OR "),
                    last + (GROUP - 1),
                ),
            ));
        }
        for (key, (executions, from, to)) in &self.executions {
            let executions: Vec<String> = executions
                .iter()
                .map(|execution| is("execution_id", execution))
                .collect();
            let mut text = format!(
                "SELECT {SIGHTING} FROM {VITALS} WHERE {} AND {} AND ({})",
                is("run_id", key.run.as_str()),
                is("agent_id", key.agent.as_str()),
                executions.join(" OR "),
            );
            if *from > i64::MIN {
                text.push_str(&format!(" AND time >= {from} AND time <= {to}"));
            }
            text.push_str(" GROUP BY \"agent_id\"");
            statements.push((key.run.as_str(), text));
        }
        statements
    }
}

/// A comparison with a text as it is stored.
pub(crate) fn is(name: &str, text: &str) -> String {
    format!("{} = {}", identifier(name), literal(&tag_value(text)))
}

async fn find(server: &Server, questions: &Questions<'_>) -> Result<Found, Trouble> {
    let (runs, statements): (Vec<&str>, Vec<String>) = questions.statements().into_iter().unzip();
    let mut found = Found::default();
    let mut answers = Vec::with_capacity(statements.len());
    for some in statements.chunks(STATEMENTS_MAX) {
        answers.extend(match server.look_up(some).await {
            // 3.x makes a database with the first write to it; until then there is nothing to correct.
            Err(Trouble::Unready { why }) if why.contains("not found") && server.makes_databases() => break,
            answers => answers?,
        });
    }
    for (run, series) in runs.iter().zip(&answers) {
        for series in series {
            let Some(agent) = series.tags.get("agent_id").and_then(|stored| tag_text(stored)) else {
                continue;
            };
            let key = AgentKey::new(*run, agent);
            let agent = AgentHash::of(&key);
            for row in series.rows() {
                let Some((identity, known)) = record::sighting(row, &key) else {
                    continue;
                };
                if let Some(time) = row.int("time") {
                    found.places.insert((agent, time), identity);
                }
                let best = found.executions.entry(identity).or_insert(known);
                // Of several points the one that counts; of two that count the later revision.
                if (known.live, known.revision) > (best.live, best.revision) {
                    *best = known;
                }
            }
        }
    }
    Ok(found)
}

/// Plans a batch, in its order. Asks the store, in one request, only where memory does not know.
pub(crate) async fn plan(server: &Server, recall: &mut Recall, ops: &[&Op]) -> Result<Plan, Trouble> {
    let first = ops.iter().filter_map(|op| match op {
        Op::Append(vitals) => Some(vitals.received_at),
        Op::Retract(..) => None,
    });
    let first = first.min();
    let questions = Questions::of(ops, recall);
    let found = find(server, &questions).await?;
    if let Some(first) = first {
        recall.begin(first);
    }
    let mut draft = Draft {
        recall,
        found,
        changed: HashMap::new(),
        taken: HashMap::new(),
        lines: HashMap::new(),
        plan: Plan::default(),
    };
    for (n, op) in ops.iter().enumerate() {
        match op {
            Op::Append(vitals) => draft.append(n, vitals),
            Op::Retract(key, execution) => draft.retract(n, key, execution),
        }
    }
    Ok(draft.plan)
}

/// A plan that grows, above what is known before it.
struct Draft<'a> {
    recall: &'a Recall,
    found: Found,
    changed: HashMap<Identity, Known>,
    taken: HashMap<(AgentHash, i64), Identity>,
    /// Which point of the plan lies where, so that a place is written once.
    lines: HashMap<(&'static str, AgentHash, i64), usize>,
    plan: Plan,
}

impl Draft<'_> {
    fn known(&self, identity: Identity) -> Option<Known> {
        let before = || {
            self.recall
                .get(identity)
                .or_else(|| self.found.executions.get(&identity).copied())
        };
        self.changed.get(&identity).copied().or_else(before)
    }

    fn is_free(&self, agent: AgentHash, place: i64, identity: Identity) -> bool {
        let taken = self.taken.get(&(agent, place)).copied();
        let occupant = taken
            .or_else(|| self.recall.occupant(agent, place))
            .or_else(|| self.found.places.get(&(agent, place)).copied());
        occupant.is_none_or(|occupant| occupant == identity)
    }

    fn append(&mut self, op: usize, vitals: &Vitals) {
        let identity = Identity::of(&vitals.key, &vitals.execution);
        let agent = AgentHash::of(&vitals.key);
        let was = self.known(identity).filter(|known| known.live);
        if was.is_some_and(|known| known.revision >= vitals.revision) {
            return;
        }
        let places = || (0..ATTEMPTS_MAX).map(|attempt| identity.place(vitals.timestamp, attempt));
        let stays = was
            .map(|known| known.place)
            .filter(|place| places().take(8).any(|p| p == *place));
        let Some(place) = stays.or_else(|| places().find(|place| self.is_free(agent, *place, identity)))
        else {
            let why = format!("agent {} has no place left at {}", vitals.key, vitals.timestamp);
            self.plan.refused.push((op, why));
            return;
        };
        let now = Known {
            revision: vitals.revision,
            place,
            displaced: record::displaced(vitals, identity),
            first_received: was.map_or(vitals.received_at, |was| {
                was.first_received.min(vitals.received_at)
            }),
            received: vitals.received_at,
            live: true,
        };
        match record::line(vitals, &now) {
            Ok(line) => self.write(op, VITALS, agent, now.place, line),
            Err(e) => {
                self.plan.refused.push((op, e.to_string()));
                return;
            }
        }
        if let Some(was) = was {
            if was.place != now.place {
                let line = record::tombstone(&vitals.key, &vitals.execution, &was, Some(&now));
                self.write(op, VITALS, agent, was.place, line);
            }
            if let Some(at) = was.displaced.filter(|at| now.displaced != Some(*at)) {
                let line = record::displaced_tombstone(&vitals.key, at);
                self.write(op, record::DISPLACED, agent, at, line);
            }
        }
        if let Some(at) = now.displaced {
            let line = record::displaced_line(vitals, &now, at);
            self.write(op, record::DISPLACED, agent, at, line);
        }
        self.settle(op, identity, agent, now);
    }

    fn retract(&mut self, op: usize, key: &AgentKey, execution: &ExecutionId) {
        let identity = Identity::of(key, execution);
        let agent = AgentHash::of(key);
        let Some(was) = self.known(identity).filter(|known| known.live) else {
            return;
        };
        let line = record::tombstone(key, execution, &was, None);
        self.write(op, VITALS, agent, was.place, line);
        if let Some(at) = was.displaced {
            self.write(
                op,
                record::DISPLACED,
                agent,
                at,
                record::displaced_tombstone(key, at),
            );
        }
        self.settle(op, identity, agent, Known { live: false, ..was });
    }

    fn write(&mut self, op: usize, measurement: &'static str, agent: AgentHash, place: i64, line: String) {
        let point = Point { line, op };
        match self.lines.entry((measurement, agent, place)) {
            std::collections::hash_map::Entry::Occupied(n) => self.plan.points[*n.get()] = point,
            std::collections::hash_map::Entry::Vacant(n) => {
                n.insert(self.plan.points.len());
                self.plan.points.push(point);
            }
        }
    }

    fn settle(&mut self, op: usize, identity: Identity, agent: AgentHash, known: Known) {
        self.changed.insert(identity, known);
        self.taken.insert((agent, known.place), identity);
        self.plan.outcomes.push(Outcome {
            op,
            identity,
            agent,
            known,
        });
    }
}
