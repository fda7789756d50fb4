//! actix-cors as an oracle: on the language that both speak, who may do what must be the same.
//!
//! That language: exact origins, sound values, one line each, no blanks, GET, HEAD and POST listed
//! or not; and what is compared is the permission, not the shape of the answer.

use actix_web::{App, HttpResponse, test as server, web};
use proptest::prelude::*;

use super::*;

const ORIGINS: [&str; 5] = [
    "https://a.example",
    "https://b.example",
    "http://a.example",
    "https://a.example:8443",
    "https://aa.example",
];
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
const NAMES: [&str; 4] = ["content-type", "authorization", "x-a", "x-b"];

#[derive(Clone, Debug)]
struct Case {
    origins: Vec<&'static str>,
    methods: Vec<&'static str>,
    headers: Vec<&'static str>,
    credentials: bool,
    asks: Vec<(&'static str, &'static str, Vec<&'static str>)>,
}

fn cases() -> impl Strategy<Value = Case> {
    use proptest::sample::{select, subsequence};
    let ask =
        (select(ORIGINS.to_vec()), select(METHODS.to_vec()), subsequence(NAMES.to_vec(), 0..=4));
    (
        subsequence(ORIGINS.to_vec(), 1..=4),
        subsequence(METHODS.to_vec(), 1..=6),
        subsequence(NAMES.to_vec(), 0..=4),
        proptest::bool::ANY,
        proptest::collection::vec(ask, 1..8),
    )
        .prop_map(|(origins, methods, headers, credentials, asks)| Case {
            origins,
            methods,
            headers,
            credentials,
            asks,
        })
}

/// Origin, methods and credentials of the answer to a preflight, `None` when it is refused.
async fn ask(
    policy: &CorsPolicy,
    (origin, method, names): &(&str, &str, Vec<&str>),
) -> Option<(String, bool)> {
    let app = App::new().wrap(policy.to_actix_cors()).default_service(web::to(HttpResponse::Ok));
    let app = server::init_service(app).await;
    let mut request = server::TestRequest::with_uri("/x")
        .method(Method::OPTIONS)
        .append_header((ORIGIN, *origin))
        .append_header((ACRM, *method));
    if !names.is_empty() {
        request = request.append_header((ACRH, names.join(",")));
    }
    let response = server::call_service(&app, request.to_request()).await;
    let value = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    let allowed = value("access-control-allow-origin")?;
    Some((allowed, value("access-control-allow-credentials").is_some()))
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn actix_cors_permits_what_the_core_permits(case in cases()) {
        let lines = [
            format!("cors.allowed.origin={}", case.origins.join(",")),
            format!("cors.allowed.methods={}", case.methods.join(",")),
            format!("cors.allowed.headers={}", case.headers.join(",")),
            format!("cors.allow.credentials={}", case.credentials),
            "cors.allow.insecure.origins=true".to_owned(),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let policy = policies(&lines).inference;
        let runtime = actix_web::rt::System::new();
        for asked in &case.asks {
            let (origin, method, names) = asked;
            let names = names.join(",");
            let sent = [(ORIGIN, *origin), (ACRM, *method), (ACRH, &*names)];
            let ours = answer(&policy, "OPTIONS /x", &sent);
            let has = |line: String| ours.1.contains(&line);
            let ours = has(format!("access-control-allow-origin: {origin}")).then(|| {
                (origin.to_string(), has("access-control-allow-credentials: true".into()))
            });
            let theirs = runtime.block_on(ask(policy.base(), asked));
            prop_assert_eq!(&ours, &theirs, "{:?}", asked);
        }
    }
}

#[actix_web::test]
async fn patterns_and_any_origin_are_translated() {
    let pattern =
        policies(&["cors.allowed.origin=https://*.a.example, https://b.example"]).inference;
    for (origin, allowed) in
        [("https://x.a.example", true), ("https://b.example", true), ("https://a.example", false)]
    {
        let found = ask(pattern.base(), &(origin, "GET", vec![])).await;
        assert_eq!(found.is_some(), allowed, "{origin}");
    }
    let any = policies(&[
        "cors.allowed.origin=*",
        "cors.allowed.methods=*",
        "cors.allowed.headers=*",
        "cors.exposed.headers=*",
    ])
    .inference;
    let found = ask(any.base(), &("https://x.example", "DELETE", vec!["x-a"])).await;
    assert_eq!(found, Some(("*".to_owned(), false)));
}

/// Codes and messages of what `cors.engine=actix` is refused for, with one more line.
fn refused_with(line: &str) -> Vec<(&'static str, String)> {
    let lines = ["cors.allowed.origin=https://a.example", "cors.engine=actix", line];
    let compiled = compile(&settings(&lines), &open());
    compiled.problems.into_iter().map(|problem| (problem.code, problem.message)).collect()
}

#[test]
fn e096_what_actix_cors_would_leave_out_or_widen_is_refused() {
    for (line, part) in [
        ("cors.model.mlp.allowed.origin=https://b.example", "policy of a model or a route"),
        ("cors.route.x.path=/ping", "policy of a model or a route"),
        ("cors.block.disallowed=unsafe", "`block.disallowed`"),
        ("cors.allowed.hosts=a.example", "`allowed.hosts`"),
        ("cors.allowed.headers=*", "(`cors.allowed.headers=*`, line 3)"),
        ("cors.allow.private.network=true", "(`cors.allow.private.network=true`, line 3)"),
        ("cors.preflight.cache.control=public", "`Cache-Control`"),
        ("cors.debug=true", "`debug`"),
    ] {
        let refused = refused_with(line);
        assert_eq!(refused.len(), 1, "{line}: {refused:?}");
        assert_eq!(refused[0].0, "CORS-E096", "{line}");
        assert!(refused[0].1.contains(part), "{line}: {}", refused[0].1);
    }
    for line in ["cors.allowed.headers=*, Authorization", "cors.allow.credentials=true"] {
        assert_eq!(refused_with(line), [], "{line}");
    }
}

#[test]
fn w118_says_at_start_what_the_other_engine_does_differently() {
    let lines = ["cors.allowed.origin=https://a.example", "cors.engine=actix"];
    let codes = |lines: &[&str]| -> Vec<&'static str> {
        compile(&settings(lines), &open()).warnings.iter().map(|w| w.code).collect()
    };
    assert!(codes(&lines).contains(&"CORS-W118"));
    assert!(!codes(&[lines[0], "cors.engine=native"]).contains(&"CORS-W118"));
}
