//! Rules B30 to B46: what headers cannot stop, which policy applies, and the modes.

use super::*;

#[test]
fn b30_management_refuses_cross_site_writes_also_when_cors_is_off() {
    let host = ("host", "127.0.0.1:8081");
    let site = "sec-fetch-site";
    for (policy, off) in [
        (ListenerPolicies::default().management, true),
        (
            policies(&[
                "management_cors.allowed.origin=https://app.example.com",
                "management_cors.allowed.methods=GET,DELETE",
            ])
            .management,
            false,
        ),
    ] {
        let blocked = |start: &str, headers: &[(&str, &str)]| {
            let decision = decision(&policy, start, headers);
            assert_eq!(decision.allow_origin == AllowOrigin::Absent, decision.reason != Reason::Ok);
            (decision.verdict == Verdict::Blocked).then_some(decision.reason)
        };
        let write = Some(Reason::CrossSiteWrite);
        assert_eq!(blocked("POST /models", &[host, (ORIGIN, EVIL)]), write);
        assert_eq!(blocked("DELETE /models/m", &[host, (ORIGIN, "null")]), write);
        assert_eq!(blocked("PUT /models/m", &[host, (ORIGIN, "http://127.0.0.1:3000")]), write);
        assert_eq!(
            blocked("POST /models", &[host, (ORIGIN, "http://127.0.0.1:8081"), (ORIGIN, EVIL)]),
            write
        );
        assert_eq!(blocked("POST /models", &[(ORIGIN, EVIL)]), write);
        assert_eq!(blocked("POST /models", &[host, (ORIGIN, EVIL), (site, "cross-site")]), write);
        assert_eq!(blocked("POST /models", &[host, (site, "cross-site")]), write);
        assert_eq!(blocked("POST /models", &[host, (site, "same-site")]), write);
        assert_eq!(blocked("POST /models", &[host, (site, "none"), (site, "cross-site")]), write);
        assert_eq!(blocked("POST /models", &[host]), None);
        assert_eq!(blocked("POST /models", &[host, (ORIGIN, "http://127.0.0.1:8081")]), None);
        assert_eq!(blocked("POST /models", &[host, (ORIGIN, EVIL), (site, "same-origin")]), None);
        assert_eq!(blocked("POST /models", &[host, (site, "none")]), None);
        assert_eq!(blocked("GET /models", &[host, (ORIGIN, EVIL)]), None);
        assert_eq!(blocked("OPTIONS /models", &[host, (ORIGIN, EVIL)]), None);
        let listed = blocked("DELETE /models/m", &[host, (ORIGIN, APP), (site, "cross-site")]);
        assert_eq!(listed, if off { write } else { None });
        assert_eq!(blocked("POST /models", &[host, (ORIGIN, APP)]), write);
    }
}

#[test]
fn b30_a_page_of_http_is_foreign_to_a_listener_that_speaks_tls_itself() {
    let blocked = |https: bool, origin: &str, host: &str| {
        let facts = ListenerFacts { https: [https; 3], ..open() };
        let policy = compile(&[], &facts).policies.unwrap().management;
        let headers = [("host", host), (ORIGIN, origin)];
        decision(&policy, "POST /models", &headers).verdict == Verdict::Blocked
    };
    assert!(!blocked(true, "https://a.example", "a.example"));
    assert!(!blocked(true, "https://a.example:8444", "a.example:8444"));
    assert!(blocked(true, "http://a.example", "a.example"));
    assert!(blocked(true, "http://a.example:8444", "a.example:8444"));
    // Behind a proxy the scheme that browsers see is not known.
    assert!(!blocked(false, "http://a.example", "a.example"));
    assert!(!blocked(false, "https://a.example", "a.example"));
}

#[test]
fn b30_the_refusal_names_the_property_and_varies_under_a_list() {
    let policy = policies(&["management_cors.allowed.origin=https://app.example.com"]).management;
    let sketch = request("DELETE /models/m", &[(ORIGIN, EVIL)]);
    let (policy, decision) = policy.decide(&sketch.facts());
    let mut out = HeaderMap::new();
    let answer = policy.answer(&decision, &mut out).unwrap();
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("management_cors.allowed.origin"), "{}", answer.body);
    assert_eq!(out.get("vary").unwrap(), "Origin");
}

#[test]
fn b30_blocking_all_refuses_foreign_reads_too_and_nothing_of_our_own() {
    let policy = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "cors.block.disallowed=all",
        "cors.same.origin.hosts=gateway.example.com",
    ])
    .inference;
    let reason = |start: &str, headers: &[(&str, &str)]| {
        let decision = decision(&policy, start, headers);
        (decision.verdict == Verdict::Blocked).then_some(decision.reason)
    };
    assert_eq!(reason("GET /ping", &[(ORIGIN, EVIL)]), Some(Reason::ForeignBlocked));
    assert_eq!(reason("POST /predictions/m", &[(ORIGIN, EVIL)]), Some(Reason::CrossSiteWrite));
    assert_eq!(reason("GET /ping", &[(ORIGIN, APP)]), None);
    assert_eq!(reason("GET /ping", &[]), None);
    assert_eq!(reason("GET /ping", &[(ORIGIN, "https://gateway.example.com")]), None);
    let own = [(ORIGIN, "http://10.0.0.1:8080"), ("host", "10.0.0.1:8080")];
    assert_eq!(reason("POST /predictions/m", &own), None);
    let preflight = decision(&policy, "OPTIONS /", &[(ORIGIN, EVIL), (ACRM, "GET")]);
    assert_eq!(preflight.verdict, Verdict::Denied);
}

#[test]
fn b30_blocking_all_without_a_list_still_tells_caches() {
    let policy = policies(&["cors.block.disallowed=all"]).inference;
    assert_eq!(answer(&policy, "GET /", &[]), (200, vec!["vary: Origin".into()]));
    assert_eq!(answer(&policy, "GET /", &[(ORIGIN, EVIL)]).0, 403);
}

#[test]
fn b31_another_host_is_misdirected() {
    let policy = policies(&["management_cors.allowed.hosts=localhost, 127.0.0.1:8081"]).management;
    let status = |headers: &[(&str, &str)]| answer(&policy, "GET /models", headers).0;
    assert_eq!(status(&[("host", "localhost:8081")]), 200);
    assert_eq!(status(&[("host", "127.0.0.1:8081")]), 200);
    assert_eq!(status(&[("host", "rebound.evil.example:8081")]), 421);
    assert_eq!(status(&[]), 421);
    assert_eq!(status(&[("host", "localhost"), ("host", "evil.example")]), 421);
}

#[test]
fn b31_a_listener_that_only_this_machine_reaches_answers_for_this_machine() {
    let guarded = |lines: &[&str]| {
        let facts = ListenerFacts { guarded_hosts: [false, true, true], ..open() };
        compile(&settings(lines), &facts).policies.unwrap()
    };
    let status = |policy: &ListenerPolicy, headers: &[(&str, &str)]| match decision(
        policy,
        "GET /models",
        headers,
    )
    .action
    {
        Action::Refuse(status) => status.as_u16(),
        _ => 200,
    };
    let policies = guarded(&[]);
    for host in
        ["localhost", "LOCALHOST:1", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "a.localhost"]
    {
        assert_eq!(status(&policies.management, &[("host", host)]), 200, "{host}");
    }
    for host in
        ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "10.0.0.1", "0x7f.1", ""]
    {
        assert_eq!(status(&policies.management, &[("host", host)]), 421, "{host}");
        assert_eq!(status(&policies.metrics, &[("host", host)]), 421, "{host}");
        assert_eq!(status(&policies.inference, &[("host", host)]), 200, "{host}");
    }
    assert_eq!(status(&policies.management, &[]), 200, "no browser leaves it out");
    let listed = guarded(&["management_cors.allowed.hosts=models.example"]).management;
    assert_eq!(status(&listed, &[("host", "models.example")]), 200);
    assert_eq!(status(&listed, &[("host", "localhost")]), 421);
}

#[test]
fn b33_each_listener_has_its_own_policy() {
    let policies = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "management_cors.allowed.origin=https://admin.example.com",
    ]);
    let admin = [(ORIGIN, "https://admin.example.com")];
    assert_eq!(outcome(&policies.inference, "GET /", &admin).2, Reason::OriginNotListed);
    assert_eq!(outcome(&policies.management, "GET /", &admin).2, Reason::Ok);
    assert_eq!(outcome(&policies.management, "GET /", &[(ORIGIN, APP)]).2, Reason::OriginNotListed);
    assert_eq!(outcome(&policies.metrics, "GET /", &[(ORIGIN, APP)]).2, Reason::PolicyOff);
}

#[test]
fn b34_an_override_is_chosen_by_the_decoded_model_and_never_by_prefix() {
    let policy = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "cors.allow.credentials=true",
        "cors.model.pub.lic.allowed.origin=*",
        "cors.model.pub.lic.allow.credentials=false",
        "cors.route.docs.path=/predictions/*",
        "cors.route.docs.allowed.origin=https://docs.example.com",
        "cors.route.one.path=/predictions/one",
        "cors.route.one.allowed.origin=https://one.example.com",
    ])
    .inference;
    let chosen = |target: &str| {
        let sketch = request(&format!("OPTIONS {target}"), &[]);
        policy.policy_for(&sketch.facts()).label().to_string()
    };
    for target in [
        "/predictions/pub.lic",
        "/predictions/pub%2Elic/1.0",
        "/%70redictions%2Fpub.lic",
        "/v1/models/pub.lic:predict",
        "/v2/models/pub.lic/infer",
        "/models/pub.lic/invoke",
        "/invocations?model_name=pub.lic",
    ] {
        assert_eq!(chosen(target), "model:pub.lic", "{target}");
    }
    for (target, label) in [
        ("/predictions/pub.licx", "route:docs"),
        ("/predictions/Pub.lic", "route:docs"),
        ("/predictions/pub.lic;v=1", "route:docs"),
        ("/predictions", "route:docs"),
        ("/predictions/one", "route:one"),
        ("/predictions/one/", "route:one"),
        ("/predictions/one/1.0", "route:docs"),
        ("/predictionsx", "inference"),
        ("//predictions/pub.lic", "inference"),
        ("/ping", "inference"),
    ] {
        assert_eq!(chosen(target), label, "{target}");
    }
}

#[test]
fn b34_an_override_can_close_a_model_of_an_open_listener() {
    let policy =
        policies(&["cors.allowed.origin=*", "cors.model.secret.allowed.origin="]).inference;
    let evil = [(ORIGIN, EVIL)];
    assert_eq!(outcome(&policy, "GET /predictions/open", &evil).2, Reason::Ok);
    assert_eq!(outcome(&policy, "GET /predictions/secret", &evil).2, Reason::PolicyOff);
    assert_eq!(outcome(&policy, "POST /invocations?model_name=secret", &evil).2, Reason::PolicyOff);
}

#[test]
fn b35_management_is_read_only_across_origins_by_default() {
    let policy = policies(&["management_cors.allowed.origin=https://app.example.com"]).management;
    for (method, reason) in [
        ("GET", Reason::Ok),
        ("POST", Reason::MethodNotListed),
        ("DELETE", Reason::MethodNotListed),
    ] {
        let preflight = outcome(&policy, "OPTIONS /models", &[(ORIGIN, APP), (ACRM, method)]);
        assert_eq!(preflight.2, reason, "{method}");
    }
}

#[test]
fn b45_preflights_have_no_caching_header_unless_asked_for() {
    let asked = [(ORIGIN, APP), (ACRM, "POST")];
    let (_, lines) = answer(&one_origin().inference, "OPTIONS /", &asked);
    assert!(!lines.iter().any(|line| line.starts_with("cache-control")));
    let policy = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "cors.preflight.cache.control=public, max-age=60",
        "cors.preflight.status=200",
    ])
    .inference;
    let (status, lines) = answer(&policy, "OPTIONS /", &asked);
    assert_eq!(status, 200);
    assert!(lines.contains(&"cache-control: public, max-age=60".to_owned()));
    assert_eq!(answer(&policy, "OPTIONS /", &[(ORIGIN, EVIL), (ACRM, "POST")]).0, 403);
}

#[test]
fn b46_same_configuration_same_bytes() {
    let lines = [
        "cors.allowed.origin=https://app.example.com",
        "cors.allowed.headers=X-C, X-A, X-B",
        "cors.allowed.methods=PUT,GET,DELETE",
    ];
    let asked = [(ORIGIN, APP), (ACRM, "PUT")];
    let first = answer(&policies(&lines).inference, "OPTIONS /", &asked);
    assert!(first.1.contains(&"access-control-allow-headers: Content-Type, X-C, X-A, X-B".into()));
    assert!(first.1.contains(&"access-control-allow-methods: PUT, GET, DELETE".into()));
    for _ in 0..20 {
        assert_eq!(answer(&policies(&lines).inference, "OPTIONS /", &asked), first);
    }
}

#[test]
fn mode_off_sends_nothing_and_keeps_the_write_protection() {
    let policy = policies(&[
        "management_cors.allowed.origin=https://app.example.com",
        "management_cors.allowed.methods=GET,DELETE",
        "management_cors.mode=off",
    ])
    .management;
    assert_eq!(answer(&policy, "GET /models", &[(ORIGIN, APP)]), (200, vec![]));
    assert_eq!(answer(&policy, "OPTIONS /models", &[(ORIGIN, APP), (ACRM, "GET")]), (200, vec![]));
    assert_eq!(answer(&policy, "DELETE /models/m", &[(ORIGIN, APP)]), (200, vec![]));
    assert_eq!(answer(&policy, "DELETE /models/m", &[(ORIGIN, EVIL)]).0, 403);
}

#[test]
fn debug_mode_lets_the_browser_name_the_reason_and_never_opens_anything() {
    let policy =
        policies(&["cors.allowed.origin=https://app.example.com", "cors.debug=true"]).inference;
    let refused = |headers: &[(&str, &str)]| answer(&policy, "OPTIONS /", headers);
    let (status, lines) = refused(&[(ORIGIN, APP), (ACRM, "DELETE")]);
    assert_eq!(status, 204);
    assert!(lines.contains(&"access-control-allow-methods: GET, POST, OPTIONS".to_owned()));
    assert!(lines.contains(&"x-cors-reason: method_not_listed".to_owned()));
    assert_eq!(refused(&[(ORIGIN, APP), (ACRM, "POST"), (ACRH, "x-a")]).0, 204);
    for headers in [
        &[(ORIGIN, EVIL), (ACRM, "POST")][..],
        &[(ORIGIN, APP), (ACRM, "")],
        &[(ORIGIN, APP), (ACRM, "POST"), (ACRH, "x a")],
    ] {
        let (status, lines) = refused(headers);
        assert_eq!(status, 403);
        assert!(!lines.iter().any(|line| line.starts_with("access-control")), "{lines:?}");
    }
    // A browser would send GET, HEAD and POST after any ok preflight.
    let policy = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "cors.allowed.methods=PUT",
        "cors.debug=true",
    ])
    .inference;
    assert_eq!(answer(&policy, "OPTIONS /", &[(ORIGIN, APP), (ACRM, "POST")]).0, 403);
}
