//! Rules B1 to B29: who asks, what is allowed, what is answered.

use super::*;

#[test]
fn b1_without_an_origin_there_is_no_cors_but_for_caches() {
    let policy = one_origin().inference;
    let outcome = outcome(&policy, "GET /ping", &[]);
    assert_eq!(outcome, (Kind::None, Verdict::NotCors, Reason::NoOrigin));
    assert_eq!(answer(&policy, "GET /ping", &[]), (200, vec!["vary: Origin".into()]));
}

#[test]
fn b2_a_preflight_is_options_with_origin_and_requested_method() {
    let policy = one_origin().inference;
    let kind = |start, headers: &[(&str, &str)]| decision(&policy, start, headers).kind;
    assert_eq!(kind("OPTIONS /", &[(ORIGIN, APP), (ACRM, "POST")]), Kind::Preflight);
    assert_eq!(kind("OPTIONS /", &[(ORIGIN, APP)]), Kind::Actual);
    assert_eq!(kind("OPTIONS /", &[(ORIGIN, APP), (ACRH, "content-type")]), Kind::Actual);
    assert_eq!(kind("OPTIONS /", &[(ACRM, "POST")]), Kind::None);
    assert_eq!(kind("GET /", &[(ORIGIN, APP), (ACRM, "POST")]), Kind::Actual);
    assert_eq!(kind("options /", &[(ORIGIN, APP), (ACRM, "POST")]), Kind::Actual);
    let described = answer(&policy, "OPTIONS /", &[(ORIGIN, APP)]);
    assert_eq!(described.1[0], "access-control-allow-origin: https://app.example.com");
}

#[test]
fn b3_an_unlisted_origin_alone_rejects_no_actual_request() {
    let policy = one_origin().inference;
    for start in ["GET /ping", "POST /predictions/m", "DELETE /x"] {
        let decision = decision(&policy, start, &[(ORIGIN, EVIL)]);
        assert_eq!((decision.verdict, decision.action), (Verdict::Denied, Action::Pass), "{start}");
    }
}

#[test]
fn b4_a_requested_method_that_is_not_one_token_fails_the_preflight() {
    let policy = one_origin().inference;
    let long = "A".repeat(65);
    for method in ["", " ", "GET POST", "GET,POST", "PO\u{e9}ST", &long] {
        let outcome = outcome(&policy, "OPTIONS /", &[(ORIGIN, APP), (ACRM, method)]);
        assert_eq!(
            outcome,
            (Kind::Preflight, Verdict::Denied, Reason::MethodMalformed),
            "{method}"
        );
    }
    let twice = [(ORIGIN, APP), (ACRM, "POST"), (ACRM, "POST")];
    assert_eq!(outcome(&policy, "OPTIONS /", &twice).2, Reason::MethodMalformed);
}

#[test]
fn b5_to_b8_the_origin_is_compared_byte_by_byte() {
    let policy = one_origin().inference;
    for (value, reason) in [
        ("https://app.example.com", Reason::Ok),
        ("http://app.example.com", Reason::OriginNotListed),
        ("https://app.example.com:8443", Reason::OriginNotListed),
        ("https://app.example.com:443", Reason::OriginMalformed),
        ("HTTPS://APP.EXAMPLE.COM", Reason::OriginMalformed),
        ("https://App.example.com", Reason::OriginMalformed),
        ("https://app.example.com/", Reason::OriginMalformed),
        ("https://app.example.com.", Reason::OriginMalformed),
        ("https://app.example.com.evil.example", Reason::OriginNotListed),
        ("https://evil-app.example.com", Reason::OriginNotListed),
        ("https://evil.example/https://app.example.com", Reason::OriginMalformed),
        ("https://app.example.com@evil.example", Reason::OriginMalformed),
        ("https://app.example.com%60.evil.example", Reason::OriginMalformed),
        ("https://app.example.com_.evil.example", Reason::OriginNotListed),
        ("https://www.app.example.com", Reason::OriginNotListed),
        ("https://app.example.co", Reason::OriginNotListed),
        ("app.example.com", Reason::OriginMalformed),
        ("", Reason::OriginMalformed),
        ("*", Reason::OriginMalformed),
    ] {
        assert_eq!(outcome(&policy, "GET /", &[(ORIGIN, value)]).2, reason, "{value}");
    }
}

#[test]
fn b6_exactly_one_origin_with_one_value() {
    let policy = one_origin().inference;
    for headers in [
        &[(ORIGIN, APP), (ORIGIN, APP)][..],
        &[(ORIGIN, APP), (ORIGIN, EVIL)],
        &[(ORIGIN, "https://app.example.com, https://app.example.com")],
        &[(ORIGIN, "https://evil.example https://app.example.com")],
    ] {
        assert_eq!(outcome(&policy, "GET /", headers).2, Reason::OriginMultiple);
    }
}

#[test]
fn b7_an_origin_is_bounded() {
    let policy = one_origin().inference;
    let long = format!("https://{}.example", "a.".repeat(200));
    assert_eq!(outcome(&policy, "GET /", &[(ORIGIN, &long)]).2, Reason::OriginTooLong);
}

#[test]
fn b9_null_is_covered_by_any_origin_only() {
    let null = [(ORIGIN, "null")];
    assert_eq!(outcome(&one_origin().inference, "GET /", &null).2, Reason::OriginNull);
    assert_eq!(outcome(&any_origin().inference, "GET /", &null).2, Reason::Ok);
}

#[test]
fn b10_an_empty_list_matches_nothing() {
    let off = policies(&["cors.allowed.origin="]).inference;
    for value in ["", "null", APP] {
        let outcome = outcome(&off, "GET /", &[(ORIGIN, value)]);
        assert_eq!(outcome, (Kind::Actual, Verdict::Off, Reason::PolicyOff));
        assert_eq!(answer(&off, "GET /", &[(ORIGIN, value)]), (200, vec![]));
    }
    let preflight = decision(&off, "OPTIONS /", &[(ORIGIN, APP), (ACRM, "POST")]);
    assert_eq!(preflight.action, Action::Pass);
}

#[test]
fn b12_b13_patterns_cover_whole_labels_and_any_port() {
    let policy =
        policies(&["cors.allowed.origin=https://*.example.com, https://*.apps.example.net:8443, \
         http://localhost:*, https://*.dev.example.org:*, http://[::1]:*"])
        .inference;
    for yes in [
        "https://foo.example.com",
        "https://a.b.c.example.com",
        "https://x_y.example.com",
        "https://example.com.example.com",
        "https://t.apps.example.net:8443",
        "http://localhost",
        "http://localhost:1",
        "http://localhost:65535",
        "https://a.dev.example.org",
        "https://a.dev.example.org:1234",
        "http://[::1]:3000",
    ] {
        assert_eq!(outcome(&policy, "GET /", &[(ORIGIN, yes)]).2, Reason::Ok, "{yes}");
    }
    for no in [
        "https://example.com",
        "https://fooexample.com",
        "https://.example.com",
        "https://..example.com",
        "https://foo.example.com.evil.example",
        "http://foo.example.com",
        "https://foo.example.com:8443",
        "https://evil.example#.example.com",
        "https://evil.example/.example.com",
        "https://*.example.com",
        "https://t.apps.example.net",
        "https://t.apps.example.net:8444",
        "https://apps.example.net:8443",
        "https://localhost:3000",
        "http://localhost:80",
        "http://localhost:0",
        "http://localhost.evil.example",
        "http://sub.localhost:3000",
        "http://127.0.0.1:3000",
        "http://[::1].evil.example",
        "http://[0:0:0:0:0:0:0:1]:3000",
        "https://dev.example.org",
    ] {
        assert_ne!(outcome(&policy, "GET /", &[(ORIGIN, no)]).2, Reason::Ok, "{no}");
    }
}

#[test]
fn b11_b14_of_many_origins_the_asking_one_is_echoed_and_its_entry_named() {
    let list: Vec<String> = (0..1000).map(|i| format!("https://tenant-{i}.example")).collect();
    let line = format!("cors.allowed.origin={}", list.join(","));
    let policy = policies(&[&line]).inference;
    let found = decision(&policy, "GET /", &[(ORIGIN, "https://tenant-777.example")]);
    assert_eq!(found.entry, Some(EntryIndex(777)));
    let echoed = AllowOrigin::Echo(HeaderValue::from_static("https://tenant-777.example"));
    assert_eq!(found.allow_origin, echoed);
    for no in [
        "https://tenant-1000.example",
        "https://tenant-77.exampl",
        "https://tenant-1.exampletenant-2.example",
    ] {
        assert_eq!(outcome(&policy, "GET /", &[(ORIGIN, no)]).2, Reason::OriginNotListed);
    }
}

#[test]
fn b15_b17_b21_a_granted_preflight_has_these_bytes_and_no_others() {
    let policy = policies(&[
        "cors.allowed.origin=https://app.example.com, https://admin.example.com",
        "cors.allowed.methods=GET, POST, PUT, PATCH, DELETE, OPTIONS",
        "cors.allowed.headers=Authorization, Content-Type, X-Request-Id",
        "cors.exposed.headers=ETag, X-Request-Id",
        "cors.allow.credentials=true",
    ])
    .inference;
    let headers = [(ORIGIN, APP), (ACRM, "PATCH"), (ACRH, "authorization,x-request-id")];
    let expected = vec![
        "access-control-allow-credentials: true".to_owned(),
        "access-control-allow-headers: Authorization, Content-Type, X-Request-Id".into(),
        "access-control-allow-methods: GET, POST, PUT, PATCH, DELETE, OPTIONS".into(),
        "access-control-allow-origin: https://app.example.com".into(),
        "access-control-max-age: 600".into(),
        PREFLIGHT_VARY.into(),
    ];
    assert_eq!(answer(&policy, "OPTIONS /predictions/m", &headers), (204, expected));
    let actual = answer(&policy, "POST /predictions/m", &[(ORIGIN, APP)]);
    let expected = vec![
        "access-control-allow-credentials: true".to_owned(),
        "access-control-allow-origin: https://app.example.com".into(),
        "access-control-expose-headers: ETag, X-Request-Id".into(),
        "vary: Origin".into(),
    ];
    assert_eq!(actual, (200, expected));
}

#[test]
fn b16_nothing_but_the_origin_depends_on_the_request() {
    let policy = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "cors.allowed.headers=*",
        "cors.allowed.methods=*",
    ])
    .inference;
    let bytes = |method, names| {
        answer(&policy, "OPTIONS /", &[(ORIGIN, APP), (ACRM, method), (ACRH, names)])
    };
    assert_eq!(bytes("GET", ""), bytes("DELETE", "x-secret-probe,x-b"));
    assert!(!format!("{:?}", bytes("NEW", "x-secret-probe")).contains("secret"));
}

#[test]
fn b17_a_refused_preflight_is_403_with_vary_and_nothing_that_discloses() {
    let policy = one_origin().inference;
    for headers in [
        [(ORIGIN, EVIL), (ACRM, "POST"), (ACRH, "")],
        [(ORIGIN, APP), (ACRM, "DELETE"), (ACRH, "")],
        [(ORIGIN, APP), (ACRM, "POST"), (ACRH, "x-evil")],
    ] {
        let sketch = request("OPTIONS /predictions/m", &headers);
        let (policy, decision) = policy.decide(&sketch.facts());
        let mut out = HeaderMap::new();
        let answer = policy.answer(&decision, &mut out).unwrap();
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.status, 403);
        assert_eq!((&body["code"], &body["type"]), (&403.into(), &"CorsDeniedException".into()));
        assert!(!answer.body.contains("app.example.com") && !answer.body.contains("x-evil"));
        let names: Vec<_> = out.keys().map(HeaderName::as_str).collect();
        assert!(names.iter().all(|name| matches!(*name, "vary" | "content-type")), "{names:?}");
        assert!(format!("vary: {}", out.get("vary").unwrap().to_str().unwrap()) == PREFLIGHT_VARY);
    }
}

#[test]
fn b18_every_answer_under_a_list_varies_by_origin_and_under_any_origin_none_does() {
    let list = one_origin().inference;
    for headers in [&[][..], &[(ORIGIN, APP)], &[(ORIGIN, EVIL)], &[(ORIGIN, "null")]] {
        assert!(answer(&list, "GET /", headers).1.contains(&"vary: Origin".to_owned()));
    }
    let any = any_origin().inference;
    for headers in [&[][..], &[(ORIGIN, APP)], &[(ORIGIN, "null")], &[(ORIGIN, "garbage")]] {
        let sent = vec!["access-control-allow-origin: *".to_owned()];
        assert_eq!(answer(&any, "GET /", headers), (200, sent), "{headers:?}");
    }
    let preflight = answer(&any, "OPTIONS /", &[(ORIGIN, EVIL), (ACRM, "POST")]);
    assert!(preflight.1.contains(&PREFLIGHT_VARY.to_owned()));
}

#[test]
fn b19_b20_a_preflight_depends_on_the_policy_alone() {
    let policy = one_origin().inference;
    let asked = [(ORIGIN, APP), (ACRM, "POST"), ("cookie", "a=b"), ("authorization", "Bearer no")];
    let plain = answer(&policy, "OPTIONS /", &asked[..2]);
    assert_eq!(answer(&policy, "OPTIONS /predictions/nope/1.0/x?y=%2F", &asked), plain);
}

#[test]
fn b23_headers_of_inner_layers_are_replaced() {
    let policy = one_origin().inference;
    let inner = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "true"),
        ("x-own", "kept"),
    ];
    let foreign = answer_over(&policy, "GET /", &[(ORIGIN, EVIL)], &inner);
    assert_eq!(foreign.1, ["vary: Origin", "x-own: kept"]);
    let allowed = answer_over(&policy, "GET /", &[(ORIGIN, APP)], &inner);
    assert_eq!(
        allowed.1,
        ["access-control-allow-origin: https://app.example.com", "vary: Origin", "x-own: kept"]
    );
}

#[test]
fn b24_b25_credentials_and_exposed_headers_are_for_allowed_origins_only() {
    let policy = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "cors.allow.credentials=true",
        "cors.exposed.headers=ETag",
    ])
    .inference;
    for headers in [&[][..], &[(ORIGIN, EVIL)], &[(ORIGIN, "null")]] {
        assert_eq!(answer(&policy, "GET /", headers), (200, vec!["vary: Origin".into()]));
    }
}

#[test]
fn b26_max_age_zero_and_minus_one_are_sent_as_zero() {
    for value in ["0", "-1"] {
        let line = format!("cors.max.age={value}");
        let policy = policies(&["cors.allowed.origin=https://app.example.com", &line]).inference;
        let (_, lines) = answer(&policy, "OPTIONS /", &[(ORIGIN, APP), (ACRM, "GET")]);
        assert!(lines.contains(&"access-control-max-age: 0".to_owned()), "{lines:?}");
    }
}

#[test]
fn b27_the_private_network_is_granted_on_request_and_on_preflights_only() {
    let on = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "cors.allow.private.network=true",
    ])
    .inference;
    let grant = "access-control-allow-private-network: true".to_owned();
    let asked = ("access-control-request-private-network", "true");
    let (status, lines) = answer(&on, "OPTIONS /", &[(ORIGIN, APP), (ACRM, "POST"), asked]);
    assert_eq!((status, lines.contains(&grant)), (204, true));
    assert!(lines.last().unwrap().ends_with("Access-Control-Request-Private-Network"));
    for headers in [
        &[(ORIGIN, APP), (ACRM, "POST")][..],
        &[(ORIGIN, APP), (ACRM, "POST"), (asked.0, "1")],
        &[(ORIGIN, EVIL), (ACRM, "POST"), asked],
        &[(ORIGIN, APP), (ACRM, "DELETE"), asked],
    ] {
        assert!(!answer(&on, "OPTIONS /", headers).1.contains(&grant), "{headers:?}");
    }
    assert!(!answer(&on, "GET /", &[(ORIGIN, APP), asked]).1.contains(&grant));
    let off = one_origin().inference;
    let (_, lines) = answer(&off, "OPTIONS /", &[(ORIGIN, APP), (ACRM, "POST"), asked]);
    assert!(!lines.contains(&grant));
}

#[test]
fn b47_timings_are_an_opt_in_of_the_policy_for_its_origins() {
    let on = policies(&["cors.allowed.origin=https://app.example.com", "cors.allow.timing=true"])
        .inference;
    let told = "timing-allow-origin: https://app.example.com".to_owned();
    assert!(answer(&on, "GET /", &[(ORIGIN, APP)]).1.contains(&told));
    for headers in [&[][..], &[(ORIGIN, EVIL)], &[(ORIGIN, "null")]] {
        let (_, lines) = answer(&on, "GET /", headers);
        assert!(!lines.iter().any(|line| line.starts_with("timing")), "{lines:?}");
    }
    assert!(!answer(&on, "DELETE /", &[(ORIGIN, APP)]).1.contains(&told));
    assert!(!answer(&on, "OPTIONS /", &[(ORIGIN, APP), (ACRM, "POST")]).1.contains(&told));
    assert!(!answer(&one_origin().inference, "GET /", &[(ORIGIN, APP)]).1.contains(&told));
    let any = policies(&["cors.allowed.origin=*", "cors.allow.timing=true"]).inference;
    let any_told = "timing-allow-origin: *".to_owned();
    assert!(answer(&any, "GET /", &[(ORIGIN, EVIL)]).1.contains(&any_told));
}

#[test]
fn b28_the_method_is_checked_at_the_preflight_and_again() {
    let policy = one_origin().inference;
    for (method, ok) in [
        ("POST", true),
        ("HEAD", true),
        ("DELETE", false),
        ("patch", false),
        ("TRACE", false),
        ("*", false),
    ] {
        let preflight = outcome(&policy, "OPTIONS /", &[(ORIGIN, APP), (ACRM, method)]);
        let reason = if ok { Reason::Ok } else { Reason::MethodNotListed };
        assert_eq!(preflight.2, reason, "{method}");
        let actual = outcome(&policy, &format!("{method} /"), &[(ORIGIN, APP)]);
        assert_eq!(actual.2, reason, "{method}");
    }
    let delete = answer(&policy, "DELETE /", &[(ORIGIN, APP)]);
    assert_eq!(delete, (200, vec!["vary: Origin".into()]));
    let post_only =
        policies(&["cors.allowed.origin=https://app.example.com", "cors.allowed.methods=POST"])
            .inference;
    assert_eq!(outcome(&post_only, "GET /", &[(ORIGIN, APP)]).2, Reason::MethodNotListed);
    assert_eq!(outcome(&post_only, "OPTIONS /", &[(ORIGIN, APP)]).2, Reason::Ok);
}

#[test]
fn b28_under_any_origin_an_unlisted_method_is_not_shared_with_or_without_origin() {
    let policy = any_origin().inference;
    assert_eq!(answer(&policy, "DELETE /", &[(ORIGIN, EVIL)]), (200, vec![]));
    assert_eq!(answer(&policy, "DELETE /", &[]), (200, vec![]));
}

#[test]
fn b29_requested_headers_are_checked_on_all_lines() {
    let policy =
        policies(&["cors.allowed.origin=https://app.example.com", "cors.allowed.headers=X-A"])
            .inference;
    let reason = |lines: &[&str]| {
        let mut headers = vec![(ORIGIN, APP), (ACRM, "POST")];
        headers.extend(lines.iter().map(|line| (ACRH, *line)));
        outcome(&policy, "OPTIONS /", &headers).2
    };
    assert_eq!(reason(&["x-a, CONTENT-TYPE", ",,x-a"]), Reason::Ok);
    assert_eq!(reason(&["x-a", "x-evil"]), Reason::HeadersNotListed);
    assert_eq!(reason(&["x-a;x-b"]), Reason::HeadersMalformed);
    assert_eq!(reason(&[&"x-a,".repeat(65)]), Reason::HeadersTooLarge);
}
