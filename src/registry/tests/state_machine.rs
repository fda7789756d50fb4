//! Random sequences of everything that can be done to the registry, next to a model of it that is a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::answering::{body, runtime};
use super::*;

const VERSIONS: [&str; 3] = ["1.0", "2.0", "3.0"];
const NAMES: [&str; 2] = ["m", "n"];

/// What somebody does; indices into `NAMES` and `VERSIONS`.
#[derive(Clone, Debug)]
enum Step {
    Register { name: usize, version: usize, workers: usize, make_default: bool },
    RegisterBroken { name: usize, version: usize },
    Unregister { name: usize, version: Option<usize> },
    SetDefault { name: usize, version: usize },
    Scale { name: usize, version: Option<usize>, workers: usize },
    Predict { name: usize, version: Option<usize> },
}

/// What the registry should have: the default version, and the workers of each version.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected(BTreeMap<&'static str, (&'static str, BTreeMap<&'static str, usize>)>);

fn step() -> impl Strategy<Value = Step> {
    let (name, version) = (0..NAMES.len(), 0..VERSIONS.len());
    let maybe = proptest::option::of(version.clone());
    let workers = 0..4_usize;
    prop_oneof![
        3 => (name.clone(), version.clone(), workers.clone(), any::<bool>()).prop_map(
            |(name, version, workers, make_default)| Step::Register {
                name, version, workers, make_default
            }
        ),
        1 => (name.clone(), version.clone())
            .prop_map(|(name, version)| Step::RegisterBroken { name, version }),
        2 => (name.clone(), maybe.clone())
            .prop_map(|(name, version)| Step::Unregister { name, version }),
        1 => (name.clone(), version).prop_map(|(name, version)| Step::SetDefault { name, version }),
        2 => (name.clone(), maybe.clone(), prop_oneof![4 => workers, 1 => Just(17)])
            .prop_map(|(name, version, workers)| Step::Scale { name, version, workers }),
        3 => (name, maybe).prop_map(|(name, version)| Step::Predict { name, version }),
    ]
}

fn archive(name: usize, version: usize) -> String {
    format!("{}-{}.mar", NAMES[name], VERSIONS[version])
}

impl Expected {
    /// The version that a call means, if it is there.
    fn meant(&self, name: usize, version: Option<usize>) -> Option<&'static str> {
        let (default, versions) = self.0.get(NAMES[name])?;
        let meant = version.map_or(*default, |version| VERSIONS[version]);
        versions.contains_key(meant).then_some(meant)
    }

    fn workers(&mut self, name: usize, version: &str) -> &mut usize {
        self.0.get_mut(NAMES[name]).unwrap().1.get_mut(version).unwrap()
    }

    /// What `registry` has, in the same form.
    fn of(registry: &Registry) -> Expected {
        let intern =
            |list: &[&'static str], text: &str| *list.iter().find(|x| **x == text).unwrap();
        let models = registry.models();
        let entries = models.iter().map(|(name, versions)| {
            let workers = versions
                .all
                .iter()
                .map(|(version, model)| (intern(&VERSIONS, version), model.worker_count()));
            (intern(&NAMES, name), (intern(&VERSIONS, &versions.default), workers.collect()))
        });
        Expected(entries.collect())
    }
}

/// Does it to both, and compares what they say.
fn take(bench: &Bench, expected: &mut Expected, step: &Step) {
    match *step {
        Step::Register { name, version, workers, make_default } => {
            bench.put(&archive(name, version), NAMES[name], VERSIONS[version], "sum");
            let mut call = bench.call(&archive(name, version), workers);
            call.settings.default_version = Some(make_default);
            let done = bench.registry.register(call);
            if expected.meant(name, Some(version)).is_some() {
                assert!(matches!(done, Err(RegisterError::Conflict { .. })), "{done:?}");
                return;
            }
            done.unwrap();
            let entry = expected.0.entry(NAMES[name]);
            let (default, versions) = entry.or_insert_with(|| (VERSIONS[version], BTreeMap::new()));
            if make_default {
                *default = VERSIONS[version];
            }
            versions.insert(VERSIONS[version], workers);
        }
        Step::RegisterBroken { name, version } => {
            bench.put("broken.mar", NAMES[name], VERSIONS[version], "broken");
            bench.registry.register(bench.call("broken.mar", 1)).unwrap_err();
        }
        Step::Unregister { name, version } => {
            let shown = version.map(|version| VERSIONS[version]);
            let done = bench.registry.unregister(NAMES[name], shown, PATIENCE);
            let Some(meant) = expected.meant(name, version) else {
                assert!(matches!(done, Err(UnregisterError::Model(_))), "{done:?}");
                return;
            };
            let (default, versions) = expected.0.get_mut(NAMES[name]).unwrap();
            if *default == meant && versions.len() > 1 {
                assert!(matches!(done, Err(UnregisterError::DefaultVersion { .. })), "{done:?}");
                return;
            }
            done.unwrap();
            versions.remove(meant);
            if versions.is_empty() {
                expected.0.remove(NAMES[name]);
            }
        }
        Step::SetDefault { name, version } => {
            let done = bench.registry.set_default(NAMES[name], VERSIONS[version]);
            match expected.meant(name, Some(version)) {
                Some(meant) => {
                    done.unwrap();
                    expected.0.get_mut(NAMES[name]).unwrap().0 = meant;
                }
                None => assert!(done.is_err(), "{done:?}"),
            }
        }
        Step::Scale { name, version, workers } => {
            let shown = version.map(|version| VERSIONS[version]);
            let limits = WorkerLimits { min: workers, max: workers };
            let prepared = bench.registry.prepare_scale(NAMES[name], shown, limits);
            match expected.meant(name, version) {
                None => assert!(matches!(prepared, Err(ScaleError::Model(_)))),
                Some(_) if workers > 16 => {
                    assert!(matches!(prepared, Err(ScaleError::TooManyWorkers(_))));
                }
                Some(meant) => {
                    let scaled = bench.registry.scale(prepared.unwrap(), PATIENCE).unwrap();
                    assert_eq!(scaled, Scaled { workers, settled: true });
                    *expected.workers(name, meant) = workers;
                }
            }
        }
        Step::Predict { name, version } => {
            let shown = version.map(|version| VERSIONS[version]);
            let asked = bench.registry.predict(NAMES[name], shown, body("[1, 2]"));
            let answer = runtime().block_on(asked);
            match expected.meant(name, version) {
                None => assert!(
                    matches!(
                        answer,
                        Err(ModelError::NotFound { .. } | ModelError::VersionNotFound { .. })
                    ),
                    "{answer:?}"
                ),
                Some(meant) if *expected.workers(name, meant) == 0 => {
                    assert!(matches!(answer, Err(ModelError::Unavailable { .. })), "{answer:?}");
                }
                Some(_) => {
                    let text = answer.unwrap().prediction.body;
                    assert_eq!(
                        String::from_utf8_lossy(&text).replace(char::is_whitespace, ""),
                        "[3.0]"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn promise_06_whatever_is_done_in_whatever_order_the_registry_is_what_a_map_would_be(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let bench = Bench::new();
        let mut expected = Expected::default();
        for step in &steps {
            take(&bench, &mut expected, step);
            prop_assert_eq!(&Expected::of(&bench.registry), &expected, "after {:?}", step);
            let versions: Vec<usize> =
                expected.0.values().flat_map(|(_, versions)| versions.values().copied()).collect();
            prop_assert_eq!(bench.unpacked().len(), versions.len(), "after {:?}", step);
            let loaded = versions.iter().filter(|workers| **workers > 0).count();
            prop_assert_eq!(bench.modules.load(Ordering::SeqCst), loaded, "after {:?}", step);
        }
        bench.registry.close(PATIENCE);
        drop(bench.registry);
    }
}
