//! What the files must not have, whoever edits them.

use super::File;

const ALL: [File; 7] = [
    File::Console,
    File::ConsoleScript,
    File::Docs,
    File::DocsScript,
    File::Dom,
    File::Style,
    File::Icon,
];

fn text(file: File) -> &'static str {
    std::str::from_utf8(file.bytes()).unwrap()
}

#[test]
fn no_file_writes_markup_runs_text_or_keeps_anything() {
    for file in ALL {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "localStorage",
            "sessionStorage",
            "document.cookie",
            "@import",
        ] {
            assert!(!text(file).contains(word), "{file:?} has {word}");
        }
    }
}

#[test]
fn no_file_names_another_server_and_no_page_has_anything_inline() {
    for file in ALL {
        let known = text(file)
            .replace("http://www.w3.org/2000/svg", "")
            .replace("https://app.example.com", "");
        assert!(!known.contains("http://") && !known.contains("https://"), "{file:?}");
    }
    for page in [File::Console, File::Docs] {
        let html = text(page);
        for inline in ["<style", " style=", " onclick=", " onload=", "<script>", "javascript:"] {
            assert!(!html.contains(inline), "{page:?} has {inline}");
        }
    }
}

#[test]
fn the_links_of_a_page_lead_to_its_files() {
    for page in [File::Console, File::Docs] {
        let html = text(page);
        let mut found = 0;
        for attribute in ["src=\"", "<link rel=\"icon\" href=\"", "stylesheet\" href=\""] {
            for (at, _) in html.match_indices(attribute) {
                let target = html[at + attribute.len()..].split('"').next().unwrap();
                let segments: Vec<&str> = target.split('/').collect();
                assert!(File::of(&segments).is_some(), "{target}");
                found += 1;
            }
        }
        assert_eq!(found, 3);
        assert!(page.is_page());
    }
    for (path, expected) in [
        (&["docs", "console.js"][..], None),
        (&["console", ""], None),
        (&["console", "x"], None),
        (&["docs", "predict"], None),
        (&[], None),
        (&["docs"], Some(File::Docs)),
    ] {
        assert_eq!(File::of(path), expected, "{path:?}");
    }
}

#[test]
fn the_pages_are_small() {
    let bytes: usize = ALL.iter().map(|file| file.bytes().len()).sum();
    assert!(bytes < 64 << 10, "{bytes}");
}
