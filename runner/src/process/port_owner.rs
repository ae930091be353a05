//! Who listens on a port, as far as `/proc` lets this user see.

use std::{fmt, fs};

use super::process_table::{name, process_ids, process_path};

/// The process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortOwner {
    /// Its id.
    pub pid: i32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pid {} ({})", self.pid, self.name)
    }
}

/// The process that listens on a TCP port of any address.
pub(super) fn port_owner(port: u16) -> Option<PortOwner> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let pid = process_ids()
        .into_iter()
        .find(|pid| holds_any(*pid, &sockets))?;
    Some(PortOwner {
        pid,
        name: name(pid)?,
    })
}

fn holds_any(pid: i32, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process_path(pid, "fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| {
            sockets
                .iter()
                .any(|socket| target.as_os_str() == socket.as_str())
        })
}

/// Inodes of the sockets that listen on the port, from the text of `/proc/net/tcp` or `tcp6` (proc_net(5)).
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let is_port = |address: &str| {
        address
            .rsplit_once(':')
            .is_some_and(|(_, digits)| u16::from_str_radix(digits, 16) == Ok(port))
    };
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            if *state == LISTEN && is_port(address) {
                inode.parse().ok()
            } else {
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 20 4 30 10 -1
   2: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
";

    #[test]
    fn only_listening_sockets_of_the_port_are_found() {
        assert_eq!(listening_inodes(TABLE, 8000), [4711]);
        assert_eq!(listening_inodes(TABLE, 8001), [4713]);
        assert_eq!(listening_inodes(TABLE, 8002), [0_u64; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|\n){0,120}") {
            let _ = listening_inodes(&text, 8000);
        }
    }
}
