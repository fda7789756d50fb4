//! Values of properties: text to typed values, with the findings of CORS-E0xx.

use super::operation::SelfTest;
use crate::cors::{
    diagnostic::{Finding, Parsed},
    spec::{Block, DecisionLog, Engine, MAX_MAX_AGE, Mode, PreflightStatus},
    syntax,
    wire::HeaderValue,
};

/// Reads `true` or `false`.
pub fn boolean(value: &str) -> Result<bool, Finding> {
    if value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(Finding::new("CORS-E070", format!("`{value}` is neither `true` nor `false`")))
    }
}

/// Reads seconds between -1 and 86400; -1 and 0 both switch preflight caching off. Sent as 0:
/// browsers take a negative value for none at all and fall back to five seconds.
pub fn max_age(value: &str) -> Parsed<u32> {
    let seconds = match integer(value) {
        Ok(-1) => 0,
        Ok(seconds) if (0..=i64::from(MAX_MAX_AGE)).contains(&seconds) => seconds,
        Ok(_) => {
            let finding =
                Finding::new("CORS-E061", format!("`{value}` is not between -1 and 86400 seconds"))
                    .fix("write e.g. `600`");
            return Parsed { value: super::DEFAULT_MAX_AGE, findings: vec![finding] };
        }
        Err(finding) => return Parsed { value: super::DEFAULT_MAX_AGE, findings: vec![finding] },
    };
    let mut findings = Vec::new();
    if seconds > 7200 {
        findings.push(Finding::new(
            "CORS-W102",
            format!(
                "browsers may use an old policy for {seconds} s after a change; Chromium caps at \
                 7200 s, Safari at 600 s"
            ),
        ));
    }
    Parsed { value: u32::try_from(seconds).unwrap_or_default(), findings }
}

/// Reads an integer without sign, or with `-`.
pub fn integer(value: &str) -> Result<i64, Finding> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let not_an_integer = || {
        Finding::new("CORS-E060", format!("`{value}` is not a whole number"))
            .fix("write e.g. `600`, without unit")
    };
    if !sound {
        return Err(not_an_integer());
    }
    // More digits than fit are out of any range.
    Ok(value.parse().unwrap_or(i64::MAX))
}

/// Reads an integer of at least 0 and at most `max`.
pub fn count(value: &str, max: u32) -> Result<u32, Finding> {
    let count = u32::try_from(integer(value)?);
    if let Some(count) = count.ok().filter(|count| *count <= max) {
        return Ok(count);
    }
    Err(Finding::new("CORS-E061", format!("`{value}` is not between 0 and {max}")))
}

/// Reads one of `words`.
pub fn keyword<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, Finding> {
    if let Some((_, meant)) = words.iter().find(|(word, _)| value.eq_ignore_ascii_case(word)) {
        return Ok(*meant);
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    Err(Finding::new("CORS-E071", format!("`{value}` is not known"))
        .fix(format!("write {}", known.join(" or "))))
}

/// `block.disallowed`
pub const BLOCK: [(&str, Block); 3] =
    [("off", Block::Off), ("unsafe", Block::Unsafe), ("all", Block::All)];
/// `preflight.status`
pub const PREFLIGHT_STATUS: [(&str, PreflightStatus); 2] =
    [("204", PreflightStatus::NoContent), ("200", PreflightStatus::Ok)];
/// `mode`
pub const MODE: [(&str, Mode); 3] =
    [("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("off", Mode::Off)];
/// `engine`
pub const ENGINE: [(&str, Engine); 2] = [("native", Engine::Native), ("actix", Engine::Actix)];
/// `log`
pub const LOG: [(&str, DecisionLog); 3] =
    [("off", DecisionLog::Off), ("denied", DecisionLog::Denied), ("all", DecisionLog::All)];

/// Reads `Cache-Control` directives; an empty value is none.
pub fn cache_control(value: &str) -> Result<Option<HeaderValue>, Finding> {
    if value.is_empty() {
        return Ok(None);
    }
    let sound = syntax::config_list(value)
        .all(|directive| directive.splitn(2, '=').all(|part| syntax::is_token(part.as_bytes())));
    let value_of = HeaderValue::from_str(value).ok().filter(|_| sound);
    value_of.map(Some).ok_or_else(|| {
        Finding::new("CORS-E071", format!("`{value}` is no list of cache directives"))
            .fix("write e.g. `public, max-age=600`")
    })
}

/// Reads `selftest`: `off`, `start` or seconds.
pub fn selftest(value: &str) -> Result<SelfTest, Finding> {
    match count(value, u32::MAX) {
        Ok(seconds) if seconds > 0 => Ok(SelfTest::Every(seconds)),
        _ => keyword(value, &[("off", SelfTest::Off), ("start", SelfTest::Start)])
            .map_err(|finding| finding.fix("write `off`, `start` or a number of seconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes<T>(parsed: &Parsed<T>) -> Vec<&'static str> {
        parsed.findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn b26_max_age_is_bounded_and_never_negative_on_the_wire() {
        for (value, seconds) in [("0", 0), ("-1", 0), ("600", 600), ("7200", 7200)] {
            let parsed = max_age(value);
            assert_eq!((parsed.value, codes(&parsed)), (seconds, vec![]), "{value}");
        }
        let parsed = max_age("86400");
        assert_eq!((parsed.value, codes(&parsed)), (86400, vec!["CORS-W102"]));
        for value in ["10m", "", "+5", "1.5", "0x10", "--1", "-"] {
            assert_eq!(codes(&max_age(value)), ["CORS-E060"], "{value}");
        }
        for value in ["86401", "-2", "99999999999999999999999"] {
            assert_eq!(codes(&max_age(value)), ["CORS-E061"], "{value}");
        }
    }

    #[test]
    fn e070_and_e071_name_the_words_that_exist() {
        assert_eq!(boolean("True"), Ok(true));
        assert_eq!(boolean("yes").unwrap_err().code, "CORS-E070");
        assert_eq!(keyword("unsafe", &BLOCK), Ok(Block::Unsafe));
        let finding = keyword("sometimes", &BLOCK).unwrap_err();
        assert_eq!(
            (finding.code, finding.fix.unwrap().as_str()),
            ("CORS-E071", "write `off` or `unsafe` or `all`")
        );
        assert_eq!(keyword("201", &PREFLIGHT_STATUS).unwrap_err().code, "CORS-E071");
        assert!(cache_control("public, s-maxage=60").unwrap().is_some());
        assert_eq!(cache_control("a b").unwrap_err().code, "CORS-E071");
        assert!(selftest("30").is_ok() && selftest("start").is_ok() && selftest("0").is_err());
    }
}
