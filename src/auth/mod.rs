//! Token authorization: TorchServe's three keys, each for one thing that a caller may do.
//!
//! `http/access.rs` says which key a path needs, `middleware.rs` asks for it, `server/` publishes the
//! keys in `key_file.json` at the start and removes the file at the end.
//!
//! | key | lets its holder | expires |
//! |---|---|---|
//! | inference | use the inference API | after `token_expiration_min` minutes |
//! | management | use the management API | after `token_expiration_min` minutes |
//! | API | replace one of the other two (`/token`) | never |
//!
//! | file | what it does |
//! |---|---|
//! | `token.rs` | one key: random, compared in constant time, never printed |
//! | `keys.rs` | the three keys and their expiry; PURE |
//! | `bearer.rs` | reads `Authorization: Bearer <key>`; PURE |
//! | `throttle.rs` | how many wrong tokens a second are answered one by one |
//! | `key_file.rs` | `key_file.json`: readable by its owner alone, whole or not there |
//! | `authorization.rs` | all of it together: judge a request, replace a key |
//! | `middleware.rs` | the layer in front of the routes |
//!
//! Where TorchServe's way is unsafe this differs: keys have 128 random bits (there 48), a comparison
//! takes as long for a near miss as for a far one, the file is never readable by others (there it is
//! written first and restricted afterwards), and a path needs a key by its route, not by a search
//! for `/token` in the whole request.

mod authorization;
mod bearer;
mod key_file;
mod keys;
mod middleware;
mod throttle;
mod token;

pub use authorization::{PublishedKeys, Refusal, RefusalReason, RenewError, TokenAuthorization};
pub use key_file::KeyFileError;
pub use keys::{Renewable, Scope};
pub use middleware::TokenCheck;
pub use token::NoRandomness;

/// What a request needs to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: API descriptions.
    Open,
    /// Nothing for a probe; this key for a web page, which names itself in `Origin`. Load balancers
    /// and orchestrators have no key, and no page needs to know whether a server it may not use runs.
    OpenToProbes(Scope),
    /// This key.
    Key(Scope),
}
