//! The elements of a log4j2 configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use roxmltree::{Document, Node, ParsingOptions};
use tracing_subscriber::filter::LevelFilter;

use super::{plain, text};
use crate::config::source::Environment;
use crate::telemetry::{Destination, Layout, Pattern, RollingSettings};

/// Appenders and loggers.
pub(super) struct Configuration {
    appenders: BTreeMap<String, Named>,
    /// By name; the root's is empty.
    loggers: Vec<Logger>,
}

/// Where lines go, how they look, and which ones.
#[derive(Debug)]
pub(super) struct Appender {
    pub(super) to: Destination,
    pub(super) layout: Layout,
    threshold: LevelFilter,
}

enum Named {
    One(Appender),
    /// `Async`: hands its lines on.
    Others(Vec<(String, LevelFilter)>),
    /// Told when it is read.
    NotSupported,
}

struct Logger {
    name: String,
    level: Option<LevelFilter>,
    additive: bool,
    refs: Vec<(String, LevelFilter)>,
}

/// What reading needs beside the element.
struct Reader<'a> {
    properties: BTreeMap<String, String>,
    environment: &'a dyn Environment,
    unread: &'a mut Vec<String>,
}

/// Elements; TorchServe's own has fifty.
const MAX_NODES: u32 = 100_000;
/// log4j's default of `DefaultRolloverStrategy max`.
const KEEP: usize = 7;
/// `Async` around `Async`.
const MAX_DEPTH: usize = 4;

// === impl Configuration ===

impl Configuration {
    pub(super) fn parse(
        xml: &str,
        environment: &dyn Environment,
        unread: &mut Vec<String>,
    ) -> Result<Configuration, String> {
        let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(xml, options)
            .map_err(|error| format!("is not the XML of log4j2 ({error})"))?;
        let root = document.root_element();
        if kind(root) != "configuration" {
            return Err("is not a log4j2 Configuration".to_owned());
        }
        let mut reader = Reader { properties: BTreeMap::new(), environment, unread };
        for property in sections(root, "properties") {
            let value = attribute(property, "value").or(property.text()).unwrap_or_default();
            let value = reader.substitute(value);
            let name = attribute(property, "name").unwrap_or_default().to_owned();
            reader.properties.insert(name, value);
        }
        let mut appenders = BTreeMap::new();
        for element in sections(root, "appenders") {
            let name = reader.attribute(element, "name").unwrap_or_default();
            let appender = reader.appender(element, &name);
            appenders.insert(name, appender);
        }
        let loggers = sections(root, "loggers").map(|element| reader.logger(element)).collect();
        Ok(Configuration { appenders, loggers })
    }

    /// Where the lines of a logger go, each place with the least level that reaches it.
    pub(super) fn appenders_of(
        &self,
        name: &str,
        unread: &mut Vec<String>,
    ) -> Vec<(String, &Appender, LevelFilter)> {
        let above = |logger: &&Logger| {
            let rest = name.strip_prefix(&*logger.name);
            logger.name.is_empty() || rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
        };
        let mut chain: Vec<&Logger> = self.loggers.iter().filter(above).collect();
        // The nearest first, the root last.
        chain.sort_by_key(|logger| std::cmp::Reverse(logger.name.len()));
        // log4j's level of a root that says nothing.
        let level = chain.iter().find_map(|logger| logger.level).unwrap_or(LevelFilter::ERROR);
        let mut found = Vec::new();
        for logger in chain {
            for (appender, most) in &logger.refs {
                self.follow(appender, level.min(*most), 0, &mut found, unread);
            }
            if !logger.additive {
                break;
            }
        }
        found
    }

    fn follow<'a>(
        &'a self,
        name: &str,
        level: LevelFilter,
        depth: usize,
        found: &mut Vec<(String, &'a Appender, LevelFilter)>,
        unread: &mut Vec<String>,
    ) {
        match self.appenders.get(name) {
            Some(Named::One(appender)) => {
                let level = level.min(appender.threshold);
                if level != LevelFilter::OFF && !found.iter().any(|(known, ..)| known == name) {
                    found.push((name.to_owned(), appender, level));
                }
            }
            Some(Named::Others(others)) if depth < MAX_DEPTH => {
                for (other, most) in others {
                    self.follow(other, level.min(*most), depth + 1, found, unread);
                }
            }
            Some(Named::Others(_) | Named::NotSupported) => {}
            None => unread.push(format!("there is no appender {name}")),
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn substitute(&mut self, value: &str) -> String {
        text::substitute(value, &self.properties, self.environment, self.unread)
    }

    fn attribute(&mut self, element: Node<'_, '_>, name: &str) -> Option<String> {
        attribute(element, name).map(|value| self.substitute(value))
    }

    fn appender(&mut self, element: Node<'_, '_>, name: &str) -> Named {
        let kind = kind(element);
        let to = match kind.as_str() {
            "console" => match self.attribute(element, "target").as_deref() {
                Some("SYSTEM_ERR") => Destination::Stderr,
                _ => Destination::Stdout,
            },
            "file" | "randomaccessfile" | "rollingfile" | "rollingrandomaccessfile" => {
                let Some(path) = self.attribute(element, "fileName") else {
                    self.unread.push(format!("appender {name} has no fileName: left out"));
                    return Named::NotSupported;
                };
                Destination::File(self.file(element, name, &kind, PathBuf::from(path)))
            }
            "async" => return Named::Others(self.refs(element)),
            _ => {
                let kind = element.tag_name().name();
                self.unread.push(format!("appender {name}: {kind} is not supported: left out"));
                return Named::NotSupported;
            }
        };
        let layout = self.layout(element, name);
        let threshold = self.threshold(element, name);
        Named::One(Appender { to, layout, threshold })
    }

    fn file(
        &mut self,
        element: Node<'_, '_>,
        name: &str,
        kind: &str,
        path: PathBuf,
    ) -> RollingSettings {
        let mut settings = RollingSettings { path, size: None, daily: false, keep: KEEP };
        if !kind.starts_with("rolling") {
            return settings;
        }
        let policies = elements(element).filter(|child| self::kind(*child) == "policies");
        for policy in elements(element).chain(policies.flat_map(elements)) {
            match self::kind(policy).as_str() {
                "sizebasedtriggeringpolicy" => {
                    let size = self.attribute(policy, "size");
                    settings.size = size.as_deref().and_then(text::size).or(Some(10 << 20));
                }
                "timebasedtriggeringpolicy" => settings.daily = true,
                "crontriggeringpolicy" | "onstartuptriggeringpolicy" => {
                    let kind = policy.tag_name().name();
                    self.unread.push(format!("appender {name}: {kind} has no effect"));
                }
                "defaultrolloverstrategy" => {
                    let max = self.attribute(policy, "max");
                    settings.keep = max.and_then(|max| max.trim().parse().ok()).unwrap_or(KEEP);
                }
                _ => {}
            }
        }
        settings
    }

    fn layout(&mut self, element: Node<'_, '_>, name: &str) -> Layout {
        for child in elements(element) {
            match kind(child).as_str() {
                "patternlayout" => {
                    let inner = elements(child).find(|child| kind(*child) == "pattern");
                    let text = attribute(child, "pattern").or(inner.and_then(|node| node.text()));
                    let text = self.substitute(text.unwrap_or("%m%n"));
                    let mut left_out = Vec::new();
                    let pattern = Pattern::parse(text.trim(), &mut left_out);
                    for part in left_out {
                        self.unread.push(format!("appender {name}: {part} is left out of lines"));
                    }
                    return Layout::Pattern(pattern);
                }
                "jsonlayout" => return Layout::Json,
                "jsontemplatelayout" => {
                    let note = format!("appender {name}: its template has no effect: JSON lines");
                    self.unread.push(note);
                    return Layout::Json;
                }
                other if other.ends_with("layout") => {
                    let kind = child.tag_name().name();
                    self.unread.push(format!("appender {name}: {kind} is not supported: %m%n"));
                }
                _ => {}
            }
        }
        plain()
    }

    /// The level below which an appender's filters let nothing pass.
    fn threshold(&mut self, element: Node<'_, '_>, name: &str) -> LevelFilter {
        let mut threshold = LevelFilter::TRACE;
        let filters = elements(element).filter(|child| kind(*child) == "filters");
        for filter in elements(element).chain(filters.flat_map(elements)) {
            match kind(filter).as_str() {
                "thresholdfilter" => threshold = threshold.min(self.level(filter, name)),
                "filters" => {}
                other if other.ends_with("filter") => {
                    let kind = filter.tag_name().name();
                    self.unread.push(format!("appender {name}: {kind} has no effect"));
                }
                _ => {}
            }
        }
        threshold
    }

    fn logger(&mut self, element: Node<'_, '_>) -> Logger {
        let is_root = matches!(kind(element).as_str(), "root" | "asyncroot");
        let name = self.attribute(element, "name").filter(|_| !is_root).unwrap_or_default();
        let level = attribute(element, "level").is_some().then(|| self.level(element, &name));
        let additivity = self.attribute(element, "additivity");
        let additive = !additivity.is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
        Logger { name, level, additive, refs: self.refs(element) }
    }

    fn refs(&mut self, element: Node<'_, '_>) -> Vec<(String, LevelFilter)> {
        let mut refs = Vec::new();
        for child in elements(element).filter(|child| kind(*child) == "appenderref") {
            let Some(name) = self.attribute(child, "ref") else { continue };
            let level = match attribute(child, "level") {
                Some(_) => self.level(child, &name),
                None => LevelFilter::TRACE,
            };
            refs.push((name, level));
        }
        refs
    }

    /// The attribute `level`; an unknown one is `info`.
    fn level(&mut self, element: Node<'_, '_>, name: &str) -> LevelFilter {
        let text = self.attribute(element, "level").unwrap_or_default();
        text::level(&text).unwrap_or_else(|| {
            self.unread.push(format!("{name}: there is no level {text:?}: info"));
            LevelFilter::INFO
        })
    }
}

/// The elements of every section of this kind.
fn sections<'a, 'i>(root: Node<'a, 'i>, name: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    elements(root).filter(move |section| kind(*section) == name).flat_map(elements)
}

fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

/// The name of an element, in which log4j does not look at case; `<Appender type="File">` is a `File`.
fn kind(element: Node<'_, '_>) -> String {
    let name = element.tag_name().name().to_ascii_lowercase();
    match (name.as_str(), attribute(element, "type")) {
        ("appender" | "layout", Some(kind)) => kind.to_ascii_lowercase(),
        _ => name,
    }
}

fn attribute<'a>(element: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let mut attributes = element.attributes();
    attributes.find(|a| a.name().eq_ignore_ascii_case(name)).map(|attribute| attribute.value())
}
