//! Suggestions: which known name somebody may have meant, and the known names listed.

/// The known name closest to `name`, where one is close.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = squash(name);
    known
        .into_iter()
        .map(|candidate| {
            let known = squash(candidate);
            let part = wanted.len() > 3 && (known.contains(&wanted) || wanted.contains(&known) && known.len() > 3);
            (if part { 1 } else { distance(&wanted, &known) }, candidate)
        })
        .filter(|&(distance, candidate)| distance <= candidate.chars().count().max(3) / 3)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b` or `c`"; long lists are cut.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 24;
    let names: Vec<&str> = names.into_iter().collect();
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some(_) if names.len() > SHOWN => format!("{} and {} more", quoted.join(", "), names.len() - SHOWN),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// A message of the TOML reader, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Explained {
    pub title: String,
    pub label: String,
    pub help: Vec<String>,
}

/// Says in the terms of the file what the TOML reader says in those of the program: "unknown field `x`, expected one of
/// `a`, `b`".
pub fn explain(message: &str) -> Explained {
    let (title, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let mut out = Explained { title: title.to_owned(), label: String::new(), help: Vec::new() };
    let name = title.split('`').nth(1).unwrap_or_default();
    let what = |word| title.starts_with(word);
    if what("missing field") {
        out.title = format!("missing key `{name}`");
        out.help.extend(missing(name).map(str::to_owned));
    } else if what("unknown field") || what("unknown variant") {
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        out.title = format!("unknown {} `{name}`", if what("unknown field") { "key" } else { "value" });
        out.label = meant(name, known.iter().copied());
        out.help.push(format!("expected {}", list(known.iter().copied())));
        if known.contains(&"env") && known.contains(&"file") {
            out.help.push(super::secret::HOW.to_owned());
        }
    } else if what("string values must be quoted") {
        out.label = "expected text in quotes, a number, true or false".to_owned();
    } else if !expected.is_empty() {
        out.label = format!("expected {}", in_toml(title, expected));
        out.title = out.title.replace(": map", ": table");
    }
    out
}

/// What serde calls a type, in the words of TOML.
fn in_toml<'a>(title: &str, expected: &'a str) -> &'a str {
    match expected {
        "a sequence" if title.ends_with(": map") => "a list: its name in two pairs of brackets, as in [[route]]",
        "a sequence" => "a list in brackets: [\"...\"]",
        "a map" => "a table",
        "a string" => "text in quotes",
        "path string" => "a path in quotes",
        "a boolean" => "true or false",
        "i64" => "a whole number",
        name if name.starts_with("struct ") => "a table",
        plain => plain,
    }
}

/// The words under an unknown name.
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(name, known).map_or_else(|| "not known".to_owned(), |close| format!("did you mean `{close}`?"))
}

/// What a required key is for.
fn missing(field: &str) -> Option<&'static str> {
    Some(match field {
        "on_error" => {
            "on_error has no default: \"block\" refuses the traffic when the detector fails, \"allow\" lets it pass unjudged"
        }
        "stage" => "say where the guardrail stands: stage = [\"input\"], [\"output\"] or both",
        "actions" => {
            "say what each label leads to: [actions] with label = \"allow\", \"annotate\", \"redact\" or \"block\""
        }
        "url" => "an upstream is where requests go: url = \"https://api.example.com\"",
        "upstream" => {
            "name the upstream that the route goes to: upstream = \"NAME\", with [upstream.NAME] in this file"
        }
        "path" => "a route takes one path: path = \"/v1/chat/completions\"",
        "id" => "name the route for logs and metrics: id = \"chat\"",
        "model" => {
            "the directory of the checkpoint: model = \"models/NAME\"; or, for a model on a server, preset = \"vllm\", say"
        }
        "form" => "say what the policy's text asks the model to answer: form = \"binary\", \"label\" or \"json\"",
        "labels" => "name the outcomes: [[labels]] with label, reply and, for the harmless one, safe = true",
        "reply" => "say what the model writes for this label: reply = \"1\"",
        "refusal" => "say what an error is: refusal = '{\"error\": \"{message}\"}'",
        "framing" => "say how the events of a stream come: framing = \"sse\" or \"ndjson\"",
        "cut" => "say what ends a stream that is blocked: cut = ['{\"error\": \"{message}\"}']",
        "header" => "name the header that carries the secret: header = \"authorization\"",
        _ => return None,
    })
}

/// Differences of case and of word separators are none.
fn squash(name: &str) -> String {
    name.chars().take(64).filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) between two short ASCII names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_not() {
        let known = ["prompt-injection", "pii", "secrets", "on_error"];
        for (name, close) in [
            ("promt-injection", Some("prompt-injection")),
            ("Prompt_Injection", Some("prompt-injection")),
            ("pi", Some("pii")),
            ("secret", Some("secrets")),
            ("injection", Some("prompt-injection")),
            ("on-error", Some("on_error")),
            ("toxicity", None),
        ] {
            assert_eq!(closest(name, known), close, "{name}");
        }
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn messages_speak_of_keys_and_values() {
        let explained = explain("unknown field `stagee`, expected one of `stage`, `policy`");
        assert_eq!(explained.title, "unknown key `stagee`");
        assert_eq!(explained.label, "did you mean `stage`?");
        assert_eq!(explained.help, ["expected `stage` or `policy`"]);
        for (message, title, label) in [
            ("invalid type: integer `1`, expected a string", "invalid type: integer `1`", "expected text in quotes"),
            (
                "invalid type: map, expected a sequence",
                "invalid type: table",
                "expected a list: its name in two pairs of brackets, as in [[route]]",
            ),
            (
                "invalid type: string \"x\", expected a sequence",
                "invalid type: string \"x\"",
                "expected a list in brackets: [\"...\"]",
            ),
            ("invalid type: string \"x\", expected struct Limits", "invalid type: string \"x\"", "expected a table"),
            ("invalid value: string \"x\", expected a name", "invalid value: string \"x\"", "expected a name"),
        ] {
            let explained = explain(message);
            assert_eq!((&*explained.title, &*explained.label), (title, label));
        }
        assert_eq!(explain("duplicate key").title, "duplicate key");
    }

    #[test]
    fn lists_read_as_a_sentence() {
        assert_eq!(list([]), "none");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
