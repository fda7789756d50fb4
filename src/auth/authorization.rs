//! The keys of one server: judges a request's token, publishes the keys, replaces one.
//!
//! `middleware.rs` calls [`TokenAuthorization::authorize`] for every request that needs a key, on
//! all threads, without a lock; `http/token.rs` calls [`TokenAuthorization::renew`].

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::bearer::bearer;
use super::key_file::{KeyFile, KeyFileError};
use super::keys::{Keys, Renewable, Scope};
use super::throttle::Throttle;
use super::token::NoRandomness;

/// Token authorization of one server.
#[derive(Debug)]
pub struct TokenAuthorization {
    keys: ArcSwap<Keys>,
    /// How long a new management or inference key is good.
    lifetime: Duration,
    throttle: Throttle,
    /// Held while the keys and the file are changed, so that the two never differ for long.
    file: Mutex<Option<KeyFile>>,
}

/// The keys are in the key file; dropping this removes the file.
#[derive(Debug)]
#[must_use = "dropping it removes the key file"]
pub struct PublishedKeys {
    authorization: Arc<TokenAuthorization>,
    shown: String,
}

/// A request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The key that it needs.
    pub scope: Scope,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a request is not let in. A caller learns no more: not whether a key was right once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// No token, a wrong or an expired one.
    InvalidKey,
    /// A wrong token, and there were too many in this second: try the right one a second later.
    TooManyFailures,
}

/// A key was not replaced; the old one is still good.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// No new key could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The new key could not be handed out.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The server is stopping, or its keys were never published.
    #[error("the keys of this server are not in a file, a new one would be lost")]
    NotPublished,
}

// === impl TokenAuthorization ===

impl TokenAuthorization {
    /// Makes three new keys that nobody knows before [`TokenAuthorization::publish`].
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Arc<TokenAuthorization>, NoRandomness> {
        Ok(Arc::new(TokenAuthorization {
            keys: ArcSwap::from_pointee(Keys::generate(now, lifetime)?),
            lifetime,
            throttle: Throttle::default(),
            file: Mutex::new(None),
        }))
    }

    /// Writes the keys to the key file at `path`.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn publish(self: &Arc<Self>, path: &Path) -> Result<PublishedKeys, KeyFileError> {
        let mut file = self.file();
        let new = KeyFile::at(path)?;
        new.write(&self.keys.load())?;
        let shown = new.path().display().to_string();
        *file = Some(new);
        Ok(PublishedKeys { authorization: Arc::clone(self), shown })
    }

    /// Judges the values of a request's `Authorization` lines. Two lines are none: a proxy in front
    /// may have looked at the other one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn authorize<'a>(
        &self,
        scope: Scope,
        mut authorization: impl Iterator<Item = &'a [u8]>,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let refused = |reason| Err(Refusal { scope, reason });
        let (Some(value), None) = (authorization.next(), authorization.next()) else {
            return refused(RefusalReason::InvalidKey);
        };
        let Some(token) = bearer(value) else { return refused(RefusalReason::InvalidKey) };
        if self.keys.load().admit(scope, token, now) {
            return Ok(());
        }
        if self.throttle.exceeded(now) {
            return refused(RefusalReason::TooManyFailures);
        }
        refused(RefusalReason::InvalidKey)
    }

    /// Replaces a key: the file first, then what requests are judged by. The old key is wrong from
    /// then on, on all threads. Writes a file: not for a thread that serves requests.
    ///
    /// # Errors
    /// [`RenewError`]; nothing has changed then.
    pub fn renew(&self, which: Renewable, now: SystemTime) -> Result<(), RenewError> {
        let file = self.file();
        let Some(file) = &*file else { return Err(RenewError::NotPublished) };
        let keys = self.keys.load().renew(which, now, self.lifetime)?;
        file.write(&keys)?;
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// A thread that panicked while it held the lock has left the file as it was or replaced it.
    fn file(&self) -> MutexGuard<'_, Option<KeyFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl PublishedKeys ===

impl PublishedKeys {
    /// The path of the key file, for the operator.
    pub fn path(&self) -> &str {
        &self.shown
    }
}

impl Drop for PublishedKeys {
    fn drop(&mut self) {
        // Taken, so that a renewal that is still under way does not put the file back.
        if let Some(file) = self.authorization.file().take() {
            file.remove(&self.authorization.keys.load());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    struct Scene {
        authorization: Arc<TokenAuthorization>,
        published: Option<PublishedKeys>,
        path: PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key_file.json");
            let authorization = TokenAuthorization::new(HOUR, noon()).unwrap();
            let published = Some(authorization.publish(&path).unwrap());
            Scene { authorization, published, path, _folder: folder }
        }

        /// `Bearer` and a key, as the file has it.
        fn bearer(&self, key: &str) -> String {
            let text = std::fs::read_to_string(&self.path).unwrap();
            let file: serde_json::Value = serde_json::from_str(&text).unwrap();
            format!("Bearer {}", file[key]["key"].as_str().unwrap())
        }

        fn judge(
            &self,
            scope: Scope,
            lines: &[&str],
            now: SystemTime,
        ) -> Result<(), RefusalReason> {
            let lines = lines.iter().map(|line| line.as_bytes());
            self.authorization.authorize(scope, lines, now).map_err(|refusal| {
                assert_eq!(refusal.scope, scope);
                refusal.reason
            })
        }
    }

    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    #[test]
    fn the_file_holds_the_keys_that_are_judged_by() {
        let scene = Scene::new();
        assert_eq!(scene.published.as_ref().unwrap().path(), scene.path.to_str().unwrap());
        for (key, scope) in [
            ("inference", Scope::Inference),
            ("management", Scope::Management),
            ("API", Scope::Api),
        ] {
            let bearer = scene.bearer(key);
            assert_eq!(scene.judge(scope, &[&bearer], noon()), Ok(()), "{key}");
            let late = scene.judge(scope, &[&bearer], noon() + HOUR);
            assert_eq!(late.is_ok(), key == "API", "{key}");
        }
    }

    #[test]
    fn a_missing_a_double_and_a_misspelt_line_are_no_token() {
        let scene = Scene::new();
        let right = scene.bearer("inference");
        let key = right.trim_start_matches("Bearer ");
        let cases: &[&[&str]] =
            &[&[], &[&right, &right], &[&right, "Bearer x"], &[key], &[&right.to_lowercase()]];
        for lines in cases {
            let judged = scene.judge(Scope::Inference, lines, noon());
            assert_eq!(judged, Err(RefusalReason::InvalidKey), "{lines:?}");
        }
    }

    #[test]
    fn after_ten_wrong_tokens_in_a_second_others_wait_and_the_right_one_passes() {
        let scene = Scene::new();
        let right = scene.bearer("inference");
        let wrong = |now| scene.judge(Scope::Inference, &["Bearer wrong"], now);
        for _ in 0..10 {
            assert_eq!(wrong(noon()), Err(RefusalReason::InvalidKey));
        }
        assert_eq!(wrong(noon()), Err(RefusalReason::TooManyFailures));
        assert_eq!(scene.judge(Scope::Inference, &[&right], noon()), Ok(()));
        // Who sends no token guesses nothing.
        let none = scene.judge(Scope::Inference, &[], noon());
        assert_eq!(none, Err(RefusalReason::InvalidKey));
        assert_eq!(wrong(noon() + Duration::from_secs(1)), Err(RefusalReason::InvalidKey));
    }

    #[test]
    fn a_renewed_key_is_in_the_file_and_the_old_one_wrong_at_once() {
        let scene = Scene::new();
        let (old, api) = (scene.bearer("inference"), scene.bearer("API"));
        scene.authorization.renew(Renewable::Inference, noon() + HOUR).unwrap();
        let new = scene.bearer("inference");
        assert_ne!(new, old);
        assert_eq!(scene.judge(Scope::Inference, &[&new], noon() + HOUR), Ok(()));
        assert!(scene.judge(Scope::Inference, &[&old], noon()).is_err());
        assert_eq!(scene.bearer("API"), api);
    }

    #[test]
    fn a_renewal_that_cannot_be_handed_out_changes_nothing() {
        let scene = Scene::new();
        let old = scene.bearer("management");
        let away = scene.path.parent().unwrap().with_extension("away");
        std::fs::rename(scene.path.parent().unwrap(), &away).unwrap();
        let failed = scene.authorization.renew(Renewable::Management, noon());
        assert!(matches!(failed, Err(RenewError::KeyFile(_))), "{failed:?}");
        assert_eq!(scene.judge(Scope::Management, &[&old], noon()), Ok(()));
        std::fs::rename(&away, scene.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn the_file_goes_with_the_server_and_does_not_come_back() {
        let mut scene = Scene::new();
        scene.authorization.renew(Renewable::Management, noon()).unwrap();
        drop(scene.published.take());
        assert!(!scene.path.exists());
        let failed = scene.authorization.renew(Renewable::Management, noon());
        assert!(matches!(failed, Err(RenewError::NotPublished)), "{failed:?}");
        assert!(!scene.path.exists());
    }

    #[test]
    fn no_key_is_in_what_can_be_logged() {
        let scene = Scene::new();
        let shown = format!("{:?} {:?}", scene.authorization, scene.published);
        for key in ["inference", "management", "API"] {
            let bearer = scene.bearer(key);
            assert!(!shown.contains(bearer.trim_start_matches("Bearer ")), "{key}: {shown}");
        }
    }
}
