//! Properties to policies: every code of E0xx and W1xx, precedence, and what starts.

use std::io::Write;

use super::*;

const APP_LINE: &str = "cors.allowed.origin=https://app.example.com";

fn compiled(lines: &[&str]) -> Compiled {
    compile(&settings(lines), &open())
}

/// Codes and keys of the problems.
fn problems(lines: &[&str]) -> Vec<(&'static str, String)> {
    let compiled = compiled(lines);
    assert_eq!(compiled.policies.is_none(), !compiled.problems.is_empty());
    compiled.problems.into_iter().map(|problem| (problem.code, problem.key)).collect()
}

fn warnings_with(lines: &[&str], facts: &ListenerFacts) -> Vec<&'static str> {
    let compiled = compile(&settings(lines), facts);
    assert_eq!(compiled.problems, [], "{lines:?}");
    // W111 is true of most examples and tested on its own.
    let codes = compiled.warnings.iter().map(|warning| warning.code);
    codes.filter(|code| *code != "CORS-W111").collect()
}

fn warnings(lines: &[&str]) -> Vec<&'static str> {
    warnings_with(lines, &open())
}

#[test]
fn no_setting_is_no_policy_and_no_finding() {
    let compiled = compiled(&[]);
    assert_eq!((compiled.problems.len(), compiled.warnings.len()), (0, 0));
    let policies = compiled.policies.unwrap();
    assert!(Listener::ALL.iter().all(|&listener| !policies.of(listener).base().is_on()));
    assert_eq!(policies.management.base().spec().block, Block::Unsafe);
}

#[test]
fn the_complete_example_starts_and_keeps_its_three_policies_apart() {
    let policies = policies(&[
        "cors.allowed.origin=https://mywebapp.com, https://*.preview.mywebapp.com",
        "cors.allowed.headers=Authorization, X-Custom-Token",
        "cors.exposed.headers=X-Request-Id, Retry-After",
        "cors.model.public-demo.allowed.origin=*",
        "management_cors.allowed.origin=https://admin.mywebapp.com",
        "management_cors.allowed.methods=GET, PUT, OPTIONS",
        "management_cors.allowed.headers=Authorization",
    ]);
    let reason = |listener: &ListenerPolicy, target: &str, origin: &str| {
        decision(listener, &format!("GET {target}"), &[(ORIGIN, origin)]).reason
    };
    let (inference, management) = (&policies.inference, &policies.management);
    assert_eq!(reason(inference, "/ping", "https://x.preview.mywebapp.com"), Reason::Ok);
    assert_eq!(reason(inference, "/predictions/public-demo", EVIL), Reason::Ok);
    assert_eq!(reason(inference, "/predictions/private", EVIL), Reason::OriginNotListed);
    assert_eq!(reason(management, "/models", "https://admin.mywebapp.com"), Reason::Ok);
    assert_eq!(reason(management, "/models", "https://mywebapp.com"), Reason::OriginNotListed);
}

#[test]
fn b48_all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let found = problems(&[
        "cors.allowed.origin=https://a.example/, null, *",
        "cors.max.age=10m",
        "cors.alowed.headers=X-A",
        "management_cors.allow.credentials=yes",
        "cors.allowed.methods=GET, TRACE",
    ]);
    let codes: Vec<_> = found.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        codes,
        [
            "CORS-E011",
            "CORS-E014",
            "CORS-E012",
            "CORS-E060",
            "CORS-E001",
            "CORS-E070",
            "CORS-E004",
            "CORS-E031"
        ]
    );
}

#[test]
fn b50_each_refusal_has_its_code_and_names_the_property() {
    for (code, key, lines) in [
        ("CORS-E001", "cors.allowed.origins", &["cors.allowed.origins=https://a.example"][..]),
        ("CORS-E001", "management.cors.max.age", &["management.cors.max.age=1"]),
        ("CORS-E001", "management_cors.engine", &["management_cors.engine=actix"]),
        ("CORS-E002", "cors.allowed.origin", &[APP_LINE, APP_LINE]),
        ("CORS-E003", "cors_allowed_origin", &[APP_LINE, "cors_allowed_origin=*"]),
        ("CORS-E004", "cors.allowed.methods", &["cors.allowed.methods=GET"]),
        (
            "CORS-E004",
            "cors.allow.credentials",
            &["cors.allowed.origin=", "cors.allow.credentials=false"],
        ),
        ("CORS-E004", "management_cors.max.age", &[APP_LINE, "management_cors.max.age=1"]),
        ("CORS-E004", "cors.model.m.max.age", &["cors.model.m.max.age=1"]),
        (
            "CORS-E010",
            "cors.allowed.origin",
            &["cors.allowed.origin=*", "cors.allow.credentials=true"],
        ),
        ("CORS-E011", "cors.allowed.origin", &["cors.allowed.origin=https://a.example, *"]),
        ("CORS-E012", "cors.allowed.origin", &["cors.allowed.origin=null"]),
        ("CORS-E013", "cors.same.origin.hosts", &["cors.same.origin.hosts=https://a.example"]),
        ("CORS-E013", "management_cors.allowed.hosts", &["management_cors.allowed.hosts=a/b"]),
        (
            "CORS-E023",
            "cors.allowed.origin",
            &["cors.allowed.origin=https://*.github.io", "cors.allow.credentials=true"],
        ),
        (
            "CORS-E024",
            "cors.allowed.origin",
            &["cors.allowed.origin=http://a.example", "cors.allow.credentials=true"],
        ),
        ("CORS-E030", "cors.allowed.methods", &[APP_LINE, "cors.allowed.methods="]),
        ("CORS-E031", "cors.allowed.methods", &[APP_LINE, "cors.allowed.methods=CONNECT"]),
        ("CORS-E032", "cors.allowed.methods", &[APP_LINE, "cors.allowed.methods=patch"]),
        (
            "CORS-E033",
            "cors.allowed.methods",
            &[APP_LINE, "cors.allow.credentials=true", "cors.allowed.methods=*"],
        ),
        ("CORS-E040", "cors.allowed.headers", &[APP_LINE, "cors.allowed.headers=X A"]),
        ("CORS-E041", "cors.allowed.headers", &[APP_LINE, "cors.allowed.headers=Cookie"]),
        ("CORS-E042", "cors.allowed.headers", &[APP_LINE, "cors.allowed.headers=Set-Cookie"]),
        (
            "CORS-E043",
            "cors.allowed.headers",
            &[APP_LINE, "cors.allow.credentials=true", "cors.allowed.headers=*, Authorization"],
        ),
        ("CORS-E050", "cors.exposed.headers", &[APP_LINE, "cors.exposed.headers=X A"]),
        ("CORS-E051", "cors.exposed.headers", &[APP_LINE, "cors.exposed.headers=Set-Cookie"]),
        (
            "CORS-E052",
            "cors.exposed.headers",
            &[APP_LINE, "cors.allow.credentials=true", "cors.exposed.headers=*"],
        ),
        ("CORS-E053", "cors.exposed.headers", &[APP_LINE, "cors.exposed.headers=Origin"]),
        ("CORS-E060", "cors.max.age", &[APP_LINE, "cors.max.age=1h"]),
        (
            "CORS-E060",
            "cors.allowed.origin.file.reload.s",
            &[APP_LINE, "cors.allowed.origin.file.reload.s=x"],
        ),
        ("CORS-E061", "cors.max.age", &[APP_LINE, "cors.max.age=86401"]),
        ("CORS-E061", "cors.metrics.origin.slots", &["cors.metrics.origin.slots=201"]),
        ("CORS-E070", "cors.allow.credentials", &[APP_LINE, "cors.allow.credentials=1"]),
        ("CORS-E070", "cors.strict", &["cors.strict=on"]),
        (
            "CORS-E071",
            "management_cors.block.disallowed",
            &["management_cors.block.disallowed=some"],
        ),
        ("CORS-E071", "cors.preflight.status", &[APP_LINE, "cors.preflight.status=201"]),
        (
            "CORS-E071",
            "cors.preflight.cache.control",
            &[APP_LINE, "cors.preflight.cache.control=a b"],
        ),
        ("CORS-E071", "cors.mode", &["cors.mode=on"]),
        ("CORS-E071", "cors.engine", &["cors.engine=tower"]),
        ("CORS-E071", "cors.log", &["cors.log=some"]),
        ("CORS-E071", "cors.selftest", &["cors.selftest=never"]),
        ("CORS-E071", "cors.report.path", &["cors.report.path=x"]),
        ("CORS-E080", "management_cors.allowed.origin", &["management_cors.allowed.origin=*"]),
        (
            "CORS-E081",
            "cors.allow.private.network",
            &["cors.allowed.origin=*", "cors.allow.private.network=true"],
        ),
        (
            "CORS-E090",
            "cors.allowed.origin.file",
            &["cors.allowed.origin.file=/nowhere/origins.txt"],
        ),
        ("CORS-E090", "cors.allowed.origin.file", &["cors.allowed.origin.file="]),
        ("CORS-E095", "cors.route.r.allowed.origin", &["cors.route.r.allowed.origin=*"]),
        (
            "CORS-E095",
            "cors.route.r.path",
            &["cors.route.r.path=x", "cors.route.r.allowed.origin=*"],
        ),
        (
            "CORS-E095",
            "cors.route.b.path",
            &["cors.route.a.path=/x/*", "cors.route.a.allowed.origin=*", "cors.route.b.path=/x/*"],
        ),
        ("CORS-E095", "management_cors.model.m.max.age", &["management_cors.model.m.max.age=1"]),
        (
            "CORS-E099",
            "cors.allowed.origin",
            &["cors.allowed.origin=*", "cors.exposed.headers=X-Request-Id", "cors.strict=true"],
        ),
    ] {
        assert_eq!(problems(lines), [(code, key.to_owned())], "{lines:?}");
    }
}

#[test]
fn b50_a_conflict_names_both_sides() {
    let compiled = compiled(&[
        "cors_allowed_origin=*",
        "management_cors.max.age=1",
        "cors.allow.credentials=true",
    ]);
    let conflict = compiled.problems.iter().find(|p| p.code == "CORS-E010").unwrap().to_string();
    assert!(conflict.starts_with("config.properties:1: cors_allowed_origin: "), "{conflict}");
    assert!(conflict.contains("`cors.allow.credentials=true`, line 3"), "{conflict}");
    assert!(conflict.ends_with("[CORS-E010]"), "{conflict}");
}

#[test]
fn b49_overrides_are_validated_after_inheritance() {
    let inherited = [APP_LINE, "cors.allow.credentials=true", "cors.model.m.allowed.origin=*"];
    assert_eq!(problems(&inherited), [("CORS-E010", "cors.model.m.allowed.origin".into())]);
    let mut corrected = inherited.to_vec();
    corrected.push("cors.model.m.allow.credentials=false");
    assert_eq!(problems(&corrected), []);
    let network = ["cors.allow.private.network=true", "cors.model.m.allowed.origin=*", APP_LINE];
    assert_eq!(problems(&network), [("CORS-E081", "cors.allow.private.network".into())]);
}

#[test]
fn acknowledged_dangers_start() {
    for lines in [
        &[
            "cors.allowed.origin=http://a.example",
            "cors.allow.credentials=true",
            "cors.allow.insecure.origins=true",
        ][..],
        &[
            "cors.allowed.origin=https://*.com",
            "cors.allow.credentials=true",
            "cors.allow.public.suffix.wildcards=true",
        ],
        &["management_cors.allowed.origin=*", "management_cors.allow.any.origin=true"],
        &[
            "cors.allowed.origin=http://localhost:3000,http://[::1]:3000",
            "cors.allow.credentials=true",
        ],
        &["cors.allowed.origin=chrome-extension://abc", "cors.allow.credentials=true"],
        &["cors.mode=off", "cors.allowed.methods=GET"],
        &["management_cors.block.disallowed=off", "cors.same.origin.hosts=a.example"],
    ] {
        assert_eq!(problems(lines), [], "{lines:?}");
    }
}

#[test]
fn b51_each_warning_has_its_code() {
    let facts = |token_auth, inference| ListenerFacts { token_auth, inference, ..open() };
    let expose = "cors.exposed.headers=X-Request-Id";
    for (expected, facts, lines) in [
        (&[][..], open(), &[APP_LINE][..]),
        (&["CORS-W101"], open(), &["cors.allowed.origin=*", expose]),
        (&["CORS-W102"], open(), &[APP_LINE, "cors.max.age=7201"]),
        (&["CORS-W103"], open(), &["cors.allowed.origin=http://a.example"]),
        (&["CORS-W104"], open(), &["cors.allowed.origin=http://localhost:*"]),
        (&[], facts(false, BindScope::Loopback), &["cors.allowed.origin=http://localhost:*"]),
        (
            &["CORS-W105"],
            open(),
            &["cors.allowed.origin=https://*.a.example", "cors.allow.credentials=true"],
        ),
        (&["CORS-W106"], facts(true, BindScope::Any), &[APP_LINE]),
        (&[], facts(true, BindScope::Any), &[APP_LINE, "cors.allowed.headers=authorization"]),
        (&["CORS-W106"], facts(true, BindScope::Any), &[APP_LINE, "cors.allowed.headers=*"]),
        (&["CORS-W107", "CORS-W108"], open(), &["cors.max.age=1", "cors_max_age= 1", APP_LINE]),
        (&["CORS-W108"], open(), &["cors_allowed_origin=https://a.example"]),
        (&["CORS-W109"], open(), &[APP_LINE, "cors.allowed.methods=GET"]),
        (&["CORS-W110"], open(), &["management_cors.allowed.origin=https://admin.example.com"]),
        (
            &[],
            open(),
            &[
                "cors.allowed.origin=https://*.example.com",
                "management_cors.allowed.origin=https://admin.example.com",
            ],
        ),
        (&["CORS-W112"], open(), &["cors.allowed.origin=https://a.example, https://a.example"]),
        (&["CORS-W113"], open(), &[APP_LINE, "cors.allowed.methods=GET, post"]),
        (&["CORS-W101", "CORS-W114"], facts(false, BindScope::Private), &["cors.allowed.origin=*"]),
        (
            &["CORS-W101"],
            facts(true, BindScope::Private),
            &["cors.allowed.origin=*", "cors.allowed.headers=Authorization"],
        ),
        (&["CORS-W115"], open(), &[APP_LINE, "cors.debug=true"]),
        (
            &[],
            open(),
            &[APP_LINE, "cors.mode=shadow", "cors.selftest=off", "cors.report.enabled=false"],
        ),
    ] {
        assert_eq!(warnings_with(lines, &facts), expected, "{lines:?}");
    }
}

#[test]
fn w111_is_about_the_request_id() {
    let codes = |lines: &[&str]| -> Vec<_> {
        compiled(lines).warnings.iter().map(|warning| (warning.code, warning.key.clone())).collect()
    };
    assert_eq!(codes(&[APP_LINE]), [("CORS-W111", "cors.allowed.origin".to_owned())]);
    let exposed = "cors.exposed.headers";
    assert_eq!(
        codes(&[APP_LINE, "cors.exposed.headers=ETag"]),
        [("CORS-W111", exposed.to_owned())]
    );
    assert_eq!(codes(&[APP_LINE, "cors.exposed.headers=x-request-id"]), []);
    assert_eq!(codes(&[APP_LINE, "cors.exposed.headers=*"]), []);
}

#[test]
fn w117_and_e095_tell_of_models_that_are_not_there() {
    let lines = [APP_LINE, "cors.model.mlp.max.age=1", "cors.model.gone.max.age=1"];
    let mut facts = ListenerFacts { models: Some(vec!["mlp".into()]), ..open() };
    assert_eq!(warnings_with(&lines, &facts), ["CORS-W117"]);
    facts.models_load_later = false;
    let refused = compile(&settings(&lines), &facts).problems;
    assert_eq!((refused.len(), refused[0].code, refused[0].line), (1, "CORS-E095", 3));
}

#[test]
fn e099_strict_is_for_all_listeners_or_for_its_own() {
    let any = ["metrics_cors.allowed.origin=*", "metrics_cors.exposed.headers=*"];
    let with = |line| [any[0], any[1], line];
    assert_eq!(problems(&with("cors.strict=true")).len(), 1);
    assert_eq!(problems(&with("metrics_cors.strict=true")).len(), 1);
    assert_eq!(problems(&with("management_cors.strict=true")).len(), 0);
    let error = compiled(&with("cors.strict=true")).problems.remove(0).to_string();
    assert!(error.contains("CORS-W101") && error.contains("development"), "{error}");
}

#[test]
fn d2_the_environment_overrides_both_spellings() {
    let mut settings = settings(&[APP_LINE, "cors_allowed_origin=https://other.example"]);
    settings.push(Setting {
        origin: SettingOrigin::Environment("TS_CORS_ALLOWED_ORIGIN".into()),
        ..Setting::in_file("cors.allowed.origin", "https://env.example", "environment", 0)
    });
    let compiled = compile(&settings, &open());
    assert_eq!(compiled.problems, []);
    let policy = compiled.policies.unwrap().inference;
    let reason = |origin| decision(&policy, "GET /", &[(ORIGIN, origin)]).reason;
    assert_eq!(reason("https://env.example"), Reason::Ok);
    assert_eq!(reason(APP), Reason::OriginNotListed);
    settings[2].value = "nonsense".into();
    let problem = compile(&settings, &open()).problems.remove(0).to_string();
    assert!(problem.starts_with("TS_CORS_ALLOWED_ORIGIN: cors.allowed.origin: "), "{problem}");
}

#[test]
fn d2_equal_spellings_agree_after_normalisation() {
    let lines = [
        "cors.allowed.origin=https://a.example , https://b.example,",
        "cors_allowed_origin=https://a.example,https://b.example",
    ];
    assert_eq!(problems(&lines), []);
    assert_eq!(warnings(&lines), ["CORS-W107", "CORS-W108"]);
}

#[test]
fn w108_shows_the_lines_that_reproduce_torchserve() {
    let warnings =
        compiled(&["cors_allowed_methods=GET", "cors_allowed_origin=https://a.example"]).warnings;
    let shown = warnings.iter().find(|w| w.key == "cors_allowed_methods").unwrap().to_string();
    assert!(shown.contains("`management_cors.allowed.methods=GET`"), "{shown}");
    assert!(shown.contains("`metrics_cors.allowed.methods=GET`"), "{shown}");
}

#[test]
fn an_origin_file_is_merged_with_the_inline_list() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.properties");
    let mut file = std::fs::File::create(folder.path().join("origins.txt")).unwrap();
    file.write_all(b"# tenants\nhttps://a.example\n\n https://*.b.example # second\n").unwrap();
    let config = config.to_str().unwrap();
    let mut lines = vec![
        Setting::in_file(
            "cors.allowed.origin",
            "https://app.example.com, https://a.example",
            config,
            1,
        ),
        Setting::in_file("cors.allowed.origin.file", "origins.txt", config, 2),
    ];
    let compiled = compile(&lines, &open());
    assert_eq!(compiled.problems, []);
    let policy = compiled.policies.unwrap().inference;
    assert_eq!(policy.base().origins().entries().len(), 3);
    for origin in [APP, "https://a.example", "https://x.b.example"] {
        assert_eq!(decision(&policy, "GET /", &[(ORIGIN, origin)]).reason, Reason::Ok);
    }
    lines[0].value = "*".into();
    assert_eq!(compile(&lines, &open()).problems[0].code, "CORS-E011");
    lines.remove(0);
    file.write_all(b"*\nhttps://c.example/\n").unwrap();
    let problems = compile(&lines, &open()).problems;
    let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["CORS-E091", "CORS-E091"]);
    assert!(problems[0].message.contains("origins.txt`:5: "), "{}", problems[0].message);
}

#[test]
fn every_listed_key_is_accepted_on_its_listeners() {
    for prefix in ["cors", "management_cors", "metrics_cors"] {
        let lines: Vec<String> = [
            "allowed.origin=https://app.example.com",
            "allowed.methods=GET,POST",
            "allowed.headers=Authorization",
            "allow.credentials=true",
            "exposed.headers=X-Request-Id",
            "max.age=60",
            "allowed.origin.file.reload.s=5",
            "block.disallowed=all",
            "same.origin.hosts=a.example:8443",
            "allowed.hosts=a.example",
            "allow.private.network=false",
            "preflight.status=200",
            "preflight.cache.control=no-store",
            "mode=enforce",
            "debug=false",
            "strict=false",
            "allow.insecure.origins=false",
            "allow.public.suffix.wildcards=false",
            "metrics.origin.slots=50",
            "log=denied",
            "selftest=start",
            "route.r.path=/x/*",
            "route.r.block.disallowed=off",
        ]
        .iter()
        .map(|line| format!("{prefix}.{line}"))
        .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(problems(&lines), [], "{prefix}");
    }
    assert_eq!(
        problems(&["cors.engine=actix", "cors.report.max.per.s=5", "cors.report.path=/r"]),
        []
    );
}
