//! One value per property: duplicates refused, both spellings reconciled, environment first.
//!
//! Settings arrive in file order with duplicates kept. There is no silent winner for a security
//! policy: two lines that disagree are an error (CORS-E002, CORS-E003).

use std::collections::BTreeMap;

use super::{
    Setting, SettingOrigin,
    keys::{Key, KeyFault, Name, Scope, Spelling},
};
use crate::cors::{
    diagnostic::{Diagnostic, Finding},
    listener::Listener,
    syntax,
};

/// A property in the order in which properties are looked at: listener, part, name.
type Id = (u8, Scope, Name);

/// The settings that count.
#[derive(Debug, Default)]
pub struct Merged<'a> {
    values: BTreeMap<Id, &'a Setting>,
    /// Listeners with a key that does not exist: what they lack may be behind it.
    misspelt: Vec<Listener>,
}

// === impl Merged ===

impl<'a> Merged<'a> {
    /// Reconciles the settings and reports what cannot be.
    pub fn new(settings: &'a [Setting], report: &mut Vec<Diagnostic>) -> Self {
        let mut merged = Self::default();
        let mut found: BTreeMap<Id, Vec<(&Setting, Spelling)>> = BTreeMap::new();
        for setting in settings {
            match Key::parse(&setting.key) {
                Ok((key, spelling)) => {
                    let id = (key.listener as u8, key.scope, key.name);
                    found.entry(id).or_default().push((setting, spelling));
                }
                Err(fault) => {
                    merged.misspelt.push(listener_of(&setting.key));
                    report.push(setting.diagnose(unknown(setting, fault)));
                }
            }
        }
        for (id, settings) in found {
            if let Some(setting) = reconcile(&settings, report) {
                merged.values.insert(id, setting);
            }
        }
        merged
    }

    /// The setting of a property.
    pub fn get(&self, listener: Listener, scope: &Scope, name: Name) -> Option<&'a Setting> {
        self.values.get(&(listener as u8, scope.clone(), name)).copied()
    }

    /// The settings of a listener or of a part of it.
    pub fn of(
        &self,
        listener: Listener,
        scope: &Scope,
    ) -> impl Iterator<Item = (Name, &'a Setting)> {
        let wanted = listener as u8;
        self.values
            .iter()
            .filter(move |((listener, s, _), _)| *listener == wanted && s == scope)
            .map(|((.., name), setting)| (*name, *setting))
    }

    /// The overridden parts of a listener, models first, by name.
    pub fn overrides(&self, listener: Listener) -> Vec<Scope> {
        let wanted = listener as u8;
        let mut scopes: Vec<Scope> = self
            .values
            .keys()
            .filter(|(listener, scope, _)| *listener == wanted && *scope != Scope::Listener)
            .map(|(_, scope, _)| scope.clone())
            .collect();
        scopes.dedup();
        scopes
    }

    /// Some key of this listener does not exist.
    pub fn is_misspelt(&self, listener: Listener) -> bool {
        self.misspelt.contains(&listener)
    }
}

fn reconcile<'a>(
    settings: &[(&'a Setting, Spelling)],
    report: &mut Vec<Diagnostic>,
) -> Option<&'a Setting> {
    let environment =
        settings.iter().find(|(s, _)| matches!(s.origin, SettingOrigin::Environment(_)));
    let in_file = |wanted: Spelling| {
        settings
            .iter()
            .filter(move |(setting, spelling)| {
                *spelling == wanted && setting.origin == SettingOrigin::File
            })
            .map(|(setting, _)| *setting)
    };
    for spelling in [Spelling::Dotted, Spelling::Underscore] {
        let mut same = in_file(spelling);
        let Some(first) = same.next() else { continue };
        for again in same {
            report.push(
                again.diagnose(
                    Finding::new(
                        "CORS-E002",
                        format!(
                            "`{}` is set twice (lines {} and {})",
                            again.key, first.line, again.line
                        ),
                    )
                    .fix("keep one"),
                ),
            );
        }
    }
    if let Some((setting, _)) = environment {
        return Some(setting);
    }
    let (dotted, underscore) =
        (in_file(Spelling::Dotted).next(), in_file(Spelling::Underscore).next());
    let (Some(dotted), Some(underscore)) = (dotted, underscore) else {
        return dotted.or(underscore);
    };
    let both = format!(
        "`{}` (line {}) and its TorchServe spelling `{}` (line {})",
        dotted.key, dotted.line, underscore.key, underscore.line
    );
    let finding = if syntax::config_list(&dotted.value).eq(syntax::config_list(&underscore.value)) {
        Finding::new("CORS-W107", format!("{both} say the same")).fix("keep one")
    } else {
        Finding::new("CORS-E003", format!("{both} disagree")).fix("keep one")
    };
    report.push(underscore.diagnose(finding));
    Some(dotted)
}

fn unknown(setting: &Setting, fault: KeyFault) -> Finding {
    match fault {
        KeyFault::Unknown(suggestion) => {
            let finding = Finding::new("CORS-E001", format!("unknown property `{}`", setting.key));
            match suggestion {
                Some(suggestion) => finding.fix(format!("did you mean `{suggestion}`?")),
                None => finding
                    .fix("properties start with `cors.`, `management_cors.` or `metrics_cors.`"),
            }
        }
        KeyFault::ModelElsewhere => Finding::new(
            "CORS-E095",
            "model overrides exist for the inference API only, nothing would match",
        )
        .fix("use a `route` override"),
    }
}

/// Whose key it is, well spelt or not.
pub fn listener_of(key: &str) -> Listener {
    let lower = key.to_ascii_lowercase();
    match (lower.starts_with('m'), lower.starts_with("met")) {
        (true, true) => Listener::Metrics,
        (true, false) => Listener::Management,
        (false, _) => Listener::Inference,
    }
}
