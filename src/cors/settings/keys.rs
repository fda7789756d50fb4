//! Every property of this room: its name, where it may stand, and what was meant by a misspelt one.

use crate::cors::listener::Listener;

/// A property without its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    AllowedOrigin,
    AllowedMethods,
    AllowedHeaders,
    AllowCredentials,
    ExposedHeaders,
    MaxAge,
    OriginFile,
    OriginFileReload,
    BlockDisallowed,
    SameOriginHosts,
    AllowedHosts,
    PrivateNetwork,
    Timing,
    PreflightStatus,
    PreflightCacheControl,
    Mode,
    ShadowFile,
    Debug,
    Strict,
    AcceptInsecureOrigins,
    AcceptPublicSuffixes,
    AcceptAnyOrigin,
    ReportEnabled,
    ReportPath,
    ReportMaxPerS,
    MetricsOriginSlots,
    Log,
    Selftest,
    Engine,
    /// Of a route only.
    Path,
}

/// Where a name may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On every listener and in every override.
    Everywhere,
    /// On every listener.
    Listeners,
    /// On one listener.
    Only(Listener),
    /// In a route override.
    Routes,
}

/// Which part of a listener a property is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All of it.
    Listener,
    /// `model.<name>.`
    Model(String),
    /// `route.<id>.`
    Route(String),
}

/// A property key taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose policy it configures.
    pub listener: Listener,
    /// All of it or a part.
    pub scope: Scope,
    /// What it sets.
    pub name: Name,
}

/// How a key was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `cors.allowed.origin`
    Dotted,
    /// `cors_allowed_origin`, as in TorchServe.
    Underscore,
}

/// Why a key is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// No such property; perhaps this one was meant.
    Unknown(Option<String>),
    /// Model overrides exist for inference only.
    ModelElsewhere,
}

const TABLE: [(Name, &str, Place); 30] = [
    (Name::AllowedOrigin, "allowed.origin", Place::Everywhere),
    (Name::AllowedMethods, "allowed.methods", Place::Everywhere),
    (Name::AllowedHeaders, "allowed.headers", Place::Everywhere),
    (Name::AllowCredentials, "allow.credentials", Place::Everywhere),
    (Name::ExposedHeaders, "exposed.headers", Place::Everywhere),
    (Name::MaxAge, "max.age", Place::Everywhere),
    (Name::BlockDisallowed, "block.disallowed", Place::Everywhere),
    (Name::Timing, "allow.timing", Place::Everywhere),
    (Name::OriginFile, "allowed.origin.file", Place::Listeners),
    (Name::OriginFileReload, "allowed.origin.file.reload.s", Place::Listeners),
    (Name::SameOriginHosts, "same.origin.hosts", Place::Listeners),
    (Name::AllowedHosts, "allowed.hosts", Place::Listeners),
    (Name::PrivateNetwork, "allow.private.network", Place::Listeners),
    (Name::PreflightStatus, "preflight.status", Place::Listeners),
    (Name::PreflightCacheControl, "preflight.cache.control", Place::Listeners),
    (Name::Mode, "mode", Place::Listeners),
    (Name::ShadowFile, "shadow.file", Place::Listeners),
    (Name::Debug, "debug", Place::Listeners),
    (Name::Strict, "strict", Place::Listeners),
    (Name::AcceptInsecureOrigins, "allow.insecure.origins", Place::Listeners),
    (Name::AcceptPublicSuffixes, "allow.public.suffix.wildcards", Place::Listeners),
    (Name::AcceptAnyOrigin, "allow.any.origin", Place::Only(Listener::Management)),
    (Name::ReportEnabled, "report.enabled", Place::Only(Listener::Inference)),
    (Name::ReportPath, "report.path", Place::Only(Listener::Inference)),
    (Name::ReportMaxPerS, "report.max.per.s", Place::Only(Listener::Inference)),
    (Name::MetricsOriginSlots, "metrics.origin.slots", Place::Listeners),
    (Name::Log, "log", Place::Listeners),
    (Name::Selftest, "selftest", Place::Listeners),
    (Name::Engine, "engine", Place::Only(Listener::Inference)),
    (Name::Path, "path", Place::Routes),
];

/// The names that have an underscore spelling: TorchServe's three and their obvious relatives.
const ALIASED: [Name; 6] = [
    Name::AllowedOrigin,
    Name::AllowedMethods,
    Name::AllowedHeaders,
    Name::AllowCredentials,
    Name::ExposedHeaders,
    Name::MaxAge,
];

/// Whether a property belongs to this room, misspelt or not: then it must not be ignored as an
/// unknown key of someone else.
pub fn is_cors_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let mut words = lower.split(['.', '_', '-']);
    let first = words.next().unwrap_or_default();
    let Some(second) = words.next() else { return false };
    if first == "cors" || second == "cors" {
        return true;
    }
    let ours = |word: &str| matches!(word, "allow" | "allowed" | "expose" | "exposed" | "origin");
    let near = |word: &str| word.len() >= 3 && distance(word, "cors") == 1;
    (near(first) && ours(second)) || (near(second) && words.next().is_some_and(ours))
}

// === impl Key ===

impl Key {
    /// Takes a key apart.
    ///
    /// # Errors
    /// [`KeyFault`] when it is not one of ours.
    pub fn parse(key: &str) -> Result<(Self, Spelling), KeyFault> {
        for listener in Listener::ALL {
            let Some(rest) = key.strip_prefix(listener.prefix()) else { continue };
            if let Some(name) = rest.strip_prefix('_') {
                if let Some(name) = ALIASED.into_iter().find(|n| n.text().replace('.', "_") == name)
                {
                    let key = Self { listener, scope: Scope::Listener, name };
                    return Ok((key, Spelling::Underscore));
                }
            } else if let Some((scope, name)) = rest.strip_prefix('.').and_then(split_scope)
                && let Some(name) = Name::of(name, &scope, listener)
            {
                if matches!(scope, Scope::Model(_)) && listener != Listener::Inference {
                    return Err(KeyFault::ModelElsewhere);
                }
                return Ok((Self { listener, scope, name }, Spelling::Dotted));
            }
        }
        Err(KeyFault::Unknown(suggest(key)))
    }
}

// === impl Name ===

impl Name {
    /// The part after the prefix.
    pub fn text(self) -> &'static str {
        TABLE.iter().find(|(name, ..)| *name == self).map_or("", |(_, text, _)| text)
    }

    /// Useless while no origin is allowed, so that setting it alone is a mistake (CORS-E004).
    pub fn needs_origin(self) -> bool {
        matches!(
            self,
            Self::AllowedMethods
                | Self::AllowedHeaders
                | Self::AllowCredentials
                | Self::ExposedHeaders
                | Self::MaxAge
                | Self::PrivateNetwork
                | Self::Timing
                | Self::PreflightStatus
                | Self::PreflightCacheControl
        )
    }

    fn of(text: &str, scope: &Scope, listener: Listener) -> Option<Self> {
        let (name, _, place) = TABLE.iter().find(|(_, known, _)| *known == text)?;
        let fits = match (place, scope) {
            (Place::Everywhere, _)
            | (Place::Listeners, Scope::Listener)
            | (Place::Routes, Scope::Route(_)) => true,
            (Place::Only(only), Scope::Listener) => *only == listener,
            _ => false,
        };
        fits.then_some(*name)
    }
}

/// `model.<name>.<property>`: the name may contain dots, the longest property wins.
fn split_scope(text: &str) -> Option<(Scope, &str)> {
    let (make, rest): (fn(String) -> Scope, &str) = if let Some(rest) = text.strip_prefix("model.")
    {
        (Scope::Model, rest)
    } else if let Some(rest) = text.strip_prefix("route.") {
        (Scope::Route, rest)
    } else {
        return Some((Scope::Listener, text));
    };
    let overridable =
        TABLE.iter().filter(|(.., place)| matches!(place, Place::Everywhere | Place::Routes));
    let name = overridable
        .filter_map(|(_, name, _)| {
            rest.strip_suffix(name)?.strip_suffix('.').filter(|owner| !owner.is_empty())?;
            Some(*name)
        })
        .max_by_key(|name| name.len())?;
    Some((make(rest[..rest.len() - name.len() - 1].to_owned()), name))
}

/// The nearest key that exists, unless nothing is near.
fn suggest(key: &str) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    let mut candidates: Vec<String> = Vec::new();
    for listener in Listener::ALL {
        let prefix = listener.prefix();
        for (_, text, place) in TABLE {
            if matches!(place, Place::Everywhere | Place::Listeners)
                || place == Place::Only(listener)
            {
                candidates.push(format!("{prefix}.{text}"));
            }
        }
        for name in ALIASED {
            candidates.push(format!("{prefix}_{}", name.text().replace('.', "_")));
        }
        candidates.extend(override_candidates(&lower, key, prefix));
    }
    if lower.ends_with("allow.any.origin") {
        return Some("management_cors.allow.any.origin".to_owned());
    }
    // A key of another listener is a worse guess than another spelling of this one's.
    let near = candidates.into_iter().map(|known| (distance(&lower, &known), known));
    let (how_far, known) = near.min_by_key(|(how_far, _)| *how_far)?;
    (how_far <= (key.len() / 3).max(2)).then_some(known)
}

/// For `cors.model.<name>.<misspelt>`: the same owner with every property.
fn override_candidates(lower: &str, key: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for scope in ["model", "route"] {
        let start = format!("{prefix}.{scope}.");
        let Some(rest) = lower.strip_prefix(&start).map(|rest| &key[key.len() - rest.len()..])
        else {
            continue;
        };
        let Some((owner, _)) = rest.split_once('.') else { continue };
        for (_, text, place) in TABLE {
            if place == Place::Everywhere || (place == Place::Routes && scope == "route") {
                found.push(format!("{start}{owner}.{text}"));
            }
        }
    }
    found
}

/// Levenshtein's distance in bytes. Keys are short and few.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dotted(key: &Key) -> String {
        let prefix = key.listener.prefix();
        let name = key.name.text();
        match &key.scope {
            Scope::Listener => format!("{prefix}.{name}"),
            Scope::Model(model) => format!("{prefix}.model.{model}.{name}"),
            Scope::Route(id) => format!("{prefix}.route.{id}.{name}"),
        }
    }

    fn suggestion(key: &str) -> String {
        match Key::parse(key) {
            Err(KeyFault::Unknown(Some(suggestion))) => suggestion,
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn every_key_is_read_back_from_its_dotted_spelling() {
        for (name, _, place) in TABLE {
            let listener = match place {
                Place::Only(listener) => listener,
                _ => Listener::Inference,
            };
            let scope = match place {
                Place::Routes => Scope::Route("r.1".into()),
                _ => Scope::Listener,
            };
            let key = Key { listener, scope, name };
            assert_eq!(Key::parse(&dotted(&key)), Ok((key, Spelling::Dotted)));
        }
        let key = Key {
            listener: Listener::Inference,
            scope: Scope::Model("a.max.age".into()),
            name: Name::AllowedOrigin,
        };
        assert_eq!(Key::parse("cors.model.a.max.age.allowed.origin"), Ok((key, Spelling::Dotted)));
    }

    #[test]
    fn underscores_exist_for_six_names_on_every_listener() {
        let (key, spelling) = Key::parse("management_cors_allow_credentials").unwrap();
        assert_eq!((key.listener, key.name), (Listener::Management, Name::AllowCredentials));
        assert_eq!(spelling, Spelling::Underscore);
        assert!(Key::parse("cors_max_age").is_ok() && Key::parse("metrics_cors_max_age").is_ok());
        assert!(Key::parse("cors_block_disallowed").is_err());
    }

    #[test]
    fn e001_misspelt_keys_are_ours_and_get_the_nearest_one() {
        for (wrong, right) in [
            ("cors.allowed.origins", "cors.allowed.origin"),
            ("cors.allow.origin", "cors.allowed.origin"),
            ("cors.allowed.credentials", "cors.allow.credentials"),
            ("management.cors.allowed.origin", "management_cors.allowed.origin"),
            ("managment_cors.allowed.origin", "management_cors.allowed.origin"),
            ("cors_allowed_origins", "cors_allowed_origin"),
            ("cors.allowed_origin", "cors.allowed.origin"),
            ("CORS.allowed.origin", "cors.allowed.origin"),
            ("cor.allowed.origin", "cors.allowed.origin"),
            ("cors.maxage", "cors.max.age"),
            ("cors.expose.headers", "cors.exposed.headers"),
            ("cors.allow.any.origin", "management_cors.allow.any.origin"),
            ("cors.model.Mlp.allowed.origins", "cors.model.Mlp.allowed.origin"),
            ("cors.route.api.pth", "cors.route.api.path"),
        ] {
            assert!(is_cors_key(wrong), "{wrong}");
            assert_eq!(suggestion(wrong), right, "{wrong}");
        }
    }

    #[test]
    fn keys_of_others_are_not_ours() {
        for key in [
            "models",
            "core.max.workers",
            "inference_address",
            "cores.min",
            "allowed_urls",
            "enable_envvars_config",
            "cors",
            "model_store",
            "corpus.allow",
        ] {
            assert!(!is_cors_key(key), "{key}");
        }
        assert!(is_cors_key("cors.x") && is_cors_key("inference_cors.allowed.origin"));
    }

    #[test]
    fn model_overrides_are_for_inference_only() {
        assert_eq!(
            Key::parse("management_cors.model.m.allowed.origin"),
            Err(KeyFault::ModelElsewhere)
        );
        assert!(Key::parse("management_cors.route.r.allowed.origin").is_ok());
    }
}
