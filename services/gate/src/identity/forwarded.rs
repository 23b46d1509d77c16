//! The header `x-forwarded-client-cert`, as Envoy writes it: elements separated by commas, one per proxy, each of
//! `key=value` pairs separated by semicolons; values may be in double quotes, with quotes inside escaped by backslashes.

/// The SPIFFE ID of the last element, which the proxy nearest to us has added. `None` when it has none.
///
/// # Errors
/// When the header is not of that form, or the element has more than one SPIFFE ID.
pub(super) fn last_spiffe_id(text: &str) -> Result<Option<String>, String> {
    let elements = split(text, ',')?;
    let Some(last) = elements.last() else {
        return Ok(None);
    };
    let mut found: Option<String> = None;
    for pair in split(last, ';')? {
        let Some((key, value)) = pair.split_once('=') else {
            continue;
        };
        if !key.trim().eq_ignore_ascii_case("uri") {
            continue;
        }
        let value = unquoted(value.trim());
        if !value.starts_with("spiffe://") {
            continue;
        }
        if found.is_some() {
            return Err("has more than one SPIFFE ID in an element".to_owned());
        }
        found = Some(value);
    }
    Ok(found)
}

/// Parts of a text between separators that are not in quotes.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if is_quoted && c == '\\' {
            is_escaped = true;
        } else if c == '"' {
            is_quoted = !is_quoted;
        } else if c == separator && !is_quoted {
            parts.push(&text[begin..at]);
            begin = at + c.len_utf8();
        }
    }
    if is_quoted {
        return Err("has a quote that does not end".to_owned());
    }
    parts.push(&text[begin..]);
    Ok(parts)
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}
