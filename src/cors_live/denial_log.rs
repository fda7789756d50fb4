//! One line in the log for the first refusal of a kind, then for the 2nd, 4th, 8th and so on.
//!
//! A kind is a reason and a slot of origins: a scanner that tries thousands of origins is one kind.
//! `Origin` is what a client wrote: escaped, cut, and no proof of who it is.

use crate::cors::{Decision, Kind, Listener, Reason, Taken, Verdict};

/// Bytes of an origin in a line.
const MAX_ORIGIN: usize = 128;
/// Bytes of a refused method or header in a line.
const MAX_DETAIL: usize = 64;

/// The reason of a decision, as if a policy in shadow mode were enforced.
pub(super) fn real_reason(decision: &Decision) -> Reason {
    decision.shadow.unwrap_or(decision.reason)
}

/// Whether the decision keeps something from a page.
pub(super) fn is_refusal(decision: &Decision) -> bool {
    matches!(decision.verdict, Verdict::Denied | Verdict::Blocked)
}

/// The method or the header that a listed origin is refused; nothing for others, whose words nobody
/// needs in a log.
pub(super) fn detail<'a>(taken: &Taken<'a>) -> &'a [u8] {
    if taken.decision.entry.is_none() && !taken.policy.origins().is_any() {
        return b"";
    }
    let found = match (real_reason(taken.decision), taken.decision.kind) {
        (Reason::MethodNotListed | Reason::MethodMalformed, Kind::Preflight) => {
            taken.facts.requested_method()
        }
        (Reason::MethodNotListed | Reason::CrossSiteWrite, _) => {
            Some(taken.facts.method.as_str().as_bytes())
        }
        (Reason::HeadersNotListed, _) => taken.facts.first_refused_header(taken.policy),
        _ => None,
    };
    let found = found.unwrap_or_default();
    &found[..found.len().min(MAX_DETAIL)]
}

/// Writes the line.
pub(super) fn write(taken: &Taken<'_>, detail: &[u8], times: Option<u32>) {
    let Taken { listener, policy, decision, facts } = *taken;
    let origin = facts.origin().unwrap_or_default();
    let origin = one_word(&origin[..origin.len().min(MAX_ORIGIN)]);
    let detail = (!detail.is_empty()).then(|| tracing::field::display(one_word(detail)));
    let on: Listener = policy.listener();
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                target: "torchfront::cors",
                $level,
                listener = on.as_str(),
                policy = &**policy.label(),
                policy_hash = &**listener.hash(),
                cors = %format_args!(
                    "{}/{}/{}",
                    decision.kind.as_str(),
                    decision.verdict.as_str(),
                    decision.reason.as_str()
                ),
                would = decision.shadow.map(Reason::as_str),
                %origin,
                method = %facts.method.as_str().as_bytes()[..facts.method.as_str().len().min(32)]
                    .escape_ascii(),
                detail,
                times,
                "cross-origin request"
            )
        };
    }
    // A listed origin that is refused is a mistake of ours or of the page's; others are noise.
    match is_refusal(decision) && decision.entry.is_some() {
        true => line!(tracing::Level::WARN),
        false => line!(tracing::Level::INFO),
    }
}

/// Behind a blank, the rest of a value could pass for a field of the line.
fn one_word(text: &[u8]) -> String {
    text.escape_ascii().to_string().replace(' ', "\\x20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_is_one_word_of_the_line() {
        assert_eq!(one_word(b"https://a.example"), "https://a.example");
        assert_eq!(one_word(b"x policy=y\n"), "x\\x20policy=y\\n");
    }
}
