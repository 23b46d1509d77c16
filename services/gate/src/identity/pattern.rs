//! Patterns of SPIFFE IDs: `spiffe://example.org/ns/{namespace}/sa/{account}`.

use super::Named;

/// A pattern with what it yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
    /// The name that takes the rest of the path.
    rest: Option<String>,
    agent: Template,
    run: Option<Template>,
}

/// One part of the path: what it begins and ends with, and what stands between.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Fixed(String),
    Named {
        before: String,
        name: String,
        after: String,
    },
    Any,
}

/// A text with names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

impl Pattern {
    /// Reads a pattern and the templates of agent and run; without one for the run, the name `run` is it.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub(crate) fn parse(text: &str, agent: &str, run: Option<&str>) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("spiffe://") else {
            return Err("must begin with spiffe://".to_owned());
        };
        let mut texts: Vec<&str> = path.split('/').collect();
        let mut rest = None;
        if let Some(name) = texts
            .last()
            .and_then(|last| last.strip_prefix('{')?.strip_suffix("...}"))
        {
            rest = Some(named(name)?);
            texts.pop();
        }
        let parts: Vec<Part> = texts.into_iter().map(Part::parse).collect::<Result<_, _>>()?;
        let mut names: Vec<&str> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Named { name, .. } => Some(name.as_str()),
                Part::Fixed(_) | Part::Any => None,
            })
            .chain(rest.as_deref())
            .collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("has {{{}}} more than once", pair[0]));
        }
        let template = |what: &str, text: &str| {
            let template = Template::parse(text).map_err(|problem| format!("{what} {text:?} {problem}"))?;
            if let Some(name) = template.names().find(|name| !names.contains(name)) {
                return Err(format!("{what} {text:?} has {{{name}}}, which the pattern lacks"));
            }
            Ok(template)
        };
        let agent = template("agent", agent)?;
        let run = match run {
            Some(run) => Some(template("run", run)?),
            None if names.contains(&"run") => Some(template("run", "{run}")?),
            None => None,
        };
        Ok(Pattern {
            parts,
            rest,
            agent,
            run,
        })
    }

    /// The agent of an ID that the pattern fits.
    pub(super) fn find(&self, id: &str) -> Option<Named> {
        let mut values: Vec<(&str, &str)> = Vec::new();
        let mut left = Some(id.strip_prefix("spiffe://")?);
        for part in &self.parts {
            let text = left?;
            let (one, others) = match text.split_once('/') {
                Some((one, others)) => (one, Some(others)),
                None => (text, None),
            };
            left = others;
            match part {
                Part::Fixed(fixed) if fixed == one => {}
                Part::Any if !one.is_empty() => {}
                Part::Fixed(_) | Part::Any => return None,
                Part::Named { before, name, after } => {
                    let value = one.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                    if value.is_empty() {
                        return None;
                    }
                    values.push((name, value));
                }
            }
        }
        match (&self.rest, left) {
            (Some(name), Some(rest)) if !rest.is_empty() => values.push((name, rest)),
            (Some(_), _) | (None, Some(_)) => return None,
            (None, None) => {}
        }
        Some(Named {
            agent: self.agent.fill(&values),
            run: self.run.as_ref().map(|run| run.fill(&values)),
        })
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("has an empty part".to_owned());
        }
        if text == "*" {
            return Ok(Part::Any);
        }
        let Some((before, others)) = text.split_once('{') else {
            if text.contains(['}', '*']) {
                return Err(format!("part {text:?} is neither text, {{name}} nor *"));
            }
            return Ok(Part::Fixed(text.to_owned()));
        };
        let Some((name, after)) = others.split_once('}') else {
            return Err(format!("part {text:?} has no }} after its {{"));
        };
        if [before, after].iter().any(|text| text.contains(['{', '}', '*'])) {
            return Err(format!("part {text:?} has more than one name"));
        }
        Ok(Part::Named {
            before: before.to_owned(),
            name: named(name)?,
            after: after.to_owned(),
        })
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut left) = (Vec::new(), text);
        while let Some((before, others)) = left.split_once('{') {
            let (name, after) = others.split_once('}').ok_or("has no } after its {")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Name(named(name)?));
            left = after;
        }
        if !left.is_empty() {
            pieces.push(Piece::Text(left.to_owned()));
        }
        if pieces.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(Template(pieces))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    fn fill(&self, values: &[(&str, &str)]) -> String {
        let value = |name: &str| values.iter().find(|(of, _)| *of == name).map(|(_, value)| *value);
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                // Reading the pattern has made sure that it has the name.
                Piece::Name(name) => value(name).unwrap_or_default(),
            })
            .collect()
    }
}

fn named(name: &str) -> Result<String, String> {
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(format!("{{{name}}} is no name: letters, digits and _ are")),
    }
}
