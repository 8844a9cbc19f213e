//! How much of what waits a server is told at once.

/// More in one body than small servers take.
const MOST: usize = 50;

/// What one body carries of them, bytes: the founding page's agent has buffers of 64 KiB.
const BYTES: usize = 48 * 1024;

/// What each costs besides its texts, bytes.
const FRAME: usize = 128;

/// The share of a queue that is told at once. It shrinks as long as a server finds it too large.
pub struct Share {
    most: usize,
}

impl Default for Share {
    fn default() -> Share {
        Share { most: MOST }
    }
}

impl Share {
    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many of the first ones may be told, each with texts of so many bytes. At least one.
    pub fn count(sizes: impl Iterator<Item = usize>) -> usize {
        let mut left = BYTES;
        let fits = |size: &usize| match left.checked_sub(size + FRAME) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        sizes.take_while(fits).count().max(1)
    }

    /// So many of them were too large together. Says whether fewer can be tried.
    pub fn too_large(&mut self, count: usize) -> bool {
        if count > 1 {
            self.most = count / 2;
        }
        count > 1
    }

    /// The server has taken all that waited.
    pub fn all_taken(&mut self) {
        self.most = MOST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_told_as_fit_into_a_small_servers_buffer_and_never_none() {
        for (sizes, wanted) in [
            (vec![], 1),
            (vec![100_000, 1], 1),
            (vec![4096; 50], 11),
            (vec![20; 50], 50),
            (vec![BYTES - FRAME, 1], 1),
        ] {
            assert_eq!(Share::count(sizes.iter().copied()), wanted, "{sizes:?}");
        }
    }

    #[test]
    fn what_a_server_refuses_is_halved_down_to_one_and_whole_again_when_nothing_is_left() {
        let mut share = Share::default();
        let mut tried = vec![share.most()];
        while share.too_large(share.most()) {
            tried.push(share.most());
        }
        assert_eq!(tried, [50, 25, 12, 6, 3, 1]);
        share.all_taken();
        assert_eq!(share.most(), 50);
    }
}
