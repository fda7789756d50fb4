//! The three keys and when they expire. PURE but for making keys: the clock is an argument.

use std::time::{Duration, SystemTime};

use super::token::{NoRandomness, Token};

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The inference API.
    Inference,
    /// The management API, but for `/token`.
    Management,
    /// `/token`.
    Api,
}

/// A key that the holder of the API key can replace; the API key itself lasts as long as the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewable {
    /// The inference key.
    Inference,
    /// The management key.
    Management,
}

/// The keys in force.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) management: ExpiringToken,
    pub(super) inference: ExpiringToken,
    pub(super) api: Token,
}

/// A key that is good until a point in time.
#[derive(Clone, Debug)]
pub(super) struct ExpiringToken {
    pub(super) token: Token,
    /// From then on the key is as good as a wrong one.
    pub(super) expires: SystemTime,
}

// === impl Renewable ===

impl Renewable {
    /// Reads `type` of `/token?type=...`.
    pub fn parse(name: &str) -> Option<Renewable> {
        match name {
            "inference" => Some(Renewable::Inference),
            "management" => Some(Renewable::Management),
            _ => None,
        }
    }
}

// === impl Keys ===

impl Keys {
    /// Three new keys.
    pub(super) fn generate(now: SystemTime, lifetime: Duration) -> Result<Keys, NoRandomness> {
        Ok(Keys {
            management: ExpiringToken::generate(now, lifetime)?,
            inference: ExpiringToken::generate(now, lifetime)?,
            api: Token::generate()?,
        })
    }

    /// The same with one key new.
    pub(super) fn renew(
        &self,
        which: Renewable,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Keys, NoRandomness> {
        let new = ExpiringToken::generate(now, lifetime)?;
        Ok(match which {
            Renewable::Inference => Keys { inference: new, ..self.clone() },
            Renewable::Management => Keys { management: new, ..self.clone() },
        })
    }

    /// Whether the holder of `presented` may do what `scope` says.
    pub(super) fn admit(&self, scope: Scope, presented: &[u8], now: SystemTime) -> bool {
        match scope {
            Scope::Inference => self.inference.admits(presented, now),
            Scope::Management => self.management.admits(presented, now),
            Scope::Api => self.api.matches(presented),
        }
    }
}

// === impl ExpiringToken ===

impl ExpiringToken {
    fn generate(now: SystemTime, lifetime: Duration) -> Result<ExpiringToken, NoRandomness> {
        // A lifetime past the end of the calendar does not lengthen a key's life: it is expired.
        // The configuration refuses such a lifetime.
        let expires = now.checked_add(lifetime).unwrap_or(now);
        Ok(ExpiringToken { token: Token::generate()?, expires })
    }

    fn admits(&self, presented: &[u8], now: SystemTime) -> bool {
        self.token.matches(presented) && now < self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: SystemTime = SystemTime::UNIX_EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    /// Which scopes a key opens at a time.
    fn opens(keys: &Keys, key: &str, now: SystemTime) -> Vec<Scope> {
        let all = [Scope::Inference, Scope::Management, Scope::Api];
        all.into_iter().filter(|scope| keys.admit(*scope, key.as_bytes(), now)).collect()
    }

    fn texts(keys: &Keys) -> [String; 3] {
        [&keys.inference.token, &keys.management.token, &keys.api]
            .map(|key| key.reveal().to_owned())
    }

    #[test]
    fn each_key_opens_its_own_api_and_no_other() {
        let keys = Keys::generate(NOON, HOUR).unwrap();
        let [inference, management, api] = texts(&keys);
        assert_eq!(opens(&keys, &inference, NOON), [Scope::Inference]);
        assert_eq!(opens(&keys, &management, NOON), [Scope::Management]);
        assert_eq!(opens(&keys, &api, NOON), [Scope::Api]);
        assert_eq!(opens(&keys, "", NOON), []);
    }

    #[test]
    fn two_keys_expire_at_the_second_that_was_said_and_the_api_key_never() {
        let keys = Keys::generate(NOON, HOUR).unwrap();
        let [inference, management, api] = texts(&keys);
        let last = NOON + HOUR - Duration::from_nanos(1);
        assert_eq!(opens(&keys, &inference, last), [Scope::Inference]);
        assert_eq!(opens(&keys, &management, last), [Scope::Management]);
        for later in [NOON + HOUR, NOON + 1000 * HOUR] {
            assert_eq!(opens(&keys, &inference, later), []);
            assert_eq!(opens(&keys, &management, later), []);
            assert_eq!(opens(&keys, &api, later), [Scope::Api]);
        }
    }

    #[test]
    fn renewing_a_key_ends_the_old_one_and_leaves_the_others() {
        let old = Keys::generate(NOON, HOUR).unwrap();
        let [inference, management, api] = texts(&old);
        let later = NOON + HOUR / 2;
        let new = old.renew(Renewable::Inference, later, HOUR).unwrap();
        assert_eq!(opens(&new, &inference, later), []);
        assert_eq!(opens(&new, &management, later), [Scope::Management]);
        assert_eq!(opens(&new, &api, later), [Scope::Api]);
        let [renewed, ..] = texts(&new);
        assert_eq!(opens(&new, &renewed, NOON + HOUR), [Scope::Inference]);
        let new = new.renew(Renewable::Management, later, HOUR).unwrap();
        assert_eq!(opens(&new, &management, later), []);
        assert_eq!(opens(&new, &renewed, later), [Scope::Inference]);
    }

    #[test]
    fn a_lifetime_past_the_end_of_time_is_no_life() {
        let keys = Keys::generate(NOON, Duration::MAX).unwrap();
        assert_eq!(opens(&keys, &texts(&keys)[0], NOON), []);
    }
}
