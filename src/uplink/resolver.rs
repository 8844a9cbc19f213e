//! Name look-up on the lane's own thread.
//!
//! ureq looks names up in a thread of their own for each request that has a time limit, even for a
//! literal address and an open connection, and panics if that thread can't be started. A lane may
//! block, and the C library bounds a look-up itself (resolv.conf: 5 s, twice, per server).

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::unversioned::transport::time::Duration;

/// ureq's resolver without its threads.
#[derive(Debug)]
pub struct OnThisThread;

impl Resolver for OnThisThread {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let patient = NextTimeout { after: Duration::NotHappening, ..timeout };
        let found = DefaultResolver::default().resolve(uri, config, patient);
        // The system's words for it differ, and say no more.
        found.map_err(|error| match error {
            Error::Io(_) => Error::HostNotFound,
            other => other,
        })
    }
}
