//! Names that many spans of a request share are kept once.

use super::span::{NAME_BYTES_MAX, Name, TEXT_BYTES_MAX};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Names of one request.
#[derive(Debug, Default)]
pub struct Interner<'r> {
    names: HashSet<Name>,
    /// The prompt hashed last: most spans of a request repeat it, and comparing is quicker than hashing.
    prompt: Option<(&'r str, Name)>,
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
