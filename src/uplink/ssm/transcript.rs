//! Transcripts of sessions for a hub. AWS has no such operation.

use super::super::UplinkError;
use super::super::endpoint::Service;
use super::super::fetch::again;
use super::store::no_sense;
use super::{CALL_TIMEOUT, Ssm, trouble};
use crate::document::remote::{Patience, RemoteError};
use crate::sys::FileError;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use stint_wire::transcript::{MAX_PIECE, NOT_WANTED, PUT_SESSION_TRANSCRIPT, next, put};

/// What a server says that isn't a hub, or an old one.
const UNKNOWN: &str = "UnknownOperationException";

impl Ssm {
    /// Hands over the transcript in `path`, from where the hub has it. One that the hub doesn't want is done with.
    ///
    /// # Errors
    /// See [`RemoteError`]. What has come stays there.
    pub fn put_transcript(
        &self,
        session: &str,
        path: &Path,
        patience: &Patience,
    ) -> Result<(), RemoteError> {
        let read = |cause| RemoteError::File(FileError::new("read", path)(cause));
        let mut file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let mut piece = Vec::new();
        let mut offset = 0;
        while offset < size {
            piece.clear();
            file.seek(SeekFrom::Start(offset)).map_err(read)?;
            (&mut file).take(MAX_PIECE as u64).read_to_end(&mut piece).map_err(read)?;
            let body = put(session, size, offset, &piece);
            let wanted = again(patience, &mut || {
                let limit = CALL_TIMEOUT.min(patience.left());
                let answer = match self.call(Service::Hub, PUT_SESSION_TRANSCRIPT, &body, limit) {
                    Err(UplinkError::Refused { code, .. })
                        if [NOT_WANTED, UNKNOWN].contains(&code.as_str()) =>
                    {
                        log::warn!("the server doesn't want the transcript of {session}: {code}");
                        Ok(None)
                    }
                    other => other.map(Some),
                };
                (answer.map_err(trouble), false)
            })?;
            let Some(answer) = wanted else { return Ok(()) };
            let wanted = next(&answer).filter(|wanted| *wanted > offset);
            offset = wanted.ok_or_else(|| no_sense(PUT_SESSION_TRANSCRIPT))?;
        }
        Ok(())
    }
}
