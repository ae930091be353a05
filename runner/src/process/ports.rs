//! Numbers for symbolic ports: free ones are found and held until their process starts, fixed ones are checked.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
};

use indexmap::IndexMap;
use schemas::plan::Launch;
use thiserror::Error;

use super::port_owner::{PortOwner, port_owner};

/// Lowest number that is tried for a free port.
const LOWEST_FREE: u16 = 20_000;

/// Ports by their symbolic names. A name keeps its number, so a process that is started again is found where it was.
#[derive(Debug, Default)]
pub struct Ports {
    assigned: IndexMap<String, Assigned>,
}

#[derive(Debug)]
struct Assigned {
    number: u16,
    launch: String,
    /// Keeps others off the number until the process that wants it starts.
    held: Option<TcpListener>,
}

/// Why a port cannot be had.
#[derive(Debug, Error)]
pub enum PortError {
    /// Somebody listens on it.
    #[error("port {number} is taken by {}", owner_in_words(.owner.as_ref()))]
    Taken {
        /// The port.
        number: u16,
        /// Who listens, where this may be seen.
        owner: Option<PortOwner>,
    },
    /// Two processes of the run want the same number.
    #[error("port {number} is wanted by `{first}` and by `{second}`")]
    WantedTwice {
        /// The port.
        number: u16,
        /// The launch that has it.
        first: String,
        /// The launch that cannot have it.
        second: String,
    },
    /// Two processes of the run bind the same symbolic name.
    #[error("the port named `{port}` is bound by `{first}` and by `{second}`")]
    NamedTwice {
        /// The symbolic name.
        port: String,
        /// The launch that has it.
        first: String,
        /// The launch that cannot have it.
        second: String,
    },
    /// It may not be bound.
    #[error("port {number} cannot be bound")]
    NotBound {
        /// The port; 0 where any would have done.
        number: u16,
        /// What the system said.
        source: io::Error,
    },
}

fn owner_in_words(owner: Option<&PortOwner>) -> String {
    owner.map_or_else(
        || "a process that this user may not see".to_owned(),
        ToString::to_string,
    )
}

impl Ports {
    /// No ports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds a number for every port of the launch that has none yet, and holds it. Do so for all launches of an engine before the first is started: one's
    /// command may name another's port.
    ///
    /// # Errors
    ///
    /// A fixed port that is taken or wanted twice.
    pub fn reserve(&mut self, launch: &Launch) -> Result<(), PortError> {
        for (port, fixed) in &launch.ports {
            if let Some(assigned) = self.assigned.get(port) {
                if assigned.launch == launch.name {
                    continue;
                }
                return Err(PortError::NamedTwice {
                    port: port.clone(),
                    first: assigned.launch.clone(),
                    second: launch.name.clone(),
                });
            }
            let held = match fixed {
                None => free_port()?,
                Some(number) => {
                    if let Some(other) = self
                        .assigned
                        .values()
                        .find(|assigned| assigned.number == *number)
                    {
                        return Err(PortError::WantedTwice {
                            number: *number,
                            first: other.launch.clone(),
                            second: launch.name.clone(),
                        });
                    }
                    bind(*number)?
                }
            };
            let number = held
                .local_addr()
                .map_err(|source| PortError::NotBound { number: 0, source })?
                .port();
            let launch = launch.name.clone();
            self.assigned.insert(
                port.clone(),
                Assigned {
                    number,
                    launch,
                    held: Some(held),
                },
            );
        }
        Ok(())
    }

    /// The number of a named port, once reserved.
    pub fn number(&self, port: &str) -> Option<u16> {
        self.assigned.get(port).map(|assigned| assigned.number)
    }

    /// The launch's ports with their numbers, for [`Self::adopt`].
    pub(super) fn of_launch(&self, launch: &str) -> Vec<(String, u16)> {
        let own = self
            .assigned
            .iter()
            .filter(|(_, assigned)| assigned.launch == launch);
        own.map(|(port, assigned)| (port.clone(), assigned.number))
            .collect()
    }

    /// Takes in the ports of a process that serves already.
    pub(super) fn adopt(&mut self, launch: &str, ports: &[(String, u16)]) {
        for (port, number) in ports {
            let assigned = Assigned {
                number: *number,
                launch: launch.to_owned(),
                held: None,
            };
            self.assigned.insert(port.clone(), assigned);
        }
    }

    /// Forgets the launch's ports: they are found anew when it starts.
    pub(super) fn forget(&mut self, launch: &str) {
        self.assigned
            .retain(|_, assigned| assigned.launch != launch);
    }

    /// Lets go of the launch's ports, for it to bind them. Ports of a process that is started again are checked once more.
    pub(super) fn release(&mut self, launch: &Launch) -> Result<(), PortError> {
        for assigned in self
            .assigned
            .values_mut()
            .filter(|assigned| assigned.launch == launch.name)
        {
            if assigned.held.take().is_none() {
                bind(assigned.number)?;
            }
        }
        Ok(())
    }

    /// Ports with given numbers, held by nobody.
    #[cfg(test)]
    pub(super) fn of_numbers<const N: usize>(numbers: [(&str, u16); N]) -> Self {
        let assigned = numbers.into_iter().map(|(port, number)| {
            (
                port.to_owned(),
                Assigned {
                    number,
                    launch: String::new(),
                    held: None,
                },
            )
        });
        Self {
            assigned: assigned.collect(),
        }
    }
}

/// Binds a port; that this is refused says that somebody listens there, on this or on every address.
fn bind(number: u16) -> Result<TcpListener, PortError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => PortError::Taken {
            number,
            owner: port_owner(number),
        },
        _ => PortError::NotBound { number, source },
    })
}

/// A free port, preferably below those that the system gives to outgoing connections: an engine binds its port many seconds after it was let go, and
/// until then any connection, our own probes included, could be given a number of that range.
fn free_port() -> Result<TcpListener, PortError> {
    let end = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_ascii_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(LOWEST_FREE);
    let candidates = end.saturating_sub(LOWEST_FREE);
    // Runners that start at the same time begin at different places.
    let start = RandomState::new().hash_one(std::process::id());
    (0..u64::from(candidates))
        .filter_map(|offset| {
            let offset = start.wrapping_add(offset) % u64::from(candidates);
            Some(LOWEST_FREE + u16::try_from(offset).ok()?)
        })
        .find_map(|number| bind_quietly(number).ok())
        .map_or_else(|| bind(0), Ok)
}

/// As [`bind`], without a search for the owner.
fn bind_quietly(number: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number))
}

#[cfg(test)]
mod tests {
    use schemas::plan::{Probe, Role};

    use super::*;

    fn launch<const N: usize>(name: &str, ports: [(&str, Option<u16>); N]) -> Launch {
        Launch {
            name: name.to_owned(),
            role: Role::Engine,
            command: vec!["true".to_owned()],
            env: IndexMap::new(),
            files: IndexMap::new(),
            ports: ports
                .into_iter()
                .map(|(port, number)| (port.to_owned(), number))
                .collect(),
            probe: Probe::LogLine {
                contains: String::new(),
            },
            metrics_url: None,
            grace_ns: 0,
            cores: None,
        }
    }

    /// Tries until it works: a child that another test has just forked holds this process's sockets until it runs its own program.
    fn soon<T, E: std::fmt::Debug>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
        for _ in 0..1000 {
            if let Ok(done) = attempt() {
                return done;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        attempt().expect("nobody holds it")
    }

    #[test]
    fn free_ports_differ_are_held_and_then_let_go() {
        let mut ports = Ports::new();
        let launch = launch("a", [("x", None), ("y", None)]);
        ports.reserve(&launch).expect("there are free ports");
        let number = ports.number("x").expect("it was reserved");
        assert_ne!(Some(number), ports.number("y"));
        assert!(bind_quietly(number).is_err(), "it is held");
        ports.reserve(&launch).expect("it has them already");
        assert_eq!(ports.number("x"), Some(number));

        ports.release(&launch).expect("nobody else has them");
        let taken = soon(|| bind_quietly(number));
        let error = ports.release(&launch).expect_err("it is taken now");
        assert!(matches!(error, PortError::Taken { number: named, .. } if named == number));
        drop(taken);
        soon(|| ports.release(&launch));
    }

    #[test]
    fn a_taken_port_names_its_owner() {
        let listener = bind_quietly(0).expect("there are free ports");
        let number = listener.local_addr().expect("it is bound").port();
        let error = Ports::new()
            .reserve(&launch("a", [("x", Some(number))]))
            .expect_err("it is taken");
        let text = error.to_string();
        let pid = std::process::id();
        assert!(
            text.starts_with(&format!("port {number} is taken by pid {pid} (")),
            "{text}"
        );
    }

    #[test]
    fn two_launches_cannot_have_one_port() {
        let number = bind_quietly(0)
            .expect("there are free ports")
            .local_addr()
            .expect("it is bound")
            .port();
        let mut ports = Ports::new();
        soon(|| ports.reserve(&launch("a", [("x", Some(number))])));
        let error = ports
            .reserve(&launch("b", [("y", Some(number))]))
            .expect_err("a has it");
        assert_eq!(
            error.to_string(),
            format!("port {number} is wanted by `a` and by `b`")
        );
        let error = ports
            .reserve(&launch("b", [("x", None)]))
            .expect_err("a has it");
        assert_eq!(
            error.to_string(),
            "the port named `x` is bound by `a` and by `b`"
        );
    }
}
