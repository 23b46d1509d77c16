//! From a borrowed span to the small record that is kept.

use super::intern::{Interner, cut, hash};
use super::span::{Facts, Marks, Name, Origin, Resource, Span, TEXT_BYTES_MAX, Usage};
use super::times;
use crate::dialect::{Class, Fact, Reading, Table};
use crate::view::{self, AttributeView, ResourceView, SpanView};
use immune_domain::id::is_well_formed;
use immune_domain::{RunId, Timestamp};
use std::sync::Arc;

/// Resource attributes kept about the workload, and MCP servers kept per resource or span.
const LISTED_MAX: usize = 32;

/// Why a span was refused. It cannot succeed when sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The trace id is not 16 bytes, or all zero.
    TraceId,
    /// The span id, or the parent's, is not 8 bytes; or the span id is all zero.
    SpanId,
    /// Neither start nor end is given.
    NoTime,
    /// The run that the resource names cannot serve as an id.
    RunId,
    /// The trace has too many spans, and this one carries nothing that could be added up.
    TraceFull,
}

impl Refusal {
    /// Every reason, for metrics.
    pub const ALL: [Refusal; 5] = [
        Refusal::TraceId,
        Refusal::SpanId,
        Refusal::NoTime,
        Refusal::RunId,
        Refusal::TraceFull,
    ];

    /// Name in metrics and in OTLP's partial success message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::TraceId => "invalid_trace_id",
            Refusal::SpanId => "invalid_span_id",
            Refusal::NoTime => "no_time",
            Refusal::RunId => "invalid_run_id",
            Refusal::TraceFull => "trace_full",
        }
    }
}

/// Reads the spans of one request.
pub(super) struct Reader<'t, 'r> {
    table: &'t Table,
    reading: Reading<'r>,
    interner: Interner<'r>,
}

/// A scope whose spans are read.
pub(super) struct Scope {
    pub(super) origin: Arc<Origin>,
    is_agentic: bool,
}

/// A span that was read.
pub(super) struct Read {
    pub(super) trace: u128,
    pub(super) span: Span,
    pub(super) was_ahead: bool,
}

impl<'t, 'r> Reader<'t, 'r> {
    pub(super) fn new(table: &'t Table) -> Self {
        Reader {
            table,
            reading: table.reading(),
            interner: Interner::default(),
        }
    }

    pub(super) fn resource(&mut self, resource: impl ResourceView<'r>) -> Result<Arc<Resource>, Refusal> {
        self.table.read(&mut self.reading, resource.attributes());
        let run = self.reading.text(Fact::Run);
        if run.is_some_and(|run| !is_well_formed(run)) {
            return Err(Refusal::RunId);
        }
        let workload = resource
            .attributes()
            .filter_map(|attribute| {
                let key = attribute.key().strip_prefix(b"k8s.")?;
                Some((std::str::from_utf8(key).ok()?, attribute.value().text()?))
            })
            .take(LISTED_MAX)
            .map(|(key, value)| (self.interner.name(key), self.interner.name(value)))
            .collect();
        Ok(Arc::new(Resource {
            run: run.map(RunId::new),
            agent_id: self.name(Fact::AgentId),
            agent_type: self.name(Fact::AgentType),
            task_type: self.task_type(),
            service: self.name(Fact::ServiceName),
            namespace: self.name(Fact::ServiceNamespace),
            mcp_servers: self.names(Fact::McpServers),
            workload,
            infected: self.infected(),
        }))
    }

    pub(super) fn scope(&mut self, resource: &Arc<Resource>, scope: &str) -> Scope {
        Scope {
            origin: Arc::new(Origin {
                resource: resource.clone(),
                scope: self.interner.name(scope),
                is_provider: self.table.is_provider(scope),
            }),
            is_agentic: self.table.is_agentic(scope),
        }
    }

    pub(super) fn span(
        &mut self,
        span: impl SpanView<'r>,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Read, Refusal> {
        let trace = span
            .trace_id()
            .try_into()
            .map(u128::from_be_bytes)
            .map_err(|_| Refusal::TraceId)?;
        let id = span
            .span_id()
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| Refusal::SpanId)?;
        let parent = match span.parent_span_id() {
            [] => None,
            bytes => Some(
                bytes
                    .try_into()
                    .map(u64::from_be_bytes)
                    .map_err(|_| Refusal::SpanId)?,
            ),
        };
        if trace == 0 {
            return Err(Refusal::TraceId);
        }
        if id == 0 {
            return Err(Refusal::SpanId);
        }
        let times = times::read(span.start(), span.end(), now).ok_or(Refusal::NoTime)?;
        self.table.read(&mut self.reading, span.attributes());
        let class = self
            .table
            .classify(&self.reading, &scope.origin.scope, scope.is_agentic, span.name());
        let is_agentic = match class {
            Class::Create => false,
            Class::Model | Class::Tool | Class::Agent => true,
            Class::Other => scope.is_agentic || self.reading.is_marked(),
        };
        let is_error = span.status() == view::STATUS_ERROR;
        let error_type = if is_error { self.error_type(span) } else { None };
        let dialect = self.table.dialect();
        let knows_parent = span.flags() & view::FLAG_HAS_IS_REMOTE != 0;
        let marks = Marks {
            is_agentic,
            is_server: span.kind() == view::KIND_SERVER,
            is_error,
            is_control_flow: error_type
                .as_deref()
                .is_some_and(|class| dialect.is_control_flow(class)),
            is_parent_remote: knows_parent && span.flags() & view::FLAG_IS_REMOTE != 0,
            is_parent_local: knows_parent && span.flags() & view::FLAG_IS_REMOTE == 0,
            has_no_duration: times.has_no_duration,
            lost_attributes: span.dropped_attributes() > 0,
            is_unfinished: class == Class::Agent && self.is_unfinished(),
        };
        let keeps_name = is_agentic && matches!(class, Class::Agent | Class::Other | Class::Tool);
        let facts = self.facts(class, is_agentic, error_type);
        Ok(Read {
            trace,
            was_ahead: times.was_ahead,
            span: Span {
                id,
                parent: parent.filter(|parent| *parent != 0),
                start: times.start,
                end: times.end,
                arrived: now,
                class,
                marks,
                origin: scope.origin.clone(),
                name: keeps_name.then(|| self.interner.name(span.name())),
                facts: (facts != Facts::default()).then(|| Box::new(facts)),
            },
        })
    }

    fn facts(&mut self, class: Class, is_agentic: bool, error_type: Option<Name>) -> Facts {
        let mut facts = Facts {
            error_type,
            agent_id: self.name(Fact::AgentId),
            agent_type: self.name(Fact::AgentType),
            conversation: self.name(Fact::Conversation),
            task_type: self.task_type(),
            infected: self.infected(),
            http_status: self
                .reading
                .count(Fact::HttpStatus)
                .and_then(|status| u16::try_from(status).ok()),
            resends: self
                .reading
                .count(Fact::ResendCount)
                .and_then(|count| u32::try_from(count).ok()),
            ..Facts::default()
        };
        if !is_agentic {
            return facts;
        }
        let reading = &self.reading;
        facts.usage = Usage {
            input: reading.count(Fact::InputTokens),
            output: reading.count(Fact::OutputTokens),
            total: reading.count(Fact::TotalTokens),
        };
        facts.aggregated = Usage {
            input: reading.count(Fact::AggregatedInputTokens),
            output: reading.count(Fact::AggregatedOutputTokens),
            total: None,
        };
        facts.response = reading.text(Fact::ResponseId).map(hash);
        facts.cost = reading.number(Fact::Cost);
        facts.is_model_served = reading.text(Fact::ResponseModel).is_some();
        facts.model = self
            .name(Fact::ResponseModel)
            .or_else(|| self.name(Fact::RequestModel));
        facts.agent_name = match class {
            Class::Agent => self.name(Fact::AgentName),
            Class::Model | Class::Tool | Class::Other | Class::Create => self.name(Fact::CallerName),
        };
        facts.finish = self.name(Fact::FinishReason);
        facts.mcp_servers = self.names(Fact::McpServers);
        facts.prompt_hash = self.name(Fact::PromptHash);
        if facts.prompt_hash.is_none() && matches!(class, Class::Model | Class::Agent) {
            facts.prompt_hash = self
                .reading
                .text(Fact::Prompt)
                .map(|prompt| self.interner.prompt_hash(prompt));
        }
        if matches!(class, Class::Model | Class::Agent) {
            facts.tools_offered = self
                .reading
                .text(Fact::ToolDefinitions)
                .and_then(|tools| self.interner.tools_offered(tools));
        }
        match class {
            Class::Tool => {
                facts.tool = self.name(Fact::ToolName);
                facts.arguments = self
                    .reading
                    .text(Fact::ToolArguments)
                    .map(|text| hash(cut(text, TEXT_BYTES_MAX)));
                facts.call = self.reading.text(Fact::ToolCallId).map(hash);
            }
            Class::Model => facts.requested_tools = self.requested_tools(),
            Class::Agent | Class::Other => facts.workflow_name = self.name(Fact::WorkflowName),
            Class::Create => {}
        }
        facts
    }

    fn error_type(&mut self, span: impl SpanView<'r>) -> Option<Name> {
        let by_attribute = self.reading.text(Fact::ErrorType);
        let by_event = || {
            let mut attributes = span
                .event_attributes()
                .filter(|attribute| attribute.key() == b"exception.type");
            attributes.find_map(|attribute| attribute.value().text())
        };
        by_attribute
            .or_else(by_event)
            .map(|class| self.interner.name(class))
    }

    fn is_unfinished(&self) -> bool {
        let marks = &self.table.dialect().unfinished_outputs;
        let output = self
            .reading
            .text(Fact::Output)
            .map(|text| cut(text, TEXT_BYTES_MAX));
        output.is_some_and(|output| marks.iter().any(|mark| output.contains(mark.as_str())))
    }

    /// Counted in the answer's JSON without reading it as JSON: `"type": "tool_call"`, and what else it is called.
    /// Unknown when an answer is too long to be searched whole.
    fn requested_tools(&self) -> Option<u32> {
        if self.reading.requested_tools() > 0 {
            return Some(self.reading.requested_tools());
        }
        let answer = self
            .reading
            .text(Fact::RequestedTools)
            .filter(|text| text.len() <= TEXT_BYTES_MAX)?;
        let types = &self.table.dialect().requested_tool_types;
        let is_call = |(at, key): &(usize, &str)| {
            let value = answer[at + key.len()..]
                .trim_start()
                .strip_prefix(':')
                .map(str::trim_start);
            let word = value.and_then(|value| value.strip_prefix('"')?.split('"').next());
            word.is_some_and(|word| types.iter().any(|known| known == word))
        };
        u32::try_from(answer.match_indices("\"type\"").filter(is_call).count()).ok()
    }

    /// `immune.infected = true`, with its reason where one is given.
    fn infected(&mut self) -> Option<Name> {
        let reason = self.reading.text(Fact::InfectedReason);
        self.reading
            .is_true(Fact::Infected)
            .then(|| self.interner.name(reason.unwrap_or("the platform says so")))
    }

    /// The kind of work; a text that is too long to be a kind, or no word at all, is none.
    fn task_type(&mut self) -> Option<Name> {
        let text = self.reading.text(Fact::TaskType)?.trim();
        immune_domain::vitals::is_task_type(text).then(|| self.interner.name(text))
    }

    fn name(&mut self, fact: Fact) -> Option<Name> {
        self.reading.text(fact).map(|text| self.interner.name(text))
    }

    fn names(&mut self, fact: Fact) -> Vec<Name> {
        self.reading
            .texts(fact)
            .take(LISTED_MAX)
            .map(|text| self.interner.name(text))
            .collect()
    }
}
