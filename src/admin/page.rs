//! The page of the workbench: its files, in the program. No secrets, nothing from elsewhere, no build step.

/// One file, as it is served.
pub struct File {
    path: &'static str,
    pub form: &'static str,
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file under its own name.
macro_rules! file {
    ($name:literal, $form:expr) => {
        File { path: concat!("/page/", $name), form: $form, text: include_str!(concat!("page/", $name)) }
    };
}

static FILES: [File; 12] = [
    File { path: "/", form: HTML, text: include_str!("page/index.html") },
    file!("style.css", CSS),
    file!("icon.svg", SVG),
    file!("main.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("engine.js", SCRIPT),
    file!("judge.js", SCRIPT),
    file!("metrics.js", SCRIPT),
    file!("token.js", SCRIPT),
    file!("traffic.js", SCRIPT),
    file!("verdict.js", SCRIPT),
];

/// The file under this path.
pub fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_served_and_all_that_is_named_is_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/page");
        let names: BTreeSet<String> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let served = FILES.iter().map(|file| file.path.trim_start_matches("/page/").replace('/', "index.html"));
        assert_eq!(served.collect::<BTreeSet<_>>(), names);
        for file in &FILES {
            for quoted in file.text.split('"').filter(|quoted| quoted.starts_with("./") || quoted.starts_with("/page/"))
            {
                let path = quoted.replace("./", "/page/");
                assert!(super::file(&path).is_some(), "{} names {quoted}", file.path);
            }
        }
    }

    #[test]
    fn nothing_is_inline_from_elsewhere_or_made_html() {
        for file in &FILES {
            for word in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=\"", " onclick="]
            {
                assert!(!file.text.contains(word), "{} has {word}", file.path);
            }
            let elsewhere = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("://"), "{} names another place", file.path);
            assert!(!file.text.contains("<script>") && !file.text.contains("<style"), "{}", file.path);
        }
    }
}
