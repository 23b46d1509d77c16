//! What an operator changes about names.

use super::{Dialect, Fact, Pattern, Rule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Additions to, and replacements in, the built-in dialect. Empty by default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Attribute names to try before the built-in ones, per fact (`agent_id`, `agent_name`, `input_tokens`, ...).
    /// Mapping an attribute to the agent's identity is `agent_id: [my.agent]`; `gen_ai.agent.id` may be put there
    /// when the platform keeps it stable.
    pub attributes: BTreeMap<Fact, Vec<String>>,
    /// Attribute names instead of the built-in ones, per fact; an empty list means the fact is never read.
    pub only: BTreeMap<Fact, Vec<String>>,
    /// Classification rules to try before the built-in ones.
    pub classes: Vec<Rule>,
    /// Further instrumentation scopes whose spans belong to an agent; `*` at either end.
    pub scopes: Vec<Pattern>,
    /// Further error classes that steer rather than fail.
    pub control_flow: Vec<String>,
    /// Further tool names that are no work of a tool.
    pub phantom_tools: Vec<Pattern>,
}

impl Config {
    /// The built-in dialect with these changes.
    pub fn apply(&self) -> Dialect {
        let mut dialect = Dialect::builtin();
        for (fact, names) in &self.only {
            dialect.attributes.insert(*fact, names.clone());
        }
        for (fact, names) in &self.attributes {
            dialect
                .attributes
                .entry(*fact)
                .or_default()
                .splice(0..0, names.iter().cloned());
        }
        dialect.classes.splice(0..0, self.classes.iter().cloned());
        dialect.scopes.extend(self.scopes.iter().cloned());
        dialect.control_flow.extend(self.control_flow.iter().cloned());
        dialect.phantom_tools.extend(self.phantom_tools.iter().cloned());
        dialect
    }

    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        for (list, facts) in [("attributes", &self.attributes), ("only", &self.only)] {
            for (fact, names) in facts {
                if names.iter().any(|name| name.trim().is_empty()) {
                    mistakes.push(format!("{path}.{list}.{fact:?}: an attribute name is empty"));
                }
                if names.len() > 64 {
                    mistakes.push(format!(
                        "{path}.{list}.{fact:?} has {} names: at most 64",
                        names.len()
                    ));
                }
            }
        }
        for (index, rule) in self.classes.iter().enumerate() {
            if rule.attribute.is_none() && rule.scope.is_empty() && rule.name.is_empty() {
                mistakes.push(format!(
                    "{path}.classes[{index}]: needs an attribute, a scope or a name"
                ));
            }
            if rule.attribute.is_none() && !rule.is.is_empty() {
                mistakes.push(format!("{path}.classes[{index}]: `is` needs an attribute"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an operator maps an attribute, replaces a list and adds a rule.
    /// Guarantees: additions come first, replacements replace, the rest stays.
    #[test]
    fn changes_come_before_the_builtin() {
        let config: Config = serde_norway::from_str(
            "attributes: { agent_id: [gen_ai.agent.id] }\nonly: { cost: [] }\nclasses: [{ class: tool, attribute: my.kind, is: [tool] }]",
        )
        .expect("valid");
        let dialect = config.apply();
        assert_eq!(
            dialect.attributes[&Fact::AgentId],
            ["gen_ai.agent.id", "immune.agent.id"]
        );
        assert!(dialect.attributes[&Fact::Cost].is_empty());
        assert_eq!(dialect.classes[0].attribute.as_deref(), Some("my.kind"));
        assert_eq!(dialect.classes.len(), Dialect::builtin().classes.len() + 1);
        assert_eq!(Config::default().apply(), Dialect::builtin());
    }

    /// Guarantees: unknown facts are refused, and every mistake is named with its path.
    #[test]
    fn mistakes_are_named() {
        assert!(serde_norway::from_str::<Config>("attributes: { agent_nmae: [x] }").is_err());
        let config: Config =
            serde_norway::from_str("attributes: { cost: [''] }\nclasses: [{ class: tool }]").expect("valid");
        let mut mistakes = Vec::new();
        config.check("ingestion.dialect", &mut mistakes);
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(
            mistakes
                .iter()
                .all(|mistake| mistake.starts_with("ingestion.dialect.")),
            "{mistakes:?}"
        );
    }
}
