//! Bytes on their way here.

use std::io::{self, ErrorKind, Read};

/// One read, bytes.
const CHUNK: usize = 4 * 1024;

/// Where bytes come from. All of [`Read`] would be compiled for each kind of reader that stands behind
/// a pointer: 1 kB each on ARMv7, for what nobody calls.
pub trait Source {
    /// Reads into `to`; 0 bytes are the end.
    ///
    /// # Errors
    /// They break off.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize>;
}

impl<R: Read> Source for R {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Read::read(self, to)
    }
}

/// All of it, or the first `limit` bytes of more.
///
/// # Errors
/// They break off.
pub fn read_all(source: &mut dyn Source, limit: u64) -> io::Result<Vec<u8>> {
    let (mut all, mut chunk) = (Vec::new(), [0; CHUNK]);
    loop {
        let room = (limit - all.len() as u64).min(CHUNK as u64) as usize;
        let count = match source.read(chunk.get_mut(..room).unwrap_or_default()) {
            Ok(0) => return Ok(all),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        all.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives what it has by pieces, with interruptions in between.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let most = to.len().min(1000);
            Read::read(&mut self.0, &mut to[..most])
        }
    }

    proptest! {
        #[test]
        fn all_of_it_comes_and_never_more_than_the_limit(length in 0..10_000usize, limit in 0..10_000u64) {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let read = read_all(&mut Slow(&bytes, false), limit).unwrap();
            prop_assert_eq!(&read[..], &bytes[..length.min(limit as usize)]);
        }
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(ErrorKind::ConnectionReset.into())
            }
        }
        let error = read_all(&mut Broken, 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}
