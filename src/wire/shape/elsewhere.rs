//! Members that stand for a text which is elsewhere, that bring one, or that make one: of any API, after what servers and
//! gateways take beside the APIs they copy.
//!
//! To judge what such a member says is to judge the wrong text. Where a request has one that no table names, it is refused;
//! so is one further down in a member that no table names, since such are options too (`extra_body`).

use crate::wire::WireError;
use crate::wire::json::{Type, Value};
use crate::wire::shape::{fold, is_word, unsupported};
use Why::*;

/// Why a member is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It names what the upstream keeps.
    Kept,
    /// The upstream searches or fetches.
    Fetched,
    /// It is media, or names some, or is a text as only the upstream's model reads it.
    NoText,
    /// The same where it is an object; as a string it is a text.
    NoTextWithin,
    /// It names what the upstream keeps where it is an object; as a string it is a text.
    KeptWithin,
    Template,
    Program,
    /// The answer is to say its text again in another form.
    Copies,
    /// What fills a template: no template itself.
    Filling,
    /// It names another upstream.
    Leads,
}

impl Why {
    fn sentence(self) -> &'static str {
        match self {
            Kept | KeptWithin => {
                "this route judges what stands in the request, and this stands for what the upstream keeps"
            }
            Fetched => "this route judges what stands in the request, and this has the upstream bring more",
            NoText | NoTextWithin => "this route judges text only, and this is none",
            Template | Filling => {
                "this route judges messages, and a template of the request's own could say anything beside them"
            }
            Program => "this route judges no grammars and no programs; a schema may stand where the API has one",
            Copies => "this route judges an answer's text, and this asks for a copy that can't be judged",
            Leads => "this route asks the upstream of its configuration, and this names another",
        }
    }
}

/// Checks a member that no table names, and all below it.
pub fn check(key: Value<'_>, value: Value<'_>) -> Result<(), WireError> {
    if key.is("type") && value.text().is_some_and(|kind| is_fetching(&kind)) {
        return Err(unsupported(value, Fetched.sentence()));
    }
    let why = key.text().and_then(|name| why(&name)).filter(|_| !is_nothing(value));
    match why {
        Some(Filling) if has_markup(value) => Err(unsupported(key, Filling.sentence())),
        Some(KeptWithin | NoTextWithin) if value.kind() != Type::Object => check_below(value),
        None | Some(Filling) => check_below(value),
        Some(why) => Err(unsupported(key, why.sentence())),
    }
}

/// Checks what stands in a value.
pub fn check_below(value: Value<'_>) -> Result<(), WireError> {
    // What a client calls its own is no option of the upstream.
    let is_option = |key: Value<'_>| !OWN.iter().any(|own| key.is(own));
    value.members().filter(|(key, _)| is_option(*key)).try_for_each(|(key, member)| check(key, member))?;
    value.elements().try_for_each(check_below)?;
    check_model(value)
}

/// Checks the name of a model, of which some gateways take a part for an option: OpenRouter.
pub fn check_model(value: Value<'_>) -> Result<(), WireError> {
    let why = match value.text().filter(|name| is_word(name)) {
        Some(name) if name.contains("@preset/") => Kept,
        Some(name) if name.ends_with(":online") => Fetched,
        _ => return Ok(()),
    };
    Err(unsupported(value, why.sentence()))
}

/// JSON of the client's own, whatever stands above: properties of a schema, labels, what a tool was called with.
const OWN: [&str; 6] = ["$defs", "args", "arguments", "definitions", "metadata", "properties"];

/// Switched off, or empty. `{}` is not: it is how a tool without settings is asked for.
fn is_nothing(value: Value<'_>) -> bool {
    match value.kind() {
        Type::Bool => value.bool() == Some(false),
        Type::String => value.is(""),
        Type::Array => value.elements().next().is_none(),
        _ => value.is_null(),
    }
}

/// Whether a string in it holds the marks of a template.
fn has_markup(value: Value<'_>) -> bool {
    let marks = |text: &str| ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark));
    value.text().is_some_and(|text| marks(&text))
        || value.members().any(|(_, member)| has_markup(member))
        || value.elements().any(has_markup)
}

/// Whether a tool of this type is one that the upstream runs, whatever its version: `web_search_20250305`.
fn is_fetching(kind: &str) -> bool {
    let kind: String = folded(kind).collect();
    NAMES.iter().any(|(own, why)| *why == Fetched && kind.starts_with(own))
}

fn folded(name: &str) -> impl Iterator<Item = char> + Clone {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(fold)
}

fn why(name: &str) -> Option<Why> {
    let folded = folded(name);
    NAMES.binary_search_by(|(own, _)| own.chars().cmp(folded.clone())).ok().map(|at| NAMES[at].1)
}

/// In order; without case, `_` and `-`.
const NAMES: &[(&str, Why)] = &[
    ("agent", Kept),
    ("agentid", Kept),
    ("agentreference", Kept),
    ("apibase", Leads),
    ("assistantid", Kept),
    ("attachments", NoText),
    ("audio", NoText),
    ("audiodata", NoText),
    ("audiourl", NoText),
    ("baseurl", Leads),
    ("botid", Kept),
    ("browsersearch", Fetched),
    ("builtintools", Fetched),
    ("cachedcontent", Kept),
    ("chattemplate", Template),
    ("chattemplatekwargs", Filling),
    ("codeexecution", Fetched),
    ("codeinterpreter", Fetched),
    ("compoundcustom", Fetched),
    ("connector", Fetched),
    ("connectors", Fetched),
    ("container", Kept),
    ("containerid", Kept),
    ("conversation", Kept),
    ("conversationid", Kept),
    ("customlogitprocessor", Program),
    ("datasources", Fetched),
    ("documenturl", NoText),
    ("ebnf", Program),
    ("echo", Copies),
    ("enabledeepsearch", Fetched),
    ("enableenhancement", Fetched),
    ("enablesearch", Fetched),
    ("enterprisewebsearch", Fetched),
    ("exaaisearch", Fetched),
    ("experimentalattachments", NoText),
    ("file", NoTextWithin),
    ("filedata", NoText),
    ("fileid", Kept),
    ("fileids", Kept),
    ("files", Kept),
    ("filesearch", Fetched),
    ("filesearchstore", Fetched),
    ("filesearchstorenames", Fetched),
    ("fileurl", NoText),
    ("forcesearchenhancement", Fetched),
    ("googlemaps", Fetched),
    ("googlesearch", Fetched),
    ("googlesearchretrieval", Fetched),
    ("grammar", Program),
    ("graphids", Fetched),
    ("guidedchoice", Program),
    ("guidedgrammar", Program),
    ("guidedjson", Program),
    ("guidedregex", Program),
    ("guidedwhitespacepattern", Program),
    ("image", NoText),
    ("imagedata", NoText),
    ("imageembeds", NoText),
    ("imagefile", NoText),
    ("imagegeneration", Fetched),
    ("images", NoText),
    ("imageurl", NoText),
    ("imageurls", NoText),
    ("initimage", NoText),
    ("inlinedata", NoText),
    ("inputaudio", NoText),
    ("inputembeds", NoText),
    ("inputfile", NoText),
    ("inputids", NoText),
    ("inputimage", NoText),
    ("inputimages", NoText),
    ("knowledgebase", Fetched),
    ("knowledgebaseid", Fetched),
    ("knowledgebaseids", Fetched),
    ("knowledgebases", Fetched),
    ("kvtransferparams", Kept),
    ("logitsprocessors", Program),
    ("mcp", Fetched),
    ("mcpservers", Fetched),
    ("media", NoText),
    ("memory", Kept),
    ("memoryconfig", Kept),
    ("memoryid", Kept),
    ("memorystores", Kept),
    ("multimodaldata", NoText),
    ("parallelaisearch", Fetched),
    ("plugins", Fetched),
    ("preset", Kept),
    ("previousinputmessages", Kept),
    ("previousinteractionid", Kept),
    ("previousresponseid", Kept),
    ("prompt", KeptWithin),
    ("promptembeds", NoText),
    ("promptid", Kept),
    ("promptidentifier", Kept),
    ("prompttemplate", Template),
    ("prompttokenids", NoText),
    ("promptvariables", Kept),
    ("ragretrievalconfig", Fetched),
    ("ragstore", Fetched),
    ("rawprompting", Template),
    ("regex", Program),
    ("retrieval", Fetched),
    ("returnhiddenstates", Copies),
    ("returntokenids", Copies),
    ("returntokens", Copies),
    ("returntokensastokenids", Copies),
    ("searchoptions", Fetched),
    ("searchparameters", Fetched),
    ("searchsettings", Fetched),
    ("sessionfile", Kept),
    ("sessionparams", Kept),
    ("skills", Kept),
    ("source", NoTextWithin),
    ("structuraltag", Program),
    ("structuredinputs", Kept),
    ("structuredoutputs", Program),
    ("systemtool", Fetched),
    ("template", Template),
    ("thinktemplate", Template),
    ("thread", Kept),
    ("threadid", Kept),
    ("toolids", Fetched),
    ("toolresources", Fetched),
    ("toolservers", Fetched),
    ("urlcontext", Fetched),
    ("userconfig", Leads),
    ("vectorstoreid", Fetched),
    ("vectorstoreids", Fetched),
    ("video", NoText),
    ("videodata", NoText),
    ("videourl", NoText),
    ("webfetch", Fetched),
    ("websearch", Fetched),
    ("websearchoptions", Fetched),
    ("withsearchenhance", Fetched),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        assert!(NAMES.is_sorted_by(|(one, _), (next, _)| one < next));
        for (name, _) in NAMES {
            assert!(
                why(name).is_some() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
                "{name}"
            );
        }
        for name in
            ["cached_content", "cachedContent", "Cached-Content", "_CACHED_CONTENT_", "\u{17f}ession_param\u{17f}"]
        {
            assert_eq!(why(name), Some(Kept), "{name}");
        }
        for name in ["", "_", "content", "cached", "cached_contents_of", "chat_template_", "\u{0}"] {
            assert_eq!(why(name).filter(|_| name != "chat_template_"), None, "{name}");
        }
    }
}
