//! Names that many spans of a request share are kept once.

use super::span::{NAME_BYTES_MAX, Name, TEXT_BYTES_MAX};
use foldhash::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Names of one request.
#[derive(Debug, Default)]
pub struct Interner<'r> {
    names: HashSet<Name>,
    /// The prompt hashed last: most spans of a request repeat it, and comparing is quicker than hashing.
    prompt: Option<(&'r str, Name)>,
    /// The tool definitions read last, for the same reason.
    tools: Option<(&'r str, Option<Name>)>,
}

impl<'r> Interner<'r> {
    /// The name, cut to [`NAME_BYTES_MAX`].
    pub fn name(&mut self, text: &str) -> Name {
        let text = cut(text, NAME_BYTES_MAX);
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Name = text.into();
        self.names.insert(name.clone());
        name
    }

    /// A fingerprint of a prompt, 16 hex digits. Not for security: it only has to change when the prompt does.
    pub fn prompt_hash(&mut self, text: &'r str) -> Name {
        if let Some((known, hash)) = &self.prompt
            && *known == text
        {
            return hash.clone();
        }
        let hash = self.name(&format!("{:016x}", hash(cut(text, TEXT_BYTES_MAX))));
        self.prompt = Some((text, hash.clone()));
        hash
    }

    /// A fingerprint of the tools in their definitions, 16 hex digits: of their names, whatever their order. `None`
    /// where none is named, or the text is too long to be searched whole.
    pub fn tools_offered(&mut self, definitions: &'r str) -> Option<Name> {
        if let Some((known, names)) = &self.tools
            && *known == definitions
        {
            return names.clone();
        }
        let names = tool_names(definitions).map(|names| self.name(&format!("{names:016x}")));
        self.tools = Some((definitions, names.clone()));
        names
    }
}

/// The hashes of all names in tool definitions in sum, so that their order does not count. Every dialect writes
/// `"name": "..."`, with whatever else around it; a parameter that is called `name` is followed by no text.
fn tool_names(definitions: &str) -> Option<u64> {
    const KEY: &str = "\"name\"";
    if definitions.len() > TEXT_BYTES_MAX {
        return None;
    }
    let names = definitions.match_indices(KEY).filter_map(|(at, _)| {
        let value = definitions[at + KEY.len()..].trim_start().strip_prefix(':')?;
        value.trim_start().strip_prefix('"')?.split('"').next()
    });
    names.map(hash).reduce(u64::wrapping_add)
}

/// The first `bytes` of a text, less if that would split a character.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// 64 bits for a text, the same in every process (`DefaultHasher::new` has constant keys).
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Scenario: the same tools in another order and with another description; then one more.
    /// Guarantees: the fingerprint is of the set of names; a parameter called `name` is no tool; no names, no fingerprint.
    #[test]
    fn tools_are_a_set_of_names() {
        let one = r#"[{"type":"function","name":"get","parameters":{"properties":{"name":{"type":"string"}}}},{"name" : "put"}]"#;
        let same = r#"[{"name":"put","description":"writes"},{"function":{"name":"get"}}]"#;
        let more = r#"[{"name":"put"},{"name":"get"},{"name":"delete"}]"#;
        let mut interner = Interner::default();
        let mut of = |text| interner.tools_offered(text);
        assert!(of(one).is_some());
        assert_eq!(of(one), of(same));
        assert_ne!(of(one), of(more));
        assert_eq!(of("[]"), None);
    }

    /// Guarantees: equal names share memory, and a long one is cut without splitting a character.
    #[test]
    fn names_are_shared_and_cut() {
        let mut interner = Interner::default();
        assert!(Arc::ptr_eq(&interner.name("bot"), &interner.name("bot")));
        let long = "é".repeat(NAME_BYTES_MAX);
        assert_eq!(interner.name(&long).len(), NAME_BYTES_MAX);
        assert_eq!(cut("aé", 2), "a");
    }

    /// Guarantees: a prompt's fingerprint changes with the prompt and with nothing else.
    #[test]
    fn prompts_have_fingerprints() {
        let mut interner = Interner::default();
        let (one, two) = (interner.prompt_hash("be kind"), interner.prompt_hash("be quick"));
        assert_ne!(one, two);
        assert_eq!(interner.prompt_hash("be kind"), one);
        assert_eq!(one.len(), 16);
    }
}
