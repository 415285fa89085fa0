//! File descriptors: how many connections the process may have, from what the operating system
//! gives it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for files, logs and connections that are about to be refused.
const RESERVED: u64 = 128;
/// The descriptors of a process without a limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the number of files that this process may have open to the most that it may ask for, and
/// returns it. A server has a few for every connection, and the usual 1,024 are soon gone.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, ..limit };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("the limit of open files could not be raised: {error}");
        }
    }
    open_files_max()
}

fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED)
}

/// How many connections of `each` descriptors fit into `parts` eighths of the limit, at most
/// `max`.
pub(crate) fn share(parts: u64, each: u64, max: usize) -> usize {
    share_of(open_files_max(), parts, each, max)
}

fn share_of(open_files: u64, parts: u64, each: u64, max: usize) -> usize {
    let fits = open_files.saturating_sub(RESERVED) * parts / 8 / each;
    usize::try_from(fits).unwrap_or(max).clamp(1, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_all_kinds_fit_into_what_there_is() {
        for open_files in [1_024, 4_096, 1 << 20] {
            // Handshakes of both servers, the broker's clients, the repository's.
            let handshakes = 2 * share_of(open_files, 1, 2, 1_024) as u64;
            let clients = share_of(open_files, 4, 3, 1_024) as u64;
            let http = share_of(open_files, 3, 2, 4_096) as u64;
            let all = handshakes + 3 * clients + 2 * http;
            assert!(all <= open_files - RESERVED, "{open_files}: {all}");
        }
        assert_eq!(share_of(1 << 20, 4, 3, 1_024), 1_024);
        assert_eq!(share_of(1, 4, 3, 1_024), 1);
    }
}
